"""Background work of one caller, when its engine goes away. What it brings is tested with the runtime."""

from collections.abc import Sequence
from typing import Any

import pytest

from agent_runtime.engine.errors import EngineClosed
from agent_runtime.prefetch import _Run


class ClosedEngine:
    def submit(self, script: object, **options: Any) -> None:
        raise EngineClosed


@pytest.mark.parametrize("at_once", [1, 2000])
def test_any_number_of_scripts_ends_with_the_engine(at_once: int) -> None:
    ended: list[_Run] = []
    scripts: Sequence[Any] = [iter(())] * 2000
    run = _Run(ClosedEngine(), scripts, at_once=at_once, on_end=ended.append)  # type: ignore[arg-type]
    run.start()
    assert run.ended.done() and ended == [run]
    assert (run.rows, run.forwards) == (0, 0)
