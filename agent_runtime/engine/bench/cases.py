"""All that the bench times, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from agent_runtime.engine.bench import capacity, cold_start, decode, load, throughput, transfer, ttft
from agent_runtime.engine.bench.setting import BenchCase

# Whose names do not say how large they are.
_SIZED: tuple[Any, ...] = (
    *cold_start.CASES,
    *decode.CASES,
    *throughput.CASES,
    *capacity.CASES,
    *transfer.CASES,
    *load.CASES,
)


def chosen(part: str, given: Mapping[str, str]) -> Sequence[BenchCase]:
    """Return the cases whose names hold `part`, of the sizes that are `given`, as far as they have them.

    Raises LookupError if there is no such case, or no case has such a size, ValueError for a size that is no number.
    """
    known = {size for case in _SIZED for size in _sizes_of(case)}
    if unknown := [name for name in given if name not in known]:
        raise LookupError(f"no case has a size {unknown[0]!r}: {', '.join(sorted(known))}")
    cases: list[BenchCase] = [*ttft.CASES, *(_resized(case, given) for case in _SIZED)]
    found = [case for case in cases if part in case.name]
    if not found:
        raise LookupError(f"no case is called {part!r}: {'; '.join(case.name for case in cases)}")
    return found


def _sizes_of(case: Any) -> list[str]:
    return [each.name for each in fields(case) if isinstance(getattr(case, each.name), int | float)]


def _resized(case: Any, given: Mapping[str, str]) -> Any:
    sizes = {name: type(getattr(case, name))(given[name]) for name in _sizes_of(case) if name in given}
    return replace(case, **sizes)
