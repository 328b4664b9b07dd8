"""All that the bench times, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from agent_runtime.engine.bench import capacity, cold_start, decode, load, sampled, throughput, transfer, ttft
from agent_runtime.engine.bench.errors import BadOption
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
_ALL: tuple[Any, ...] = (*ttft.CASES, *sampled.CASES, *_SIZED)
# What two cores do in minutes with a small model, where the cases' own numbers are a GPU's.
_ON_CPU: Mapping[str, str] = {
    "num_blocks": "24",
    "sessions": "8",
    "num_regions": "10",
    "num_seen": "8",
    "region_tokens": "85",
    "sheet_tokens": "40",
    "checked": "2",
    "hz": "2",
}


def gamecore(num_blocks: int, block_tokens: int) -> Sequence[BenchCase]:
    """Return the turns of a state of so many blocks, and one that ends in text."""
    return (*ttft.gamecore(num_blocks, block_tokens), sampled.sampled(num_blocks, block_tokens))


def chosen(part: str, given: Mapping[str, str], *, on_cpu: bool = False) -> Sequence[BenchCase]:
    """Return the cases whose names hold `part`, of the sizes that are `given`, as far as they have them.

    Those `on_cpu` are small where nothing is given. Raises BadOption if there is no such case, if no case that was
    chosen has such a size, or for a size that is no number above zero.
    """
    cases = [case for case in _ALL if part in case.name]
    if not cases:
        raise BadOption("--case", f"no case is called {part!r}: {'; '.join(case.name for case in _ALL)}")
    known = {size for case in cases if case in _SIZED for size in _sizes_of(case)}
    if unknown := [name for name in given if name not in known]:
        raise BadOption("--size", f"no case has a size {unknown[0]!r}: {', '.join(sorted(known)) or 'none has any'}")
    small = _ON_CPU if on_cpu else {}
    return [_resized(case, {**small, **given}) if case in _SIZED else case for case in cases]


def _sizes_of(case: Any) -> list[str]:
    return [each.name for each in fields(case) if isinstance(getattr(case, each.name), int | float)]


def _resized(case: Any, given: Mapping[str, str]) -> Any:
    sizes = {name: _number(name, given[name], getattr(case, name)) for name in _sizes_of(case) if name in given}
    resized = replace(case, **sizes)
    if getattr(resized, "num_seen", 0) > getattr(resized, "num_regions", 0):
        why = f"{resized.num_seen} of {resized.num_regions} regions cannot be seen: give num_regions as many or more"
        raise BadOption("--size", why)
    return resized


def _number(name: str, said: str, default: float) -> float:
    try:
        number = type(default)(said)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise BadOption("--size", f"{name} has to be a number above zero, and {said!r} is none")
    return number
