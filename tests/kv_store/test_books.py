from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kv_store.books import Books, Entry
from kv_store.records import Contents, IndexedBlock, Pack
from tests.kv_store.worlds import tensors_of

MATCHES = st.sampled_from(["red", "blue", "green"])
KEYS = st.sampled_from([f"key{number}" for number in range(8)])


def pack(id: int, match: str = "red", fingerprint: str = "ours", num_blocks: int = 2) -> Pack:
    return Pack(id, match, f"matches/{match}/pack-{id}", fingerprint, 1_000, num_blocks)


def indexed(key: str, pack_id: int, last_used_s: int = 0) -> IndexedBlock:
    return IndexedBlock(key, pack_id, f"sum of {key}", 10, "", last_used_s)


def queued(books: Books, match: str, key: str) -> Entry:
    return books.add(match, key, tensors_of(key), 10, "", 0)


def test_books_take_over_what_the_index_says() -> None:
    books = Books("ours")
    theirs = pack(2, "blue", "theirs")
    contents = Contents((pack(1), theirs), (indexed("a", 1), indexed("b", 1), indexed("c", 2)), (("blue", "a"),))
    books.load(contents)
    assert books.durable == books.usable == {"a", "b"}
    assert books.users("a") == {"red", "blue"} and books.users("b") == {"red"} and books.users("c") == {"blue"}
    assert books.pack_bytes() == 2_000
    assert books.check() == []


def test_a_queued_block_is_usable_and_not_durable_until_it_is_settled() -> None:
    books = Books("ours")
    entry = queued(books, "red", "a")
    assert (books.usable, books.durable, books.pending_bytes) == ({"a"}, set(), 10)
    books.add_pack(pack(1))
    books.settle(entry, pack(1), "sum")
    assert (books.usable, books.durable, books.pending_bytes) == ({"a"}, {"a"}, 0)


def test_a_block_forgotten_while_it_is_written_stays_forgotten() -> None:
    books = Books("ours")
    first = queued(books, "red", "a")
    books.forget_match("red")
    second = queued(books, "red", "a")
    books.add_pack(pack(1))
    books.settle(first, pack(1), "sum")
    assert books.durable == set() and books.get("a") is second
    assert books.check() == []


def test_a_block_that_two_matches_use_outlives_one_and_a_queued_one_changes_its_owner() -> None:
    books = Books("ours")
    entry = queued(books, "red", "a")
    books.link("blue", ["a"], 0)
    books.forget_match("red")
    assert books.usable == {"a"} and entry.match == "blue"
    books.forget_match("blue")
    assert books.usable == set()


def test_a_link_to_a_block_that_is_not_there_yet_holds_when_it_comes() -> None:
    books = Books("ours")
    assert books.link("blue", ["a"], 0) == []
    queued(books, "red", "a")
    books.forget_match("red")
    assert books.usable == {"a"}


def test_links_of_a_bad_block_hold_again_when_it_is_put_anew_and_those_of_an_evicted_one_do_not() -> None:
    books = Books("ours")
    for key in ("bad", "evicted"):
        queued(books, "red", key)
        books.link("blue", [key], 0)
    books.remove("bad", keep_links=True)
    books.remove("evicted", keep_links=False)
    for key in ("bad", "evicted"):
        queued(books, "red", key)
    books.forget_match("red")
    assert books.usable == {"bad"}


def test_blocks_come_in_the_order_of_their_last_use_whatever_the_clock_says() -> None:
    books = Books("ours")
    books.load(Contents((pack(1, num_blocks=3),), (indexed("a", 1, 5), indexed("b", 1, 6), indexed("c", 1, 7)), ()))
    books.touch("a", 0)
    books.link("blue", ["b"], 0)
    assert [entry.key for entry in books.oldest_first()] == ["c", "a", "b"]


def test_last_uses_are_handed_over_once_and_only_when_they_moved_by_a_minute() -> None:
    books = Books("ours")
    books.load(Contents((pack(1),), (indexed("a", 1, 100), indexed("b", 1, 100)), ()))
    books.touch("a", 159)
    books.touch("b", 160)
    assert books.take_touched() == {"b": 160}
    assert books.take_touched() == {}


def test_relocation_moves_only_what_still_lies_in_the_old_pack() -> None:
    books = Books("ours")
    old, new, newer = pack(1), pack(2, "blue"), pack(3)
    books.load(Contents((old,), (indexed("a", 1), indexed("b", 1)), ()))
    a, b = books.get("a"), books.get("b")
    assert a is not None and b is not None
    books.add_pack(new)
    books.add_pack(newer)
    books.relocate(a, old, newer)
    books.relocate(a, old, new)
    books.relocate(b, old, new)
    assert (a.pack, b.pack, b.match) == (newer, new, "blue")
    books.drop_packs([old])
    assert books.durable == {"a", "b"} and books.check() == []


def test_after_a_repair_the_books_say_what_the_index_says() -> None:
    books = Books("ours")
    books.load(Contents((pack(1), pack(2)), (indexed("a", 1), indexed("b", 1), indexed("c", 2)), ()))
    queued(books, "red", "d")
    books.resync(Contents((pack(1), pack(3)), (indexed("a", 1), indexed("e", 3)), ()))
    assert books.durable == {"a", "e"} and books.usable == {"a", "d", "e"} and set(books.packs) == {1, 3}
    assert books.check() == []


class BooksAgainstAModel(RuleBasedStateMachine):
    """The books against a dictionary of key to users, with the writer's steps at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.books = Books("ours")
        self.users: dict[str, set[str]] = {}
        self.exists: set[str] = set()
        self.written: list[Entry] = []
        self.next_pack = 1

    @rule(match=MATCHES, key=KEYS)
    def put(self, match: str, key: str) -> None:
        if key in self.books.usable:
            self.books.link(match, [key], 0)
        else:
            self.written.append(queued(self.books, match, key))
        self.users.setdefault(key, set()).add(match)
        self.exists.add(key)

    @rule(match=MATCHES, key=KEYS)
    def link(self, match: str, key: str) -> None:
        self.books.link(match, [key], 0)
        self.users.setdefault(key, set()).add(match)

    @rule(match=MATCHES)
    def forget(self, match: str) -> None:
        self.books.forget_match(match)
        for key, users in self.users.items():
            users.discard(match)
            if not users:
                self.exists.discard(key)

    @rule(key=KEYS, keep_links=st.booleans())
    def remove(self, key: str, keep_links: bool) -> None:
        self.books.remove(key, keep_links=keep_links)
        self.exists.discard(key)
        if not keep_links:
            self.users.pop(key, None)

    @precondition(lambda self: self.written)
    @rule()
    def settle(self) -> None:
        new = pack(self.next_pack, num_blocks=len(self.written))
        self.next_pack += 1
        self.books.add_pack(new)
        for entry in self.written:
            self.books.settle(entry, new, "sum")
        self.written = []

    @rule()
    def drop_empty_packs(self) -> None:
        self.books.drop_packs([one for one in self.books.packs.values() if not self.books.live(one)])

    @invariant()
    def agrees(self) -> None:
        assert self.books.check() == []
        assert self.books.usable == self.exists
        for key in self.exists:
            assert self.books.users(key) == self.users[key]


TestBooksAgainstAModel = BooksAgainstAModel.TestCase
TestBooksAgainstAModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
