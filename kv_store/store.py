"""The store: named tensors under opaque keys, kept for matches, written behind, verified on every read.

A key names its content: putting a key that exists only links it to the match. What cannot be read as it was written is
absent, counted, and forgotten, so that it is put anew. Reading and asking never write; putting never waits for the
disk.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from kv_store.archive import Archive
from kv_store.books import Books
from kv_store.check import CheckReport, check_archive
from kv_store.database import describe, open_database, translated
from kv_store.documents import Document, Documents, Json, check_name
from kv_store.durable_files import make_folder
from kv_store.errors import BadMatch, StoreClosed, StoreUnusable, StoreWriteError
from kv_store.folder_lock import FolderLock, holder_of
from kv_store.index import Index
from kv_store.limits import DEFAULT_LIMITS, StoreLimits
from kv_store.listing import StoreListing, describe_store
from kv_store.pack import Tensors, check_block, is_storable_text
from kv_store.reader import Reader
from kv_store.reports import FlushCount, Leftover, StoreStats
from kv_store.scribe import AddLinks, ForgetMatch, Operation, PutBlock, Scribe, WriteDocument
from kv_store.upkeep import Upkeep
from kv_store.write_behind import WriteBehind

_log = logging.getLogger(__name__)


class Store:
    """The blocks and documents of one folder, for one process at a time. Every method may be called from any thread.

    Raises StoreLocked, StoreUnusable, IndexDamaged or SchemaTooNew when it cannot be opened. `budget_bytes` bounds the
    pack files (for a moment, one batch more): the least recently used blocks go first, documents never.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fingerprint: str,
        url: str | None = None,
        budget_bytes: int | None = None,
        limits: StoreLimits = DEFAULT_LIMITS,
    ) -> None:
        self.folder = folder = folder.absolute()
        self._budget_bytes, self._limits = budget_bytes, limits
        try:
            make_folder(folder)
        except OSError as error:
            raise StoreUnusable(folder, str(error)) from error
        self._folder_lock = FolderLock(folder)
        try:
            self._open(fingerprint, url)
        except BaseException:
            self._folder_lock.release()
            raise
        self._writer.start()

    def _open(self, fingerprint: str, url: str | None) -> None:
        self._archive = Archive(self.folder, Index(open_database(self.folder, url)))
        self._lock = threading.Condition()
        self._disk = threading.Lock()  # taken before `_lock`, never while holding it
        self._books = Books(fingerprint)
        self._closed = False
        self._dropped_blocks = self._unreported_drops = 0
        try:
            with translated(self.folder):
                self._recovery = self._archive.recover()
                self._books.load(self._archive.index.contents())
                self._documents = Documents(self._archive.index)
        except OSError as error:
            self._archive.close()
            raise StoreUnusable(self.folder, str(error)) from error
        except BaseException:
            self._archive.close()
            raise
        pack_bytes = self._limits.pack_bytes
        upkeep = Upkeep(self._archive, self._books, self._lock, self._disk, self._budget_bytes, pack_bytes)
        self._scribe = Scribe(self._archive, self._books, self._documents, upkeep, self._lock, self._disk, pack_bytes)
        self._writer: WriteBehind[Operation] = WriteBehind(
            self._lock,
            take=self._scribe.take,
            is_full=self._scribe.is_full,
            perform=self._scribe.perform,
            tidy=upkeep.tidy,
            finish=self._finish,
            linger_s=self._limits.linger_s,
            retry_first_s=self._limits.retry_first_s,
            retry_most_s=self._limits.retry_most_s,
        )
        self._reader = Reader(self._archive, self._books, self._lock, self._writer.submit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(drain_s=5.0)

    # Blocks

    def put(self, match: str, key: str, tensors: Tensors, note: str = "") -> None:
        """Keep a block for a match; the tensors are the store's from now on. Raises BadBlock, BadMatch or StoreClosed.

        Returns at once. When the queue is full, the block is dropped and counted instead.
        """
        check_block(key, tensors)
        size_bytes = sum(tensor.nbytes for tensor in tensors.values())
        note = note.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
        with self._opened(match):
            if key in self._books.usable:
                self._link(match, (key,))
            elif self._books.pending_bytes + size_bytes > self._limits.queue_bytes:
                self._dropped_blocks += 1
                self._unreported_drops += 1
            else:
                held = {name: tensor.detach() for name, tensor in tensors.items()}
                entry = self._books.add(match, key, held, size_bytes, note, int(time.time()))
                self._writer.submit(PutBlock(entry))

    def link(self, match: str, keys: Iterable[str]) -> None:
        """The match uses these blocks too, or will when they are put: they outlive the match that put them."""
        with self._opened(match):
            self._link(match, keys)

    def get_many(self, keys: Iterable[str]) -> dict[str, Tensors]:
        """The blocks that exist and are what was put, each verified. Never raises for what a disk does."""
        self._check_open()
        return self._reader.get_many(keys)

    def contains(self, keys: Iterable[str]) -> set[str]:
        """Those keys under which there is a block, durable or queued."""
        with self._lock:
            return self._books.usable.intersection(keys)

    def durable(self, keys: Iterable[str]) -> set[str]:
        """Those keys whose block would be there after a power cut now."""
        with self._lock:
            return self._books.durable.intersection(keys)

    def forget_match(self, match: str) -> None:
        """The match uses nothing any more. What no other uses is gone at once, and from the disk a little later."""
        with self._opened(match):
            self._books.forget_match(match)
            self._writer.submit(ForgetMatch(match))

    # Documents

    def put_document(self, kind: str, id: str, body: Json) -> None:
        """Keep a JSON record, instead of the one that was there; the body is the store's from now on.

        Raises BadDocument for a name that cannot be stored. A body that is not JSON is refused by the writer: logged,
        and counted in the stats.
        """
        self._queue_document(kind, id, body, deleted=False)

    def get_document(self, kind: str, id: str) -> Document | None:
        """The latest version of a record."""
        self._check_open()
        with translated(self.folder):
            return self._documents.get(kind, id)

    def list_documents(self, kind: str) -> list[Document]:
        """The latest version of every record of a kind, by id."""
        self._check_open()
        with translated(self.folder):
            return self._documents.all_of(kind)

    def delete_document(self, kind: str, id: str) -> None:
        """Forget a record."""
        self._queue_document(kind, id, None, deleted=True)

    # The whole

    def flush(self, timeout_s: float) -> FlushCount:
        """Return when all that was put or forgotten before is durable. Raises StoreWriteError; it stays queued."""
        with self._opened():
            blocks, size_bytes = self._pending_blocks(), self._books.pending_bytes
            dropped, self._unreported_drops = self._unreported_drops, 0
        failure = self._writer.wait(timeout_s)
        if failure is not None:
            with self._lock:
                self._unreported_drops += dropped
                raise StoreWriteError(
                    self.folder,
                    describe(failure),
                    self._pending_blocks(),
                    self._books.pending_bytes,
                    len(self._documents),
                ) from failure
        return FlushCount(blocks, size_bytes, dropped)

    def stats(self) -> StoreStats:
        """Counters and sizes."""
        with self._lock:
            failure = self._writer.failure
            return StoreStats(
                blocks=len(self._books.durable),
                packs=len(self._books.packs),
                pack_bytes=self._books.pack_bytes(),
                budget_bytes=self._budget_bytes,
                pending_blocks=self._pending_blocks(),
                pending_bytes=self._books.pending_bytes,
                dropped_blocks=self._dropped_blocks,
                evicted_blocks=self._books.evicted_blocks,
                read_blocks=self._reader.read_blocks,
                read_bytes=self._reader.read_bytes,
                faults=dict(self._books.faults),
                refused_documents=self._documents.refused,
                write_failure=None if failure is None else describe(failure),
                recovery=self._recovery,
            )

    def listing(self) -> StoreListing:
        """What is on disk, match by match."""
        self._check_open()
        with translated(self.folder):
            return describe_store(self.folder, self._archive.index, holder_of(self.folder))

    def check(self, repair: bool = False) -> CheckReport:
        """Read and verify everything; with `repair`, put right what is wrong. Puts are only queued meanwhile."""
        self._check_open()
        with self._disk, translated(self.folder):
            report = check_archive(self._archive, repair=repair)
            if report.repaired:
                contents = self._archive.index.contents()
                with self._lock:
                    self._books.resync(contents)
        return report

    def close(self, drain_s: float) -> Leftover:
        """Write what is queued for at most `drain_s`, give the folder back, and say what was lost."""
        with self._lock:
            self._closed = True
        self._writer.stop(drain_s)
        with self._lock:
            return Leftover(self._pending_blocks(), self._books.pending_bytes, len(self._documents))

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(self.folder)

    @contextmanager
    def _opened(self, match: str = "") -> Iterator[None]:
        """Hold the lock of a store that is open, for a match id that can be stored."""
        if not is_storable_text(match):
            raise BadMatch(match)
        with self._lock:
            self._check_open()
            yield

    def _pending_blocks(self) -> int:
        return len(self._books.usable) - len(self._books.durable)

    def _link(self, match: str, keys: Iterable[str]) -> None:
        new = self._books.link(match, keys, int(time.time()))
        if new:
            self._writer.submit(AddLinks(match, tuple(new)))

    def _queue_document(self, kind: str, id: str, body: Json, *, deleted: bool) -> None:
        check_name(kind, id)
        with self._opened():
            if self._documents.queue(kind, id, body, deleted=deleted, now_s=int(time.time())):
                self._writer.submit(WriteDocument(kind, id))

    def _finish(self) -> None:
        """The writer's last act, so that nothing is let go of while it still writes."""
        try:
            self._scribe.write_last_uses()
        except Exception as error:  # the disk refuses; only the order of eviction suffers
            _log.warning("the last uses were not recorded: %s", error)
        finally:
            self._archive.close()
            self._folder_lock.release()
