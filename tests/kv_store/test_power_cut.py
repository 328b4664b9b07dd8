"""The power fails before some step that the store takes on the disk, one run for each; then it is opened again."""

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kv_store import durable_files, pack, upkeep
from kv_store.errors import StoreError
from kv_store.index import Index
from kv_store.store import Store
from kv_store.transaction import Transaction
from tests.kv_store.worlds import FINGERPRINT, QUICK, copy_store, opened, pack_paths, same, tensors_of, wrong_books

LENGTH = 1_000
KEYS = list("abcdefghij")
LIMITS = replace(QUICK, pack_bytes=40 * LENGTH)
BUDGET_BYTES = 8 * LENGTH


class PowerCut(SystemExit):
    """Ends a thread at once, as no handler expects it."""


class Mains:
    """Counts the steps on the disk; the one numbered `cut_at` and all behind it do not happen any more."""

    def __init__(self, cut_at: int) -> None:
        self.cut_at = cut_at
        self.steps = 0
        self.is_off = False

    def step(self) -> None:
        self.steps += 1
        self.is_off = self.is_off or self.steps == self.cut_at
        if self.is_off:
            raise PowerCut


@contextmanager
def mains(monkeypatch: pytest.MonkeyPatch, cut_at: int) -> Iterator[Mains]:
    """Everything that the store does to the disk depends on these mains."""
    power = Mains(cut_at)
    save_file, transaction = pack.save_file, Index.transaction

    def powered(name: str) -> object:
        def call(*arguments: object) -> object:
            power.step()
            return getattr(os, name)(*arguments)

        return call

    def powered_save(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        save_file(tensors, path, metadata=metadata)
        try:
            power.step()
        except PowerCut:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            raise

    @contextmanager
    def powered_transaction(self: Index) -> Iterator[Transaction]:
        power.step()
        with transaction(self) as open_transaction:
            yield open_transaction
            power.step()
        power.step()

    with monkeypatch.context() as patch:
        names = ("fsync", "replace", "unlink")
        fake = {"open": os.open, "close": os.close, "O_RDONLY": os.O_RDONLY, "name": os.name}
        patch.setattr(durable_files, "os", SimpleNamespace(**fake, **{name: powered(name) for name in names}))
        patch.setattr(pack, "save_file", powered_save)
        patch.setattr(Index, "transaction", powered_transaction)
        patch.setattr(threading, "excepthook", lambda arguments: None)
        yield power


class Witness:
    """What the store had promised when the power failed."""

    def __init__(self) -> None:
        self.store: Store | None = None
        self.forgotten: set[str] = set()
        self.turn = 0

    def play(self, folder: Path) -> None:
        """A match with everything in it: sharing, forgetting, evicting, merging, documents."""
        self.store = store = Store(folder, fingerprint=FINGERPRINT, budget_bytes=BUDGET_BYTES, limits=LIMITS)
        self._put("red", "a", "b")
        self._put("blue", "c")
        store.link("blue", ["a"])
        self._write_turn(1)
        self._put("blue", "d")
        store.forget_match("red")
        self._flush()
        self.forgotten = {"b"}
        self._put("blue", "e", "f", "g", "h")
        store.delete_document("session", "gone")
        self._write_turn(2)
        self._put("blue", "i", "j")
        store.close(10)

    def durable(self) -> set[str]:
        return set() if self.store is None else self.store.durable(KEYS)

    def _put(self, match: str, *keys: str) -> None:
        assert self.store is not None
        for key in keys:
            self.store.put(match, key, tensors_of(key, LENGTH))
        self._flush()

    def _write_turn(self, turn: int) -> None:
        assert self.store is not None
        self.store.put_document("session", "guard", turn)
        self._flush()
        self.turn = turn

    def _flush(self) -> None:
        assert self.store is not None
        self.store.flush(10)


def cut_before_every(stride: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Play with the power failing before step 1, 1 + stride, and so on, until it comes too late."""
    monkeypatch.setattr(upkeep, "_SMALL_PACKS_TO_MERGE", 3)
    with opened(tmp_path / "empty"):
        pass
    cut_at, went_through = 1 - stride, False
    while not went_through:
        cut_at += stride
        folder = tmp_path / str(cut_at)
        copy_store(tmp_path / "empty", folder)
        witness = Witness()
        with mains(monkeypatch, cut_at) as power:
            try:
                witness.play(folder)
            except (PowerCut, StoreError):
                assert power.is_off
            if witness.store is not None:
                witness.store.close(10)
        went_through = not power.is_off
        promised = witness.durable()
        if cut_at % 2 == 0:  # and it fails again while the store is opened
            with mains(monkeypatch, cut_at // 2 % 8 + 1), contextlib.suppress(PowerCut):
                Store(folder, fingerprint=FINGERPRINT, limits=LIMITS).close(10)
        with opened(folder) as store:
            assert store.check().clean, f"cut at step {cut_at}"
            assert wrong_books(store) == []
            assert promised <= store.durable(KEYS), f"cut at step {cut_at}"
            found = store.get_many(KEYS)
            assert found.keys() == store.durable(KEYS)
            assert all(same(found[key], tensors_of(key, LENGTH)) for key in found)
            assert not witness.forgotten & found.keys()
            document = store.get_document("session", "guard")
            assert witness.turn <= (document.body if document else 0)
            files = {path for path in folder.glob("matches/**/*") if path.is_file()}
            assert files == set(pack_paths(folder))
            assert sum(path.stat().st_size for path in files) == store.stats().pack_bytes
    assert cut_at > 60


def test_whatever_was_durable_when_the_power_failed_is_there_and_nothing_else_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_before_every(3, tmp_path, monkeypatch)


@pytest.mark.soak
def test_the_same_at_every_single_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_before_every(1, tmp_path, monkeypatch)
