"""Reading blocks: from the queue or from their packs, verified; what is bad stops to exist."""

import threading
import time
from collections.abc import Callable, Collection, Iterable

from kv_store.archive import Archive
from kv_store.books import Books, Entry
from kv_store.errors import Fault
from kv_store.pack import Tensors
from kv_store.records import Pack
from kv_store.scribe import DropBlock


class Reader:
    """Reads the blocks of one store. `lock` guards the books, `submit` tells the writer what is bad."""

    def __init__(
        self, archive: Archive, books: Books, lock: threading.Condition, submit: Callable[[DropBlock], None]
    ) -> None:
        self._archive, self._books, self._lock, self._submit = archive, books, lock, submit
        self.read_blocks = 0
        self.read_bytes = 0

    def get_many(self, keys: Iterable[str]) -> dict[str, Tensors]:
        """The blocks that exist and are what was put. Each pack is opened once."""
        found: dict[str, Tensors] = {}
        wanted: Collection[str] = tuple(dict.fromkeys(keys))
        while wanted:  # again only for blocks that moved to another pack while theirs was read
            moved: list[str] = []
            for pack, entries in self._find(wanted, found):
                good, bad = self._archive.read(pack, {entry.key: checksum for entry, checksum in entries})
                found.update(good)
                with self._lock:
                    for entry, _ in entries:
                        if entry.key in good:
                            self.read_blocks += 1
                            self.read_bytes += entry.size_bytes
                        elif not self._drop(entry, pack, bad[entry.key]):
                            moved.append(entry.key)
            wanted = moved
        return found

    def _find(self, keys: Iterable[str], found: dict[str, Tensors]) -> list[tuple[Pack, list[tuple[Entry, str]]]]:
        """Where to read these blocks, by pack, with their checksums; queued ones are `found` right here."""
        places: dict[int, tuple[Pack, list[tuple[Entry, str]]]] = {}
        now_s = int(time.time())
        with self._lock:
            for key in keys:
                entry = self._books.get(key)
                if entry is None:
                    continue
                if entry.tensors is not None:
                    found[key] = entry.tensors
                elif entry.pack is not None and key in self._books.durable:
                    places.setdefault(entry.pack.id, (entry.pack, []))[1].append((entry, entry.checksum))
                else:
                    self._books.faults[Fault.FOREIGN] += 1
                    continue
                self._books.touch(key, now_s)
        return list(places.values())

    def _drop(self, entry: Entry, pack: Pack, fault: Fault) -> bool:
        """A block could not be read from a pack. False when that is only because it lies in another one now."""
        if self._books.get(entry.key) is entry and entry.pack is pack:
            self._books.faults[fault] += 1
            self._books.remove(entry.key, keep_links=True)
            self._submit(DropBlock(entry.key, pack.id))
            return True
        return entry.key not in self._books.usable
