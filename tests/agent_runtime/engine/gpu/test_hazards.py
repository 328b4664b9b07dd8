"""What of racecheck's reports is set aside, and that nothing else is: by a sanitizer that says what it is told."""

import os
import sys
from pathlib import Path

import pytest

from tests.gpu import sanitized
from tests.gpu.hazards import KERNEL, REASON, hand_over_lines, reports_of
from tests.gpu.sanitized import Verdict

OF_KERNEL, OF_CALL = sorted(hand_over_lines())
RIGHT = "torch.bfloat16: 18 forwards, at most 2.9e-03 off"
HEAD = "========= COMPUTE-SANITIZER"


def report(first: str, *others: str, how: str = "Error") -> str:
    """Return what racecheck says of a race: where it reads, and where it writes."""
    writes = [f"=========     and Write access at {KERNEL}+0xaa70 in {each} [4 hazards]" for each in others]
    return "\n".join(
        [f"========= {how}: Race reported between Read access at {KERNEL}+0x190 in {first}", *writes, "========= "]
    )


def summary(num: int) -> str:
    return f"========= RACECHECK SUMMARY: {num} hazards displayed ({num} errors, 0 warnings)"


HERE, THERE = f"specialised.py:{OF_KERNEL}", f"specialised.py:{OF_CALL}"
HAND_OVER = (report(HERE, HERE), report(HERE, HERE, THERE))


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """A sanitizer whose exit code is the command's, as long as it is not told another."""
    path = tmp_path / sanitized.NAME
    path.write_text(
        f"#!{sys.executable}\n"
        "import subprocess, sys\n"
        "code = subprocess.run(sys.argv[sys.argv.index(sys.executable):]).returncode\n"
        "sys.exit(86 if '--error-exitcode' in sys.argv else code)\n"
    )
    path.chmod(0o755)
    return path


def watched(tool: Path, *said: str, code: int = 0) -> Verdict:
    text = "\n".join(said)
    command = [sys.executable, "-c", f"print({text!r}); raise SystemExit({code})"]
    return sanitized.watched(tool, "racecheck", command)


pytestmark = pytest.mark.skipif(os.name == "nt", reason="a script is no program there")


def test_the_hand_over_is_set_aside_and_said_to_be(tool: Path) -> None:
    verdict = watched(tool, HEAD, HAND_OVER[0], RIGHT, HAND_OVER[1], RIGHT, summary(2))
    assert verdict.is_clean and verdict.num_set_aside == 2
    assert str(verdict) == f"nothing is wrong\nReports set aside: 2; {REASON}."
    assert str(watched(tool, HEAD, RIGHT, summary(0))) == "nothing is wrong"


def test_every_access_of_a_report_is_read() -> None:
    found = reports_of("\n".join((*HAND_OVER, summary(2))))
    assert found is not None
    assert [[(each.kernel, each.file, each.line) for each in accesses] for accesses in found] == [
        [(KERNEL, "specialised.py", OF_KERNEL)] * 2,
        [(KERNEL, "specialised.py", OF_KERNEL)] * 2 + [(KERNEL, "specialised.py", OF_CALL)],
    ]


def test_a_wrong_result_is_not_hidden_behind_what_is_set_aside(tool: Path) -> None:
    assert not watched(tool, HEAD, *HAND_OVER, f"{RIGHT}: wrong", summary(2), code=1).is_clean
    ended = "========= Error: process didn't terminate successfully"
    assert not watched(tool, HEAD, *HAND_OVER, ended, summary(2)).is_clean


@pytest.mark.parametrize(
    "race",
    [
        report("producing.py:137", "specialised.py:211"),
        report("producing.py:137", "specialised.py:211", how="Warning"),
        report(HERE, "producing.py:137"),
        report("producing.py:137", HERE),
        report(HERE, HERE, f"specialised.py:{OF_KERNEL + 1}"),
        report(HERE, HERE).replace(KERNEL, "attend"),
        report(HERE, HERE).replace(f"Write access at {KERNEL}", "Write access at attend"),
        report(f"producing.py:{OF_KERNEL}", HERE),
    ],
)
def test_any_other_race_counts(race: str, tool: Path) -> None:
    verdict = watched(tool, HEAD, HAND_OVER[0], race, RIGHT, summary(2))
    assert not verdict.is_clean and verdict.num_set_aside == 1
    assert race in str(verdict) and str(verdict).endswith(f"Reports set aside: 1; {REASON}.")


@pytest.mark.parametrize(
    "said",
    [
        (*HAND_OVER, summary(3)),
        (*HAND_OVER, summary(1)),
        (*HAND_OVER, summary(2), summary(2)),
        HAND_OVER,
        (report(HERE), summary(1)),
        (HAND_OVER[0].replace("+0x190", ""), summary(1)),
        (report(HERE, f"producing.py:137 inlined at /somewhere/{HERE}"), summary(1)),
        (HAND_OVER[0].replace("between", "among"), summary(0)),
        (HAND_OVER[0].partition("\n")[2], summary(0)),
        (*HAND_OVER, "========= Internal Sanitizer Error: the tool could not go on", summary(2)),
        (*HAND_OVER, f"{RIGHT}========= Error: Race reported between", summary(2)),
    ],
)
def test_what_is_not_understood_or_does_not_add_up_is_not_clean(said: tuple[str, ...], tool: Path) -> None:
    assert reports_of("\n".join(said)) is None
    assert not watched(tool, HEAD, *said, RIGHT).is_clean
