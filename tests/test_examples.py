"""The examples and the README's exchange, on a real server in a process of its own with a tiny random model."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from agent_runtime.demo.server import ServerProcess
from prompts import load_game
from tests import readme
from tests.readme import ROOT
from tests.tiny_models import save_tiny_model

EXAMPLES = ROOT / "examples"
OWN_MODULES = {"agent_runtime", "game_adapters", "kv_store", "prompts", "tests"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    arguments = ["--model", save_tiny_model(folder / "model"), "--mode", "star", "--games", EXAMPLES, "--port", 0]
    arguments += ["--store", folder / "store", "--record", folder / "recordings", "--pool-mib", 16]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv("HOTSEAT_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        with ServerProcess([str(each) for each in arguments], folder / "server.log", start_s=60) as server:
            yield server.start()


def run(example: str, url: str) -> list[str]:
    """The lines that an example prints."""
    ran = subprocess.run(
        [sys.executable, EXAMPLES / example, url],
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def blocks_in(line: str) -> list[str]:
    """What a line of `play.py` says of the blocks that were not shared, but for history, which comes when it can."""
    said = re.search(r"; blocks: (.*?)[1-9]\d* shared$", line)
    assert said, line
    return [block for block in said[1].split(", ") if block and not block.startswith("history/")]


def test_the_raw_client_plays_three_turns_and_a_second_run_goes_on_where_it_was(url: str) -> None:
    first, second = run("raw_client.py", url), run("raw_client.py", url)
    assert "new, now at frame 1" in first[1] and "resumed, now at frame 4" in second[1]
    assert re.fullmatch(r"session ulf: [1-9]\d* tokens encoded, 0 loaded, 0 shared", first[2])
    assert re.fullmatch(r"session ulf: 0 tokens encoded, 0 loaded, [1-9]\d* shared", second[2])
    numbers = [line.split(":")[0] for line in first + second if line.startswith("turn ")]
    assert numbers == [f"turn {number}" for number in range(1, 7)]
    # A unit that moves is one block, and a unit seen there before is none.
    # History is encoded while nobody waits, or in the next turn if that comes sooner.
    came = [[line.split(":")[0].strip() for line in lines if "because" in line] for lines in (first, second)]
    assert [name for name in came[0] if not name.startswith("history/")] == ["unit/grimpaw", "unit/grimpaw"]
    assert [name for name in came[1] if not name.startswith("history/")] == []


def test_every_turn_of_the_raw_client_is_one_forward(url: str) -> None:
    costs = [line for line in run("raw_client.py", url) if "computed" in line]
    assert len(costs) == 3 and all(line.endswith("in 1 forward") for line in costs)


def test_the_raw_client_needs_nothing_of_ours() -> None:
    module = ast.parse((EXAMPLES / "raw_client.py").read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(module) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(module) if isinstance(node, ast.ImportFrom)]
    used = {name.split(".")[0] for name in names}
    assert used - set(sys.stdlib_module_names) == {"websockets"}


def test_the_game_of_ones_own_is_found_by_its_folder_and_played(url: str) -> None:
    lines = run("own_game/play.py", url)
    assert re.fullmatch(r"own_game in mode star: [1-9]\d* tokens encoded, 0 loaded, 0 shared", lines[0])
    assert [line.split(":")[0] for line in lines[1:]] == ["hour 22", "hour 23", "hour 24"]
    assert [blocks_in(line) for line in lines[1:]] == [[], ["ship/heron encoded"], ["ship/heron encoded"]]


def test_blocks_that_a_new_server_finds_in_the_store_are_not_called_encoded(tmp_path: Path) -> None:
    arguments = ["--model", save_tiny_model(tmp_path / "model"), "--mode", "star", "--games", EXAMPLES, "--port", 0]
    arguments += ["--store", tmp_path / "store", "--pool-mib", 16]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOTSEAT_CACHE", str(tmp_path / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        with ServerProcess([str(each) for each in arguments], tmp_path / "server.log", start_s=60) as server:
            run("own_game/play.py", server.start())
            server.stop()
            opened, *hours = run("own_game/play.py", server.start())
    assert re.search(r": \d+ tokens encoded, [1-9]\d* loaded, \d+ shared$", opened)
    # The ships are where they were at these hours; a block may be loaded before a turn asks for it.
    assert all(blocks_in(line) in ([], ["ship/heron loaded"]) for line in hours)


def test_the_game_of_ones_own_gives_no_cause_for_warnings() -> None:
    assert load_game(EXAMPLES / "own_game").warnings == ()


def test_the_exchange_in_the_readme_takes_place(url: str) -> None:
    with connect(url, subprotocols=[Subprotocol("hotseat.v1")], compression=None, proxy=None) as socket:
        for said in readme.exchange():
            if said.by_client:
                socket.send(json.dumps(said.message))
            else:
                assert_as_shown(said.message, json.loads(socket.recv(timeout=30)), said.message["type"])


def test_the_recordings_that_the_readme_replays_are_those_of_the_examples(url: str, folder: Path) -> None:
    run("raw_client.py", url)
    run("own_game/play.py", url)
    replays = [words for words in readme.commands() if words[:2] == ["hotseat", "replay"]]
    replayed = [word for words in replays for word in words if word.endswith(".jsonl")]
    assert replayed and all(len(list(folder.glob(pattern))) == 1 for pattern in replayed)


def assert_as_shown(shown: Any, real: Any, where: str) -> None:
    """What is shown is so; what is left out may be anything."""
    if shown == readme.ANY_NUMBER:
        assert isinstance(real, (int, float)), where
    elif shown == readme.ANY_TEXT:
        assert isinstance(real, str), where
    elif isinstance(shown, dict):
        for name, value in shown.items():
            assert name in real, f"{where} has no {name}"
            assert_as_shown(value, real[name], f"{where}.{name}")
    elif isinstance(shown, list) and shown:
        assert len(shown) == len(real), where
        for index, value in enumerate(shown):
            assert_as_shown(value, real[index], f"{where}[{index}]")
    elif not isinstance(shown, list):
        assert shown == real, where
