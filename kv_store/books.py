"""The store's books, in memory: which blocks exist, where they are, who uses them, and in which order they were used.

They say what is to be; the writer makes the disk follow, in the order in which things were asked for. So a block that
is dropped, forgotten or evicted is gone here at once, while its row and file may live a moment longer. No method does
I/O, and none locks: every caller holds the store's lock.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kv_store.errors import Fault
from kv_store.pack import Tensors
from kv_store.records import Contents, IndexedBlock, Pack

# The last use is kept exactly in memory and to this coarseness on disk: reading must not cost a write.
_USE_COARSENESS_S = 60


@dataclass(slots=True, eq=False)
class Entry:
    """One block: queued (`tensors` are set, `pack` is None) or durable (the other way round)."""

    key: str
    size_bytes: int
    note: str
    match: str
    tensors: Tensors | None = None
    pack: Pack | None = None
    checksum: str = ""
    used_s: int = 0


class Books:
    """What exists, as one process sees it. Blocks of another fingerprint take space but cannot be used."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.usable: set[str] = set()
        self.durable: set[str] = set()
        self.packs: dict[int, Pack] = {}
        self.pending_bytes = 0
        self.faults: Counter[Fault] = Counter()
        self.evicted_blocks = 0
        self._entries: OrderedDict[str, Entry] = OrderedDict()  # oldest use first
        self._links: dict[str, set[str]] = {}
        self._keys_of_match: dict[str, set[str]] = {}
        self._live: dict[int, dict[str, Entry]] = {}
        self._live_bytes: dict[int, int] = {}
        self._touched: dict[str, int] = {}

    def load(self, contents: Contents) -> None:
        """Take over what the index says."""
        for pack in contents.packs:
            self.add_pack(pack)
        for block in contents.blocks:
            self._adopt(self.packs[block.pack_id], block)
        for match, key in contents.links:
            self._add_link(match, key)

    def resync(self, contents: Contents) -> None:
        """The disk was repaired: what the index lost is gone, and what it found in packs new to it is there."""
        places = {block.key: block.pack_id for block in contents.blocks}
        packs = {pack.id: pack for pack in contents.packs}
        for entry in list(self.oldest_first()):
            if entry.pack is not None and places.get(entry.key) != entry.pack.id:
                self.remove(entry.key, keep_links=True)
        self.drop_packs([pack for pack in self.packs.values() if pack.id not in packs])
        new = {id: pack for id, pack in packs.items() if id not in self.packs}
        for pack in new.values():
            self.add_pack(pack)
        for block in contents.blocks:
            if block.pack_id in new and block.key not in self._entries:
                self._adopt(new[block.pack_id], block)

    # What there is

    def get(self, key: str) -> Entry | None:
        """The block under a key, also one that cannot be used."""
        return self._entries.get(key)

    def oldest_first(self) -> Iterator[Entry]:
        """Durable blocks in the order of their last use."""
        return (entry for entry in self._entries.values() if entry.pack is not None)

    def live(self, pack: Pack) -> Mapping[str, Entry]:
        """The blocks of a pack that exist."""
        return self._live[pack.id]

    def live_bytes(self, pack: Pack) -> int:
        """The bytes of the blocks of a pack that exist."""
        return self._live_bytes[pack.id]

    def has_dead(self, pack: Pack) -> bool:
        """Whether a pack holds blocks that do not exist any more."""
        return len(self._live[pack.id]) < pack.num_blocks

    def pack_bytes(self) -> int:
        """The size of all pack files: what the budget is about."""
        return sum(pack.size_bytes for pack in self.packs.values())

    def users(self, key: str) -> frozenset[str]:
        """The matches that use a block."""
        return frozenset(self._links.get(key, ()))

    def used_by(self, match: str) -> frozenset[str]:
        """The keys that a match uses, whether or not there is a block."""
        return frozenset(self._keys_of_match.get(match, ()))

    # What the caller asks for

    def add(self, match: str, key: str, tensors: Tensors, size_bytes: int, note: str, now_s: int) -> Entry:
        """A new block, queued. Whatever was known under the key and could not be used is gone."""
        self.remove(key, keep_links=True)
        entry = Entry(key, size_bytes, note, match, tensors, used_s=now_s)
        self._entries[key] = entry
        self.usable.add(key)
        self.pending_bytes += size_bytes
        self._add_link(match, key)
        return entry

    def link(self, match: str, keys: Iterable[str], now_s: int) -> list[str]:
        """The match uses these blocks too, or will when they are put. Returns the new links to blocks that exist."""
        new = []
        for key in keys:
            is_new = self._add_link(match, key)
            if key in self.usable:
                self.touch(key, now_s)
                if is_new:
                    new.append(key)
        return new

    def forget_match(self, match: str) -> None:
        """The match uses nothing any more; what nobody else uses is gone."""
        for key in self._keys_of_match.pop(match, ()):
            users = self._links[key]
            users.discard(match)
            if not users:
                self.remove(key, keep_links=False)
                continue
            entry = self._entries.get(key)
            if entry is not None and entry.pack is None and entry.match == match:
                entry.match = min(users)

    def touch(self, key: str, now_s: int) -> None:
        """The block was used."""
        self._entries.move_to_end(key)
        entry = self._entries[key]
        if now_s - entry.used_s >= _USE_COARSENESS_S:
            entry.used_s = self._touched[key] = now_s

    # What the disk makes of it

    def add_pack(self, pack: Pack) -> None:
        """A pack exists; so far none of its blocks does."""
        self.packs[pack.id] = pack
        self._live[pack.id] = {}
        self._live_bytes[pack.id] = 0

    def settle(self, entry: Entry, pack: Pack, checksum: str) -> None:
        """A queued block is durable now, unless it was forgotten meanwhile."""
        if self._entries.get(entry.key) is entry and entry.tensors is not None:
            entry.tensors, entry.checksum, entry.match = None, checksum, pack.match
            self.pending_bytes -= entry.size_bytes
            self._place(entry, pack)

    def relocate(self, entry: Entry, old: Pack, new: Pack) -> None:
        """A block was copied to another pack, unless it is gone or elsewhere already."""
        if self._entries.get(entry.key) is entry and entry.pack is old:
            self._unplace(entry)
            entry.match = new.match
            self._place(entry, new)

    def drop_packs(self, packs: Iterable[Pack]) -> None:
        """Packs are gone, and with them what still lay there."""
        for pack in packs:
            for key in list(self._live[pack.id]):
                self.remove(key, keep_links=True)
            del self.packs[pack.id], self._live[pack.id], self._live_bytes[pack.id]

    def remove(self, key: str, *, keep_links: bool) -> None:
        """A block does not exist any more. Links are kept where it is likely to be put anew."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.usable.discard(key)
            self._touched.pop(key, None)
            if entry.tensors is not None:
                self.pending_bytes -= entry.size_bytes
                entry.tensors = None
            if entry.pack is not None:
                self._unplace(entry)
        if not keep_links:
            for match in self._links.pop(key, ()):
                if keys := self._keys_of_match.get(match):
                    keys.discard(key)

    def take_touched(self) -> dict[str, int]:
        """The last uses (Unix seconds) that the index has not seen; they are handed over once."""
        touched, self._touched = self._touched, {}
        return touched

    def check(self) -> list[str]:
        """What does not add up; empty when the books are right. For tests, and for whoever doubts."""
        wrong: list[str] = []

        def expect(what: str, found: object, right: object) -> None:
            if found != right:
                wrong.append(f"{what}: {found!r} instead of {right!r}")

        entries = self._entries.values()
        pending = [entry for entry in entries if entry.tensors is not None]
        ours = {entry.key for entry in entries if entry.pack is None or entry.pack.fingerprint == self.fingerprint}
        expect("usable", self.usable, ours)
        expect("durable", self.durable, ours - {entry.key for entry in pending})
        expect("pending bytes", self.pending_bytes, sum(entry.size_bytes for entry in pending))
        expect(
            "queued or durable", [entry.key for entry in entries if (entry.tensors is None) == (entry.pack is None)], []
        )
        expect("unused blocks", [key for key in self._entries if not self._links.get(key)], [])
        expect("links both ways", {(m, k) for k, ms in self._links.items() for m in ms},
               {(m, k) for m, ks in self._keys_of_match.items() for k in ks})  # fmt: skip
        for pack in self.packs.values():
            there = {entry.key: entry for entry in entries if entry.pack is pack}
            expect(f"blocks of {pack.file}", self._live[pack.id], there)
            expect(f"bytes of {pack.file}", self._live_bytes[pack.id], sum(e.size_bytes for e in there.values()))
        return wrong

    def _adopt(self, pack: Pack, block: IndexedBlock) -> None:
        entry = Entry(
            block.key, block.size_bytes, block.note, pack.match, checksum=block.checksum, used_s=block.last_used_s
        )
        self._entries[block.key] = entry
        self._place(entry, pack)
        self._add_link(pack.match, block.key)

    def _add_link(self, match: str, key: str) -> bool:
        users = self._links.setdefault(key, set())
        if match in users:
            return False
        users.add(match)
        self._keys_of_match.setdefault(match, set()).add(key)
        return True

    def _place(self, entry: Entry, pack: Pack) -> None:
        entry.pack = pack
        self._live[pack.id][entry.key] = entry
        self._live_bytes[pack.id] += entry.size_bytes
        if pack.fingerprint == self.fingerprint:
            self.usable.add(entry.key)
            self.durable.add(entry.key)

    def _unplace(self, entry: Entry) -> None:
        assert entry.pack is not None
        del self._live[entry.pack.id][entry.key]
        self._live_bytes[entry.pack.id] -= entry.size_bytes
        self.durable.discard(entry.key)
        entry.pack = None
