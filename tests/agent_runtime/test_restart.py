"""kill -9 between turns: another process takes the match up from the blocks on disk."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kv_store import check_store
from kv_store.check import Problem
from tests.agent_runtime.worlds import write_game
from tests.tiny_models import save_tiny_model

Reports = list[dict[str, Any]]


@contextmanager
def playing(folder: Path, store: str, first: int, last: int) -> Iterator[Callable[[], Reports]]:
    """Play turns `first` to `last` in a process that is then killed without warning; yields what waits for reports."""
    command = [sys.executable, "-m", "tests.agent_runtime.duel_process", folder / "model", folder / "games"]
    child = subprocess.Popen(
        [*map(str, command), str(folder / store), str(first), str(last)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    stdout = child.stdout
    assert stdout is not None

    def reports() -> Reports:
        lines = [stdout.readline() for _ in range(last - first + 1)]
        assert stdout.readline() == "waiting\n"
        return [json.loads(line) for line in lines]

    try:
        yield reports
    finally:
        child.kill()
        child.communicate(timeout=30)


@dataclass(frozen=True)
class Cut:
    """What was reported without a kill, and before one; the folder has the store `cut` as the kill left it."""

    folder: Path
    uninterrupted: Reports
    before: Reports


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Cut:
    folder = tmp_path_factory.mktemp("duel")
    save_tiny_model(folder / "model", "llama", 0)
    write_game(folder / "games")
    with playing(folder, "whole", 0, 3) as whole, playing(folder, "cut", 0, 2) as cut:
        return Cut(folder, whole(), cut())


@pytest.fixture
def cut(played: Cut, tmp_path: Path) -> Cut:
    """What was played, in a folder of the test's own."""
    shutil.copytree(played.folder, tmp_path, dirs_exist_ok=True)
    return Cut(tmp_path, played.uninterrupted, played.before)


def test_after_a_kill_the_next_turn_equals_an_uninterrupted_run_and_encodes_nothing(cut: Cut) -> None:
    assert [r["logprobs"] for r in cut.before] == [
        pytest.approx(r["logprobs"], abs=1e-5) for r in cut.uninterrupted[:3]
    ]
    assert {finding.problem for finding in check_store(cut.folder / "cut").findings} <= {Problem.TEMPORARY_FILE}
    # Turn 3's state was seen before, so that all its blocks are on disk.
    with playing(cut.folder, "cut", 3, 3) as reports:
        (after,) = reports()
    assert after["logprobs"] == pytest.approx(cut.uninterrupted[3]["logprobs"], abs=1e-5)
    assert after["encoded"] == []
    assert after["ready"]["encoded"] == 0
    assert after["ready"]["loaded"] > 100
    assert after["loaded"] == 1, "the unit that turn 3 sees as turn 0 saw it"
    assert after["not_durable"] == []


def test_a_damaged_pack_is_a_miss_that_is_encoded_again(cut: Cut) -> None:
    packs = list((cut.folder / "cut").rglob("*.safetensors"))
    assert packs
    for pack in packs:
        data = bytearray(pack.read_bytes())
        data[-40] ^= 1
        pack.write_bytes(data)
    with playing(cut.folder, "cut", 3, 3) as reports:
        (after,) = reports()
    assert after["logprobs"] == pytest.approx(cut.uninterrupted[3]["logprobs"], abs=1e-5)
    assert after["ready"]["encoded"] > 0
