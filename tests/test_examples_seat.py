"""The examples that play in their own process, with a tiny random model; a stranger's class wherever one is named."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agent_runtime.cli import app
from agent_runtime.demo.server import ServerProcess
from agent_runtime.server import Client
from agent_runtime.turn import ActionOption
from game_adapters.conformance import check_game
from tests.preloaded import Preloaded
from tests.readme import ROOT
from tests.tiny_models import save_tiny_model

EXAMPLES = ROOT / "examples"
NIM = "own_env:Nim"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_tiny_model(tmp_path_factory.mktemp("examples") / "model")
    config = json.loads((folder / "config.json").read_text())
    # The tiny tokenizer needs three tokens where SmolLM2 needs one.
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 8192}))
    return folder


@pytest.fixture
def in_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As its author would stand: in the folder of the class."""
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.setenv("HOTSEAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(EXAMPLES))))
    monkeypatch.syspath_prepend(EXAMPLES)
    yield
    sys.modules.pop("own_env", None)


@pytest.fixture
def run(
    preloaded: Preloaded, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], list[str]]:
    """Runs an example to its end and returns the lines that it prints."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HOTSEAT_CACHE", str(tmp_path))

    def run(example: str) -> list[str]:
        ran = preloaded.run([EXAMPLES / example, model], timeout_s=120)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.splitlines()

    return run


def test_the_pettingzoo_loop_plays_one_match_and_then_four_at_once(run: Callable[[str], list[str]]) -> None:
    *turns, last = run("pettingzoo_loop.py")
    assert [line.split()[0] for line in turns] == ["npc_0", "npc_1"] * 2
    for line in turns:
        assert re.fullmatch(r"npc_\d takes action \d+: p \d\.\d\d, \d+ are legal, entropy .* nats; \d+ .*", line)
    assert re.fullmatch(r"4 matches at once, 2 steps each: mean reward [+-]\d\.\d\d", last)


def test_the_environment_of_ones_own_is_played_to_its_end(run: Callable[[str], list[str]]) -> None:
    *turns, ann, bob = run("own_env.py")
    left = [int(re.findall(r"(\d+) matches left: takes \d", line)[0]) for line in turns]
    assert left[0] == 6 and left == sorted(left, reverse=True)
    assert {line.rpartition(" ")[2] for line in (ann, bob)} == {"+1", "-1"}


def test_it_is_as_short_as_it_says_and_what_hotseat_needs_is_the_least_of_it() -> None:
    text = (EXAMPLES / "own_env.py").read_text(encoding="utf-8")
    without_words = re.sub(r'""".*?"""', "", text, flags=re.DOTALL)

    def lines(start: str, end: str) -> int:
        part = without_words.partition(start)[2].partition(end)[0]
        return 1 + sum(bool(line.strip()) for line in part.splitlines()[1:])

    assert lines("class NimEnv", "class Nim:") <= 40
    assert lines("class Nim:", "if __name__") <= 10


@pytest.mark.filterwarnings("ignore:The old environment creation API:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Observation is not a NumPy array:UserWarning")
@pytest.mark.filterwarnings("ignore:Observation space for each agent probably should be:UserWarning")
@pytest.mark.filterwarnings("ignore:Environment has not defined a render:UserWarning")
def test_it_is_a_sound_pettingzoo_environment_and_a_sound_game(in_examples: None) -> None:
    import own_env
    from pettingzoo.test import api_test, seed_test

    api_test(own_env.NimEnv(), num_cycles=20)
    seed_test(own_env.NimEnv, num_cycles=20)
    report = check_game(NIM)
    assert report.passed
    assert [finding.check for finding in report.findings if finding.outcome != "ok"] == ["sight", "hidden"]


def test_a_strangers_class_is_played_and_checked_by_its_name(in_examples: None, model: Path) -> None:
    played = CliRunner().invoke(app, ["play", NIM, "--model", str(model), "--pool-mib", "16", "--json"])
    assert played.exit_code == 0, played.output
    end = json.loads(played.stdout.splitlines()[-1])
    assert end["over"] and sorted(end["rewards"].values()) != [0, 0]
    checked = CliRunner().invoke(app, ["games", "check", NIM, "--model", "none"])
    assert checked.exit_code == 0, checked.output


def test_a_class_names_its_folder_wherever_folders_are_named(in_examples: None) -> None:
    command: Any = typer.main.get_command(app)
    for name in ("serve", "play"):
        arguments = ["--games", NIM, "--games", str(EXAMPLES)] + (["camp"] if name == "play" else [])
        context = command.commands[name].make_context("hotseat", arguments)
        assert context.params["games"] == [EXAMPLES / "own_env", EXAMPLES]


def test_a_server_serves_a_class_by_its_name(in_examples: None, model: Path, tmp_path: Path) -> None:
    arguments = ["--model", model, "--mode", "star", "--games", NIM, "--port", 0, "--pool-mib", 16]
    with ServerProcess([str(each) for each in arguments], tmp_path / "server.log", start_s=60) as server:
        with Client(server.start()) as client:
            client.open_match("m", "own_env")
            client.put_state("m", 1, state={"heap": {"matches": 4}})
            client.open_session("s", "m")
            options = [ActionOption(f"take {number}") for number in (1, 2, 3)]
            result = client.turn("s", 1, frame=1, observation="Your turn.", actions=options)
            assert result.action is not None
            assert result.account is not None and result.account.warnings
