"""Who does how much: work is cut so that all programs of a kernel end together.

A stream is what one tile of rows has to go through, counted in tiles of keys; every key head goes through it once. Cut
streams are parts that have to be written down and merged, so the fewest cuts that come near to equal work are best.
Programs get units in a fixed order, the longest first, to and fro (`kernels.py`): program 0 gets the longest and later
the shortest. So a result does not depend on who is ready first, and nobody counts anything on the device.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy

# What writing a part and merging it takes, in tiles of keys; no unit is shorter than so many of them.
_A_PART, _LEAST = 2, 4
# Into how many units a stream is cut at most, and when nothing better is looked for: beside all programs' mean.
_MOST_CUTS, _ENOUGH = 128, 1.1
# How many answers are kept: turns over as many blocks, and most steps of those who decode, ask the same again. Each is
# a pair of numbers for every length that streams have.
_MOST_KEPT = 256


def longest_unit(streams: Iterable[int], num_heads: int, num_programs: int) -> int:
    """Return how many tiles of keys a unit has at most, so that the last program is ready as early as can be."""
    lengths = Counter(streams)
    if not any(lengths):
        return _LEAST
    return _longest_unit(tuple(sorted(lengths.items())), num_heads, num_programs)


@lru_cache(maxsize=_MOST_KEPT)
def _longest_unit(counted: tuple[tuple[int, int], ...], num_heads: int, num_programs: int) -> int:
    lengths = dict(counted)
    longest = max(lengths)
    enough = _ENOUGH * sum(length * count for length, count in lengths.items()) * num_heads / num_programs
    best, best_time = max(longest, _LEAST), float("inf")
    for cuts in range(1, _MOST_CUTS + 1):
        unit = -(-longest // cuts)
        if cuts > 1 and unit < _LEAST:
            break
        time = _time(lengths, unit, num_heads, num_programs)
        if time < best_time:
            best, best_time = unit, time
        if time <= enough:
            break
    return best


def _time(lengths: dict[int, int], unit: int, num_heads: int, num_programs: int) -> float:
    """Return when the last program is ready, about: the long units take whole rounds, and the short ones fill gaps."""
    num_long, total, slowest = 0, 0, 0
    for length, count in lengths.items():
        num_cuts = -(-length // unit)
        each = -(-length // num_cuts) if num_cuts else 0
        takes = each + (_A_PART if num_cuts > 1 else 0)
        total += count * num_cuts * takes
        slowest = max(slowest, takes)
        num_long += count * num_cuts if 2 * each > unit else 0
    rounds = -(-num_long * num_heads // num_programs)
    return max(rounds * slowest, total * num_heads / num_programs)


def cut(length: int, unit: int) -> list[int]:
    """Return where the units of a stream begin, and where the last one ends; they differ by one tile at most."""
    num_units = max(1, -(-length // unit))
    return [number * length // num_units for number in range(num_units + 1)]


def longest_first(lengths: Sequence[int] | numpy.ndarray) -> numpy.ndarray:
    """Return the order in which units are given out; those of one length keep theirs."""
    return numpy.argsort(-numpy.asarray(lengths, dtype=numpy.int64), kind="stable")


def loads(lengths: Sequence[int], num_heads: int, num_programs: int) -> numpy.ndarray:
    """Return how many tiles of keys every program goes through, as the kernels give units out, [programs]."""
    ordered = numpy.repeat(numpy.asarray(lengths, dtype=numpy.int64)[longest_first(lengths)], num_heads)
    rounds = numpy.pad(ordered, (0, -len(ordered) % num_programs)).reshape(-1, num_programs)
    rounds[1::2] = rounds[1::2, ::-1]
    found: numpy.ndarray = rounds.sum(0)
    return found
