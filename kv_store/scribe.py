"""What the writer does with a batch: packs first, then one commit for everything, then the books.

A batch can be performed again after any failure: what it left behind is removed, or replaced by the next attempt.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from kv_store import documents as document_records
from kv_store.archive import Archive
from kv_store.books import Books, Entry
from kv_store.documents import Documents
from kv_store.pack import BlockToWrite
from kv_store.records import NewPack
from kv_store.upkeep import Upkeep

# A pack's header is parsed whole by every read of it; safetensors allows 100 MB.
_MOST_BLOCKS_A_BATCH = 1_024
_MOST_TENSORS_A_BATCH = 16_384
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PutBlock:
    """Write a block, unless it was forgotten meanwhile."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class AddLinks:
    """A match uses these blocks too."""

    match: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DropBlock:
    """A block turned out bad in this pack."""

    key: str
    pack_id: int


@dataclass(frozen=True, slots=True)
class WriteDocument:
    """Write the latest version of a document."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class ForgetMatch:
    """A match uses nothing any more."""

    match: str


Operation = PutBlock | AddLinks | DropBlock | WriteDocument | ForgetMatch


class Scribe:
    """Performs batches of operations. `disk` is held while the disk changes, `lock` while the books are looked at."""

    def __init__(
        self,
        archive: Archive,
        books: Books,
        documents: Documents,
        upkeep: Upkeep,
        lock: threading.Condition,
        disk: threading.Lock,
        pack_bytes: int,
    ) -> None:
        self._archive, self._books, self._documents, self._upkeep = archive, books, documents, upkeep
        self._lock, self._disk, self._pack_bytes = lock, disk, pack_bytes

    def is_full(self, queue: deque[Operation]) -> bool:
        """Whether waiting for more would not make the next batch larger."""
        return len(queue) >= _MOST_BLOCKS_A_BATCH or self._books.pending_bytes >= self._pack_bytes

    def take(self, queue: deque[Operation]) -> list[Operation]:
        """Remove one batch from the queue: about one pack of blocks; forgetting a match is a batch of its own."""
        batch: list[Operation] = []
        size_bytes = num_tensors = 0
        while queue and len(batch) < _MOST_BLOCKS_A_BATCH:
            operation = queue[0]
            if isinstance(operation, ForgetMatch) and batch:
                break
            if isinstance(operation, PutBlock):
                size_bytes += operation.entry.size_bytes
                num_tensors += len(operation.entry.tensors or ())
                if batch and (size_bytes > self._pack_bytes or num_tensors > _MOST_TENSORS_A_BATCH):
                    break
            batch.append(queue.popleft())
            if isinstance(operation, ForgetMatch):
                break
        self._documents.take((one.kind, one.id) for one in batch if isinstance(one, WriteDocument))
        return batch

    def perform(self, batch: Sequence[Operation]) -> None:
        """Make a batch durable. Raises whatever the disk or the database raises; then nothing of it counts."""
        with self._disk:
            if isinstance(batch[0], ForgetMatch):
                self._upkeep.forget(batch[0].match)
            else:
                self._write(batch)

    def write_last_uses(self) -> None:
        """Record last uses that no batch has carried."""
        with self._disk:
            with self._lock:
                touched = self._books.take_touched()
            if touched:
                with self._archive.index.transaction() as transaction:
                    transaction.touch(touched)

    def _write(self, batch: Sequence[Operation]) -> None:
        now_s = int(time.time())
        entries: dict[str, list[tuple[Entry, BlockToWrite]]] = {}
        with self._lock:
            for operation in batch:
                # An entry that is not in the books any more was forgotten; a retry finds settled ones without tensors.
                if isinstance(operation, PutBlock) and (entry := operation.entry).tensors is not None:
                    block = BlockToWrite(entry.key, entry.tensors, entry.note)
                    entries.setdefault(entry.match, []).append((entry, block))
            users = {entry.key: self._books.users(entry.key) for some in entries.values() for entry, _ in some}
            queued = self._documents.queued((one.kind, one.id) for one in batch if isinstance(one, WriteDocument))
            touched = self._books.take_touched()
        written: list[NewPack] = []
        try:
            for match, some in entries.items():
                written.append(self._archive.write(match, self._books.fingerprint, [block for _, block in some]))
            with self._archive.index.transaction() as transaction:
                transaction.drop_blocks((one.key, one.pack_id) for one in batch if isinstance(one, DropBlock))
                packs = [transaction.add_pack(new, now_s) for new in written]
                links: dict[str, list[str]] = {}
                for key, matches in users.items():
                    for match in matches:
                        links.setdefault(match, []).append(key)
                for operation in batch:
                    if isinstance(operation, AddLinks):
                        links.setdefault(operation.match, []).extend(operation.keys)
                for match, keys in links.items():
                    transaction.link(match, dict.fromkeys(keys))
                transaction.touch(touched)
                refused = document_records.write(transaction, queued)
        except Exception:
            self._archive.discard(written)
            raise
        with self._lock:
            for pack, new, some in zip(packs, written, entries.values(), strict=True):
                self._books.add_pack(pack)
                for (entry, _), written_block in zip(some, new.blocks, strict=True):
                    self._books.settle(entry, pack, written_block.checksum)
            self._documents.settle(queued, len(refused))
        for error in refused:
            _log.error("%s", error)
