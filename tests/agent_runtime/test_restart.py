"""kill -9 between turns: another process takes the match up from the blocks on disk."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kv_store import check_store
from kv_store.check import Problem
from tests.agent_runtime.worlds import write_game
from tests.tiny_models import save_tiny_model


@contextmanager
def playing(folder: Path, store: str, first: int, last: int) -> Iterator[list[dict[str, Any]]]:
    """The reports of turns `first` to `last`, played in a process that is then killed without warning."""
    command = [sys.executable, "-m", "tests.agent_runtime.duel_process", folder / "model", folder / "games"]
    child = subprocess.Popen(
        [*map(str, command), str(folder / store), str(first), str(last)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(last - first + 1)]
        assert child.stdout.readline() == "waiting\n"
        yield [json.loads(line) for line in lines]
    finally:
        child.kill()
        child.communicate(timeout=30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_tiny_model(tmp_path / "model", "llama", 0)
    write_game(tmp_path / "games")
    return tmp_path


def test_after_a_kill_the_next_turn_equals_an_uninterrupted_run_and_encodes_nothing(folder: Path) -> None:
    with playing(folder, "whole", 0, 3) as reports:
        uninterrupted = reports
    with playing(folder, "cut", 0, 2) as before:
        assert [r["logprobs"] for r in before] == [pytest.approx(r["logprobs"], abs=1e-5) for r in uninterrupted[:3]]
    assert {finding.problem for finding in check_store(folder / "cut").findings} <= {Problem.TEMPORARY_FILE}
    # Turn 3's state was seen before, so that all its blocks are on disk.
    with playing(folder, "cut", 3, 3) as after:
        assert after[0]["logprobs"] == pytest.approx(uninterrupted[3]["logprobs"], abs=1e-5)
        assert after[0]["encoded"] == []
        assert after[0]["ready"]["encoded"] == 0
        assert after[0]["ready"]["loaded"] > 100
        assert after[0]["loaded"] == 1, "the unit that turn 3 sees as turn 0 saw it"
        assert after[0]["not_durable"] == []


def test_a_damaged_pack_is_a_miss_that_is_encoded_again(folder: Path) -> None:
    with playing(folder, "store", 0, 3) as reports:
        whole = reports
    with playing(folder, "damaged", 0, 2):
        pass
    for pack in (folder / "damaged").rglob("*.safetensors"):
        data = bytearray(pack.read_bytes())
        data[-40] ^= 1
        pack.write_bytes(data)
    with playing(folder, "damaged", 3, 3) as after:
        assert after[0]["logprobs"] == pytest.approx(whole[3]["logprobs"], abs=1e-5)
        assert after[0]["ready"]["encoded"] > 0
