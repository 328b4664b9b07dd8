"""`python -m tests.gpu.sanitized memcheck racecheck`: the kernels under NVIDIA's compute-sanitizer, on small shapes.

Each tool watches a process of its own, in which torch takes every tensor's memory from the driver: a pool of torch's
would hide who reads behind the end of a tensor. Exits with 1 if a tool finds something, or if there is no such tool.
What racecheck reports of the hand-over to specialised warps is set aside, and counted (`hazards.py` says why).
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.gpu import hazards

NAME = "compute-sanitizer"
TOOLS = ("memcheck", "racecheck")
NONE = f"There is no {NAME} here: pip install nvidia-cuda-sanitizer-api, or put that of the CUDA toolkit on PATH."
CANNOT = (
    f"{NAME} cannot watch a program on this machine, not even one that does next to nothing (as in some sandboxes)."
)
# What memcheck ends with when it has found something; the shapes themselves end with 1 when a result is wrong.
_FOUND = 86


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a tool made of the shapes: whether nothing is wrong, all that was printed, and what of it was set aside."""

    is_clean: bool
    said: str
    num_set_aside: int = 0

    def __str__(self) -> str:
        text = "nothing is wrong" if self.is_clean else self.said
        return f"{text}\nReports set aside: {self.num_set_aside}; {hazards.REASON}." if self.num_set_aside else text


def sanitizer() -> Path | None:
    """Return where the tool is: on PATH, in the CUDA toolkit, or in a package of NVIDIA's; None if it is nowhere."""
    if (found := shutil.which(NAME)) is not None:
        return Path(found)
    homes = [Path(home) for name in ("CUDA_HOME", "CUDA_PATH") if (home := os.environ.get(name))]
    places = [home / folder / NAME for home in [*homes, Path("/usr/local/cuda")] for folder in ("bin", NAME)]
    packages = Path(sysconfig.get_paths()["purelib"]) / "nvidia"
    places += sorted(packages.rglob(NAME)) if packages.is_dir() else []
    return next((place for place in places if place.is_file() and os.access(place, os.X_OK)), None)


def watched(found: Path, tool: str, command: list[str], timeout_s: float = 1200) -> Verdict:
    """Run a command under one of the sanitizer's tools.

    Racecheck ends as the command does, so that a wrong result is not hidden behind what it reports and is set aside.
    """
    ends = [] if tool == "racecheck" else ["--error-exitcode", str(_FOUND)]
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    ran = subprocess.run(
        [str(found), "--tool", tool, *ends, *command],
        cwd=Path(__file__).parents[2],
        env=environment | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    if tool != "racecheck":
        return Verdict(ran.returncode == 0 and "SUMMARY: 0 " in ran.stdout, ran.stdout)
    reports = hazards.reports_of(ran.stdout)
    lines = hazards.hand_over_lines()
    num_set_aside = sum(hazards.is_hand_over(each, lines) for each in reports or ())
    is_clean = ran.returncode == 0 and reports is not None and num_set_aside == len(reports)
    return Verdict(is_clean, ran.stdout, num_set_aside)


def why_not(found: Path | None) -> str | None:
    """Return in a sentence why nothing can be watched here; None if it can."""
    if found is None:
        return NONE
    least = [sys.executable, "-c", "import torch; torch.zeros(1, device='cuda').cpu()"]
    return None if watched(found, TOOLS[0], least).is_clean else CANNOT


def shapes_command() -> list[str]:
    """Return what runs the small shapes, without a sanitizer."""
    return [sys.executable, "-m", "tests.agent_runtime.engine.gpu.small_shapes"]


def main(tools: list[str]) -> int:
    """Run the tools that are named, or all, and say what each has found."""
    found, is_clean = sanitizer(), True
    why = why_not(found)
    if found is None or why is not None:
        print(why, file=sys.stderr)
        return 1
    for tool in tools or TOOLS:
        verdict = watched(found, tool, shapes_command())
        print(f"{tool}: {verdict}", flush=True)
        is_clean &= verdict.is_clean
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
