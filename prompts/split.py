"""Where to split what is too long: borders that stay put when something else changes.

A run of units (members of an object, lines of a text) is divided before the unit whose hash is highest, and each half
again, until every run fits. A border thus depends on the units themselves and not on how much stands before them: an
insertion or a change of length touches the run it falls into and, seldom, some beside it: never more than three full
runs can hold, and never all that follows.
"""

import re
from collections.abc import Callable, Sequence
from hashlib import blake2b

# From the coarsest: lines, words, and two sizes of slices for what has no spaces.
_UNITS = tuple(re.compile(unit, re.DOTALL) for unit in (r"[^\n]*\n|[^\n]+", r"\s*\S+|\s+", ".{1,32}", "."))


def pack(units: Sequence[str], fits: Callable[[int, int], bool]) -> list[tuple[int, int]]:
    """Divide units into runs [first, end) that fit; a single unit stays as it is even if it does not."""
    hashes = [blake2b(unit.encode(errors="surrogatepass"), digest_size=8).digest() for unit in units]
    runs = []
    waiting = [(0, len(units))] if units else []
    while waiting:
        first, end = waiting.pop()
        if end - first == 1 or fits(first, end):
            runs.append((first, end))
            continue
        middle = (first + end) // 2
        # Equal units have equal hashes: of those take the one nearest to the middle.
        border = max(range(first + 1, end), key=lambda index: (hashes[index], -abs(index - middle)))
        waiting += [(border, end), (first, border)]
    return runs


def split_text(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Divide a text that does not fit into pieces that do: between lines, else words, else anywhere; losing nothing."""
    units = next((found for unit in _UNITS if len(found := unit.findall(text)) > 1), [text])
    runs = pack(units, lambda first, end: fits("".join(units[first:end])))
    if len(runs) == 1:
        return [text]
    pieces = ["".join(units[first:end]) for first, end in runs]
    return [part for piece in pieces for part in ([piece] if fits(piece) else split_text(piece, fits))]
