"""What racecheck reports, taken apart: which of its reports are of the hand-over to specialised warps, and no race.

Triton has a byte of shared memory for each warp beside those that a kernel is launched with: which partition it is to
run. A barrier of all warps stands between every write of these bytes and every read, and still racecheck reports them,
in some launches and not in others: it may be that warps come to that barrier from different instructions. No other
access to shared memory is compiled from two lines of the source, and a report is set aside only if all its accesses are
of these lines. `tests/agent_runtime/engine/gpu/test_hand_over.py` holds the compiled kernel to all of this.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

KERNEL = "attend_specialised"
SOURCE = Path(__file__).parents[2] / "agent_runtime" / "engine" / "gpu" / "specialised.py"
REASON = (
    f"all their accesses are of the lines of {SOURCE.name} at which the compiler tells specialised warps what to run, "
    "with barriers of all warps between writes and reads, as tests/agent_runtime/engine/gpu/test_hand_over.py checks"
)
_SAYS = "====="
_ACCESS = r"(?:Read|Write) access at (.+)\+0x[0-9a-f]+ in ([^\s:]+):(\d+)"
_FIRST = re.compile(rf"========= (?:Error|Warning): Race reported between {_ACCESS}")
_NEXT = re.compile(rf"=========     and {_ACCESS} \[\d+ hazards?\]")
_SUMMARY = re.compile(r"========= RACECHECK SUMMARY: (\d+) hazards? displayed \(\d+ errors?, \d+ warnings?\)")
_REST = re.compile(r"=========(?: COMPUTE-SANITIZER)?")


@dataclass(frozen=True, slots=True)
class Access:
    """One side of a race: in which kernel, and at which line of which file (its name alone)."""

    kernel: str
    file: str
    line: int


def hand_over_lines() -> frozenset[int]:
    """Return the two lines that the hand-over is compiled to: of the kernel, and of where it specialises its warps."""
    (kernel,) = (
        node
        for node in ast.parse(SOURCE.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == KERNEL
    )
    calls = (node for node in ast.walk(kernel) if isinstance(node, ast.Call))
    (call,) = (node for node in calls if ast.unparse(node.func) == "gl.warp_specialize")
    return frozenset((kernel.lineno, call.lineno))


def reports_of(said: str) -> list[list[Access]] | None:
    """Return the accesses of every report; None if a line of racecheck's is none that is known, or one is missing."""
    reports: list[list[Access]] = []
    displayed = []
    for line in said.splitlines():
        if (found := _FIRST.fullmatch(line.rstrip())) is not None:
            reports.append([_access(found)])
        elif (found := _NEXT.fullmatch(line.rstrip())) is not None and reports:
            reports[-1].append(_access(found))
        elif (found := _SUMMARY.fullmatch(line.rstrip())) is not None:
            displayed.append(int(found[1]))
        elif _SAYS in line and _REST.fullmatch(line.rstrip()) is None:
            return None
    is_whole = displayed == [len(reports)] and all(len(accesses) > 1 for accesses in reports)
    return reports if is_whole else None


def _access(found: re.Match[str]) -> Access:
    return Access(found[1], Path(found[2]).name, int(found[3]))


def is_hand_over(accesses: list[Access], lines: frozenset[int]) -> bool:
    """Return whether all accesses of a report are of the hand-over, whose lines are given."""
    return all(each.kernel == KERNEL and each.file == SOURCE.name and each.line in lines for each in accesses)
