"""The examples and the README's exchange, on a real server in a process of its own with a tiny random model."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from agent_runtime.demo.server import ServerProcess
from agent_runtime.engine.card import Card, write_card
from prompts import load_game
from tests import readme
from tests.readme import ROOT
from tests.tiny_models import save_tiny_model

EXAMPLES = ROOT / "examples"
OWN_MODULES = {"agent_runtime", "game_adapters", "kv_store", "prompts", "tests"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


def save_model_for_long_prompts(folder: Path) -> Path:
    """The tiny model, for the prompts of a whole camp; its rotations go on for ever."""
    save_tiny_model(folder)
    for name, key in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
        told = json.loads((folder / name).read_text(encoding="utf-8"))
        (folder / name).write_text(json.dumps({**told, key: 8192}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    model = save_model_for_long_prompts(folder / "model")
    write_card(model, Card(("star",)))  # tuned, as the embedded model is that it stands for
    arguments = [
        "--model",
        model,
        "--mode",
        "star",
        "--games",
        EXAMPLES,
        "--port",
        0,
    ]
    arguments += ["--store", folder / "store", "--record", folder / "recordings", "--pool-mib", 16]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv("HOTSEAT_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        with ServerProcess([str(each) for each in arguments], folder / "server.log", start_s=60) as server:
            yield server.start()


def run_to_its_end(*command: object) -> "subprocess.CompletedProcess[str]":
    """An example as a process, whatever its exit code."""
    return subprocess.run(
        [str(each) for each in command],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )


def run(example: str, url: str, *arguments: object) -> list[str]:
    """The lines that an example prints."""
    ran = run_to_its_end(sys.executable, EXAMPLES / example, url, *arguments)
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
    # A model this tiny encodes about as fast as it loads.
    arguments += ["--store", tmp_path / "store", "--pool-mib", 16, "--load-or-encode", "load"]
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


def test_all_npcs_of_a_tick_are_asked_at_once_and_told_what_became_of_it(url: str, folder: Path) -> None:
    opened, *ticks = run("npc_camp.py", url, "--npcs", 4, "--ticks", 2, "--blocks", 22)
    assert re.fullmatch(r"4 NPCs on one socket, mode star: [1-9]\d* tokens encoded, [1-9]\d* shared", opened)
    for number, tick in enumerate(ticks, 1):
        said = re.fullmatch(rf"tick {number}: 4 ok after \d+ ms, computed ([\d,]+) of ([\d,]+) tokens; .*", tick)
        assert said, tick
        # What the NPCs share is there for all: computed are the observations, the actions, and what has changed.
        computed, total = (int(each.replace(",", "")) for each in said.groups())
        assert 0 < computed < total / 3
    (recording,) = (folder / "recordings").glob("match-npc-camp-*.jsonl")
    lines = [json.loads(line) for line in recording.read_text(encoding="utf-8").splitlines()]
    kinds = [line["kind"] for line in lines if line.get("dir") == "c2s" and line["kind"].startswith("turn")]
    assert kinds == [*["turn"] * 4, *["turn.applied"] * 4] * 2
    # And again: the match is there, and goes on.
    assert len(run("npc_camp.py", url, "--npcs", 4, "--ticks", 1, "--blocks", 22)) == 2


def test_a_camp_that_cannot_be_is_told_in_a_sentence(url: str) -> None:
    ran = run_to_its_end(sys.executable, EXAMPLES / "npc_camp.py", url, "--npcs", 6, "--blocks", 2)
    assert ran.returncode == 1 and "at least 25" in ran.stderr and ran.stderr.count("\n") == 1


def test_a_latency_test_passes_under_its_limit_and_fails_over_it(url: str, folder: Path) -> None:
    run("own_game/play.py", url)
    (recording,) = (folder / "recordings").glob("match-lighthouse-*.jsonl")
    # Between two plays of the match lie other tests: at its own pace the recording would take as long as they did.
    command = (sys.executable, EXAMPLES / "replay_latency.py", recording, "--url", url, "--pace", 50)
    fine = run_to_its_end(*command, "--copies", 4, "--limit-ms", 50_000)
    assert fine.returncode == 0, fine.stdout + fine.stderr
    assert re.search(r"^\d+ turns of 4 matches at once in mode star: {'ok': \d+}$", fine.stdout, re.MULTILINE)
    slow = run_to_its_end(*command, "--limit-ms", 0.001)
    assert slow.returncode == 1 and "FAILED: slowest is" in slow.stdout
    absent = run_to_its_end(sys.executable, EXAMPLES / "replay_latency.py", recording, "--url", "ws://127.0.0.1:1")
    assert absent.returncode == 1 and absent.stderr.startswith("No server answers at") and "Trace" not in absent.stderr


@pytest.fixture(scope="module")
def node() -> list[str]:
    """Node with the browsers' WebSocket."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("there is no node on this machine")
    major = int(run_to_its_end(found, "--version").stdout.lstrip("v").split(".")[0])
    if major < 20:
        pytest.skip(f"node {major} has no WebSocket")
    return [found] if major >= 22 else [found, "--experimental-websocket"]


def test_a_client_as_unity_has_it_goes_on_when_its_line_is_cut(url: str, node: list[str]) -> None:
    first, second = (run_to_its_end(*node, EXAMPLES / "unity_like_client.js", url) for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    opened, *hours = first.stdout.splitlines()
    assert re.fullmatch(r"hotseat .*: session new, frame 1", opened)
    assert hours[2] == "hour 3: the line was cut; session resumed, said again"
    played = [line for line in hours if "computed" in line]
    assert [line.split(",")[0] for line in played] == [f"hour {hour}: ok" for hour in range(1, 5)]
    assert re.fullmatch(r"hotseat .*: session resumed, frame 6", second.stdout.splitlines()[0])


def test_a_turn_that_is_asked_again_behind_a_cut_line_is_decided_once(url: str, node: list[str], folder: Path) -> None:
    run_to_its_end(*node, EXAMPLES / "unity_like_client.js", url)
    (recording,) = (folder / "recordings").glob("match-unity-night-*.jsonl")
    lines = [json.loads(line) for line in recording.read_text(encoding="utf-8").splitlines()]
    asked = [json.loads(line["payload"])["turn_id"] for line in lines if line.get("kind") == "turn"]
    decided = [json.loads(line["payload"])["turn_id"] for line in lines if line.get("kind") == "account"]
    assert len(asked) > len(decided) == len(set(decided)) == len(set(asked))


def test_the_client_as_unity_has_it_says_that_no_server_listens(node: list[str]) -> None:
    ran = run_to_its_end(*node, EXAMPLES / "unity_like_client.js", "ws://127.0.0.1:1")
    assert ran.returncode == 1 and ran.stderr.startswith("no server listens on ws://127.0.0.1:1")


def test_the_client_as_unity_has_it_needs_no_package() -> None:
    source = (EXAMPLES / "unity_like_client.js").read_text(encoding="utf-8")
    assert not re.search(r"\brequire\(|\bimport\b", source)


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
