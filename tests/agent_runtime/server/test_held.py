"""What is held back goes out once, in its order, whoever lets it go."""

from functools import partial

from agent_runtime.server.held import Held


def test_what_is_held_back_is_posted_once_and_in_its_order() -> None:
    held, posted = Held(), list[int]()
    held.let_go()
    for number in range(3):
        held.hold(partial(posted.append, number))
    assert posted == []
    held.let_go()
    held.let_go()
    assert posted == [0, 1, 2]
