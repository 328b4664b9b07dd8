"""A real process with a store is killed at a random moment, again and again on the same folder."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from kv_store.check import check_store
from kv_store.errors import StoreLocked
from kv_store.store import Store
from tests.kv_store.kill_child import LENGTH
from tests.kv_store.worlds import FINGERPRINT, opened, pack_paths, same, tensors_of, wrong_books


class Promises:
    """What killed processes had said, as far as it still holds."""

    def __init__(self) -> None:
        self.keys: dict[str, set[str]] = {}
        self.turn = 0
        self.given = 0

    def hear(self, line: str) -> None:
        word, *rest = line.split()
        if word == "durable":
            self.given += 1
            self.keys.setdefault(rest[0], set()).add(rest[1])
        elif word == "forgetting":
            self.keys.pop(rest[0], None)
        else:
            self.turn = int(rest[0])


def play_until_killed(folder: Path, seed: int, promises: Promises) -> None:
    """Kill a process after a random number of its lines; what it said until then counts."""
    lines_left = random.Random(seed).randrange(1, 400)
    arguments = [sys.executable, "-m", "tests.kv_store.kill_child", str(folder), str(seed)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        promises.turn = 0  # every process counts its turns anew
        for line in child.stdout:
            if line.endswith("\n"):  # the kill may have cut the last one
                promises.hear(line)
            if lines_left == 1:
                with pytest.raises(StoreLocked, match=f"process {child.pid} "):
                    Store(folder, fingerprint=FINGERPRINT)
            lines_left -= 1
            if lines_left == 0:
                child.kill()
        assert child.wait(60) != 0 and lines_left <= 0, "the child ended by itself"


def look(folder: Path, promises: Promises) -> None:
    """Everything promised is there and verifies, and nothing is there that has no place in the books."""
    with opened(folder) as store:
        for keys in promises.keys.values():
            found = store.get_many(keys)
            assert found.keys() == keys
            assert all(same(found[key], tensors_of(key, LENGTH)) for key in keys)
        document = store.get_document("session", "guard")
        assert promises.turn == 0 or (document is not None and document.body >= promises.turn)
        assert store.stats().faults == {}
        assert wrong_books(store) == []
        with store._disk:
            assert sum(path.stat().st_size for path in pack_paths(folder)) == store.stats().pack_bytes
    assert check_store(folder).clean


def torture(folder: Path, rounds: int) -> None:
    promises = Promises()
    for seed in range(rounds):
        play_until_killed(folder, seed, promises)
        look(folder, promises)
    assert promises.given > rounds


def test_a_killed_store_keeps_its_promises(tmp_path: Path) -> None:
    torture(tmp_path / "store", rounds=2)


@pytest.mark.soak
def test_a_store_killed_often_keeps_its_promises(tmp_path: Path) -> None:
    torture(tmp_path / "store", rounds=60)
