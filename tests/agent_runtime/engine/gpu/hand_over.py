"""How a compiled kernel tells its specialised warps what to run: whether it is as `tests/gpu/hazards.py` says (PTX).

The warps that a kernel is launched with write a byte for each other warp, all at once; each of those reads its own. All
warps then meet four times: when a partition is written, before they run it, behind it, and when it is written that they
may leave. So nothing is written while it may be read, if reads and writes stand beside these barriers as is checked.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import PurePath

LAUNCHED, OTHERS = 4, 8  # warps
_WRITE = re.compile(r"st\.shared\.v2\.b32 \[global_smem\+(\d+)\], \{\d+, \d+\}")
_READ = re.compile(r"ld\.shared\.b8 %\w+, \[(%\w+)\+(\d+)\]")
# What touches memory, and names none that is not shared.
_MEMORY = re.compile(r"(ld|ldu|st|atom|red|cp|wgmma|mbarrier|multimem|tensormap)\.|ldmatrix|stmatrix")
_ELSEWHERE = re.compile(r"(ld|ldu|st|atom|red)(\.\w+)*\.(param|global|local|const)\b")
_LABEL = re.compile(r"([$\w]+):(?!:)")
_OF_ALL = "barrier.sync 1"


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
    for at in reads:
        faults += [f"behind a read: {each.text}" for each in _next(steps, at + 1) if not _is_barrier_or_end(each)]
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


def _next(steps: list[Step], at: int) -> Iterator[Step]:
    """Yield what comes first on each way from there, beside labels and branches."""
    text = steps[at].text
    if (found := re.search(r"\bbra(?:\.uni)? ([$\w]+)", text)) is not None:
        yield from _next(steps, next(to for to, each in enumerate(steps) if each.text.startswith(f"{found[1]}:")))
    if _LABEL.match(text) is not None or text.startswith("@"):
        yield from _next(steps, at + 1)
    elif found is None:
        yield steps[at]


def _is_barrier_or_end(step: Step) -> bool:
    return step.is_barrier or step.text == "ret"
