"""Keeping the disk within its budget and the packs worth opening: eviction, compaction, and forgetting a match.

- Eviction takes the least recently used blocks, wherever they lie, until what lives is nine tenths of the budget;
  packs without living blocks go, and those with the most dead bytes are rewritten until the files fit. If the disk
  refuses the rewriting, what still lived there goes too: it is a cache.
- When nothing else is to do, packs of which less than half lives are rewritten, and many small packs of a match become
  one (a turn that changes one block makes a pack of one block; 300 files are slow to read).
- Forgetting a match removes its folder. Blocks there that another match uses move to a pack of that match.

Nothing else touches the disk meanwhile; the books are changed under their lock.
"""

import threading
import time
from collections.abc import Callable, Sequence

from kv_store.archive import Archive
from kv_store.books import Books, Entry
from kv_store.pack import BlockToWrite
from kv_store.records import NewPack, Pack

_SMALL_PACKS_TO_MERGE = 32
_SMALL_SHARE = 16  # a pack below a 16th of the wanted size is small


class Upkeep:
    """Makes room and order on the disk of one store."""

    def __init__(
        self,
        archive: Archive,
        books: Books,
        lock: threading.Condition,
        disk: threading.Lock,
        budget_bytes: int | None,
        pack_bytes: int,
    ) -> None:
        self._archive, self._books, self._lock, self._disk = archive, books, lock, disk
        self._budget_bytes, self._pack_bytes = budget_bytes, pack_bytes

    def tidy(self, idle: bool) -> None:
        """Remove empty packs and keep the budget; when idle, also rewrite sparse packs and merge small ones."""
        with self._disk:
            self._remove_empty()
            self._evict()
            if idle:
                for match, packs in self._worth_rewriting():
                    for some in self._slices(packs):
                        self._rewrite(some, _stays_with(match))

    def forget(self, match: str) -> None:
        """Remove a match from the disk: its packs, its links, its folder. What others use moves to them.

        Called with the disk held. The match may have been taken up again since: what it uses now stays.
        """
        with self._lock:
            packs = [pack for pack in self._books.packs.values() if pack.match == match]

        def heir(entry: Entry) -> str:
            return min(self._books.users(entry.key) - {match}, default=match)

        for some in self._slices(packs):
            self._rewrite(some, heir)
        with self._lock:
            used_again = self._books.used_by(match)
        with self._archive.index.transaction() as transaction:
            transaction.remove_match(match, used_again)
        self._archive.sweep()

    def _remove_empty(self) -> None:
        with self._lock:
            empty = [pack for pack in self._books.packs.values() if not self._books.live(pack)]
        if empty:
            self._remove(empty)

    def _remove(self, packs: Sequence[Pack]) -> None:
        with self._archive.index.transaction() as transaction:
            transaction.remove_packs(packs)
        with self._lock:
            self._books.drop_packs(packs)
        self._archive.sweep()

    def _evict(self) -> None:
        if self._budget_bytes is None:
            return
        goal_bytes = self._budget_bytes * 9 // 10
        while (total_bytes := self._total_bytes()) > self._budget_bytes:
            self._evict_blocks(total_bytes - self._dead_bytes() - goal_bytes)
            self._remove_empty()
            while self._total_bytes() > self._budget_bytes and (pack := self._deadest()) is not None:
                try:
                    self._rewrite([pack], _stays_with(pack.match))
                except OSError:
                    self._evict_all(pack)

    def _total_bytes(self) -> int:
        with self._lock:
            return self._books.pack_bytes()

    def _dead_bytes(self) -> int:
        """What rewriting would free without evicting anything (a little less: headers)."""
        with self._lock:
            packs = [pack for pack in self._books.packs.values() if self._books.has_dead(pack)]
            return sum(pack.size_bytes - self._books.live_bytes(pack) for pack in packs)

    def _evict_blocks(self, wanted_bytes: int) -> None:
        with self._lock:
            victims: dict[str, int] = {}
            freed_bytes = 0
            for entry in self._books.oldest_first():
                if freed_bytes >= wanted_bytes:
                    break
                assert entry.pack is not None
                victims[entry.key] = entry.pack.id
                freed_bytes += max(1, entry.size_bytes)
            for key in victims:
                self._books.remove(key, keep_links=False)
            self._books.evicted_blocks += len(victims)
        with self._archive.index.transaction() as transaction:
            transaction.drop_blocks(victims.items())
            transaction.unlink(victims)

    def _evict_all(self, pack: Pack) -> None:
        with self._lock:
            keys = list(self._books.live(pack))
            self._books.evicted_blocks += len(keys)
            for key in keys:
                self._books.remove(key, keep_links=False)
        with self._archive.index.transaction() as transaction:
            transaction.unlink(keys)
        self._remove([pack])

    def _deadest(self) -> Pack | None:
        with self._lock:
            packs = [pack for pack in self._books.packs.values() if self._books.has_dead(pack)]
            return max(packs, key=lambda pack: pack.size_bytes - self._books.live_bytes(pack), default=None)

    def _worth_rewriting(self) -> list[tuple[str, list[Pack]]]:
        """Groups of packs that are better written as one; each group is of one match and one fingerprint."""
        small_bytes = self._pack_bytes // _SMALL_SHARE
        groups: list[tuple[str, list[Pack]]] = []
        small: dict[tuple[str, str], list[Pack]] = {}
        with self._lock:
            for pack in self._books.packs.values():
                if pack.size_bytes < small_bytes:
                    small.setdefault((pack.match, pack.fingerprint), []).append(pack)
                elif self._books.has_dead(pack) and self._books.live_bytes(pack) * 2 < pack.size_bytes:
                    groups.append((pack.match, [pack]))
        for (match, _), packs in small.items():
            if len(packs) >= _SMALL_PACKS_TO_MERGE:
                groups.append((match, packs))
        return groups

    def _rewrite(self, packs: Sequence[Pack], heir: Callable[[Entry], str]) -> None:
        """Copy what lives in these packs to new ones, one for each heir, and remove them."""
        with self._lock:
            living = [(entry, pack, heir(entry)) for pack in packs for entry in self._books.live(pack).values()]
        by_heir: dict[tuple[str, str], list[tuple[Entry, Pack]]] = {}
        for entry, pack, match in living:
            by_heir.setdefault((match, pack.fingerprint), []).append((entry, pack))
        written: list[tuple[NewPack, list[tuple[Entry, Pack]]]] = []
        try:
            for (match, fingerprint), some in by_heir.items():
                blocks = self._read(some)
                if blocks:
                    written.append((self._archive.write(match, fingerprint, blocks), some))
            with self._archive.index.transaction() as transaction:
                new_packs = [transaction.add_pack(new, int(time.time()), ()) for new, _ in written]
                for new_pack, (new, _) in zip(new_packs, written, strict=True):
                    transaction.move_blocks([block.key for block in new.blocks], packs, new_pack)
                transaction.remove_packs(packs)
        except Exception:
            self._archive.discard([new for new, _ in written])
            raise
        with self._lock:
            for new_pack, (new, some) in zip(new_packs, written, strict=True):
                self._books.add_pack(new_pack)
                moved = {block.key for block in new.blocks}
                for entry, old in some:
                    if entry.key in moved:
                        self._books.relocate(entry, old, new_pack)
            self._books.drop_packs(packs)
        self._archive.sweep()

    def _read(self, entries: Sequence[tuple[Entry, Pack]]) -> list[BlockToWrite]:
        """The blocks, verified. A bad one does not exist from now on."""
        blocks: list[BlockToWrite] = []
        by_pack: dict[int, tuple[Pack, list[Entry]]] = {}
        for entry, pack in entries:
            by_pack.setdefault(pack.id, (pack, []))[1].append(entry)
        for pack, some in by_pack.values():
            good, bad = self._archive.read(pack, {entry.key: entry.checksum for entry in some})
            blocks += [BlockToWrite(entry.key, good[entry.key], entry.note) for entry in some if entry.key in good]
            with self._lock:
                for entry in some:
                    if entry.key in bad:
                        self._books.faults[bad[entry.key]] += 1
                        if self._books.get(entry.key) is entry:
                            self._books.remove(entry.key, keep_links=True)
        return blocks

    def _slices(self, packs: Sequence[Pack]) -> list[list[Pack]]:
        """The packs in lists whose living bytes make about one pack: rewriting holds them in memory."""
        slices: list[list[Pack]] = []
        room_bytes = 0
        with self._lock:
            for pack in packs:
                room_bytes -= self._books.live_bytes(pack)
                if not slices or room_bytes < 0:
                    slices.append([])
                    room_bytes = self._pack_bytes - self._books.live_bytes(pack)
                slices[-1].append(pack)
        return slices


def _stays_with(match: str) -> Callable[[Entry], str]:
    return lambda entry: match
