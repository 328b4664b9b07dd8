"""How a compiled kernel tells its specialised warps what to run: whether it is as `tests/gpu/hazards.py` says (PTX).

The warps that a kernel is launched with write a byte for each other warp, all at once; each of those reads its own. All
warps then meet four times: when a partition is written, before they run it, behind it, and when it is written that they
may leave. A read and a write that barriers of all warps surround are never of the same time if each side comes past as
many of them from one to the next, by whatever way it goes: that is what is counted here.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath

LAUNCHED, OTHERS = 4, 8  # warps
_WRITE = re.compile(r"st\.shared\.v2\.b32 \[global_smem\+(\d+)\], \{\d+, \d+\}")
_READ = re.compile(r"ld\.shared\.b8 %\w+, \[(%\w+)\+(\d+)\]")
# What touches memory, and names none that is not shared.
_MEMORY = re.compile(r"(ld|ldu|st|atom|red|cp|wgmma|mbarrier|multimem|tensormap)\.|ldmatrix|stmatrix")
_ELSEWHERE = re.compile(r"(ld|ldu|st|atom|red)(\.\w+)*\.(param|global|local|const)\b")
_LABEL = re.compile(r"([$\w]+):(?!:)")
_BRANCH = re.compile(r"\bbra(?:\.uni)? ([$\w]+)")
_OF_ALL = "barrier.sync 1"
_MANY = 16  # barriers: more than there are, on a way that goes round


@dataclass(frozen=True, slots=True)
class Step:
    """A barrier of all warps, an access to shared memory, a label, a branch or a return, and the line it is of."""

    text: str
    file: int
    line: int

    @property
    def is_barrier(self) -> bool:
        """Whether all warps wait for each other."""
        return self.text == _OF_ALL

    @property
    def is_access(self) -> bool:
        """Whether shared memory may be touched."""
        return _MEMORY.match(self.text) is not None and _ELSEWHERE.match(self.text) is None


def faults_of(ptx: str, file_name: str, lines: Collection[int], shared_bytes: int) -> list[str]:
    """Return, a sentence each, what is not as it should be at these lines of a kernel that takes so much memory."""
    steps = list(_steps(ptx))
    files = {
        int(number) for number, path in re.findall(r'\.file\s+(\d+) "([^"]+)"', ptx) if PurePath(path).name == file_name
    }
    # What has no line (0) may be reported at the line before it.
    ours = [at for at, each in enumerate(steps) if each.is_access and (each.line == 0 or _is_at(each, files, lines))]
    writes = [
        at for at in ours if (found := _WRITE.fullmatch(steps[at].text)) and int(found[1]) + OTHERS == shared_bytes
    ]
    reads = [at for at in ours if _is_read(steps[at].text, ptx, shared_bytes)]
    faults = [f"not of the hand-over: {steps[at].text}" for at in ours if at not in writes and at not in reads]
    if not writes or not reads:
        return [*faults, "nothing is handed over"]
    faults += [f"no barrier behind {steps[at].text}" for at in writes if not steps[at + 1].is_barrier]
    faults += [f"no barrier before {steps[at].text}" for at in (*writes[1:], *reads) if not steps[at - 1].is_barrier]
    faults += [f"a barrier before the first write: {each.line}" for each in steps[: writes[0]] if each.is_barrier]
    ways = _ways(steps)
    for at in reads:
        behind = (steps[each] for each in _met(steps, ways, at))
        faults += [f"behind a read: {each.text}" for each in behind if not _is_barrier_or_end(each)]
    before = [_barriers(steps, ways, 0, writes[:1], reads), _barriers(steps, ways, 0, reads, writes)]
    if before != [{0}, {1}]:
        faults.append(f"barriers before the first write and the first read: {before}")
    written = [_barriers(steps, ways, at, [following], reads) for at, following in pairwise(writes)]
    read = [_barriers(steps, ways, at, reads, writes) for at in reads]
    if not written or any(each != written[0] or len(each) != 1 for each in (*written, *read)):
        faults.append(f"barriers from write to write and from read to read: {written}, {read}")
    partial = re.findall(r"\bbar(?:rier)?\.[\w.]+\s+1\b[^;]*", ptx)
    return faults + [f"not of all warps: {each}" for each in partial if " ".join(each.split()) != _OF_ALL]


def _steps(ptx: str) -> Iterator[Step]:
    file, line = 0, 0
    for text in re.sub(r"//[^\n]*", "", ptx).splitlines():
        if (found := re.match(r"\s*\.loc\s+(\d+)\s+(\d+)", text)) is not None:
            file, line = int(found[1]), int(found[2])
            continue
        for part in text.split(";"):
            words = " ".join(part.split())
            step = Step(re.sub(r"^@!?%?\w+ (?!bra|barrier)", "", words), file, line)
            is_label = _LABEL.match(words) is not None and not words.startswith(("$L__tmp", "$L__func"))
            is_leap = re.match(r"(@\S+ )?(bra|brx|call|ret|exit|trap)\b", words) is not None
            if is_label or is_leap or step.is_barrier or step.is_access:
                yield step


def _is_at(step: Step, files: Collection[int], lines: Collection[int]) -> bool:
    return step.file in files and step.line in lines


def _is_read(text: str, ptx: str, shared_bytes: int) -> bool:
    """Return whether a warp reads its own byte: the address is that of all shared memory, and its number."""
    if (found := _READ.fullmatch(text)) is None or int(found[2]) + LAUNCHED + OTHERS != shared_bytes:
        return False
    terms = re.search(rf"add\.s32\s+{re.escape(found[1])}, (%\w+), (%\w+);", ptx)
    memory = set(re.findall(r"mov\.[bu]32\s+(%\w+), global_smem;", ptx))
    numbers = set(re.findall(r"shfl\.sync\.idx\.b32\s+(%\w+), %\w+, 0, 31, -1;", ptx))
    return terms is not None and any(a in memory and b in numbers for a, b in (terms.groups(), terms.groups()[::-1]))


def _ways(steps: list[Step]) -> list[list[int]]:
    """Return which steps may follow each step."""
    labels = {found[1]: at for at, each in enumerate(steps) if (found := _LABEL.match(each.text)) is not None}
    ways = []
    for at, each in enumerate(steps):
        found = _BRANCH.search(each.text)
        goes_on = each.text.startswith("@") or (found is None and re.match(r"(ret|exit|trap)\b", each.text) is None)
        ways.append(([at + 1] if goes_on and at + 1 < len(steps) else []) + ([labels[found[1]]] if found else []))
    return ways


def _met(steps: list[Step], ways: list[list[int]], at: int) -> Iterator[int]:
    """Yield what comes first on each way behind a step, beside labels and branches."""
    for following in ways[at]:
        if _LABEL.match(steps[following].text) is not None or _BRANCH.search(steps[following].text) is not None:
            yield from _met(steps, ways, following)
        else:
            yield following


def _barriers(
    steps: list[Step], ways: list[list[int]], begin: int, ends: Collection[int], others: Collection[int]
) -> set[int]:
    """Return how many barriers of all warps there are from a step to the first of `ends`, on any way past no `others`.

    A way that comes to no end is left out, and one that goes round past barriers has many.
    """
    found: set[int] = set()
    seen: set[tuple[int, int]] = set()
    waiting = [(following, 0) for following in ways[begin]]
    while waiting:
        if (state := waiting.pop()) in seen:
            continue
        seen.add(state)
        at, count = state
        if at in ends or count > _MANY:
            found.add(count)
        elif at not in others:
            waiting += [(following, count + steps[at].is_barrier) for following in ways[at]]
    return found


def _is_barrier_or_end(step: Step) -> bool:
    return step.is_barrier or step.text == "ret"
