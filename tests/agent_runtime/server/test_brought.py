"""What is brought is taken in once, in its order, whoever is woken for it."""

from collections.abc import Callable
from functools import partial

from agent_runtime.server.brought import Brought


def test_what_is_held_is_taken_in_with_what_comes_next_and_before_it() -> None:
    posted, seen = list[Callable[[], None]](), list[int]()
    brought = Brought(posted.append)
    brought.let_go()
    brought.hold(partial(seen.append, 0))
    assert not posted and len(brought) == 1
    brought.bring(partial(seen.append, 1))
    brought.hold(partial(seen.append, 2))
    brought.let_go()
    for call in posted:
        call()
    assert seen == [0, 1, 2] and len(posted) == 2 and len(brought) == 0


def test_what_one_of_them_makes_happen_lets_no_other_before_it() -> None:
    seen = list[str]()

    def first() -> None:
        brought.take_in()
        seen.append("first")

    brought = Brought(lambda call: None)
    brought.bring(first)
    brought.bring(partial(seen.append, "second"))
    brought.take_in()
    assert seen == ["first", "second"]


def test_one_that_fails_holds_the_next_ones_up_no_longer_than_until_something_comes() -> None:
    seen = list[str]()
    brought = Brought(lambda call: None)
    brought.bring(partial(next, iter(())))
    brought.bring(partial(seen.append, "second"))
    for _ in range(2):
        try:
            brought.take_in()
        except StopIteration:
            seen.append("failed")
    assert seen == ["failed", "second"]
