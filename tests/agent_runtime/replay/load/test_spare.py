"""What can wait is done where nothing is due, in its order, and all of it."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from agent_runtime.replay.load.spare import SpareTime

MOST = 256


def run(main: Callable[[SpareTime, list[int]], Coroutine[Any, Any, None]]) -> list[int]:
    """What was done, by its number."""
    done: list[int] = []
    asyncio.run(main(SpareTime(), done))
    return done


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0)


def test_work_is_done_in_its_order_between_looks_at_the_sockets() -> None:
    async def main(spare: SpareTime, done: list[int]) -> None:
        for number in range(3):
            spare.put(partial(done.append, number))
        assert done == []
        seen = []
        while len(done) < 3:
            await asyncio.sleep(0)
            seen.append(len(done))
        assert seen == [1, 2, 3], "others have their turn behind each piece"

    assert run(main) == [0, 1, 2]


def test_work_waits_while_somebody_is_to_send_soon_and_no_longer() -> None:
    async def main(spare: SpareTime, done: list[int]) -> None:
        spare.expect("a", time.perf_counter() + 60)
        spare.expect("b", time.perf_counter())
        spare.put(partial(done.append, 0))
        for _ in range(100):
            await asyncio.sleep(0)
        assert done == []
        spare.expect("b", None)
        await until(lambda: bool(done))

    assert run(main) == [0]


def test_no_more_than_so_much_waits() -> None:
    async def main(spare: SpareTime, done: list[int]) -> None:
        spare.expect("a", time.perf_counter())
        for number in range(MOST + 2):
            spare.put(partial(done.append, number))
        assert done == [0, 1]
        spare.finish()
        spare.finish()
        assert len(done) == MOST + 2

    assert run(main) == list(range(MOST + 2))


def test_a_piece_that_fails_keeps_nobody_waiting() -> None:
    async def main(spare: SpareTime, done: list[int]) -> None:
        failed: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: failed.append(context["exception"]))
        spare.put(lambda: 1 / 0)
        spare.put(partial(done.append, 1))
        await until(lambda: bool(done))
        assert [type(error) for error in failed] == [ZeroDivisionError]

    assert run(main) == [1]
