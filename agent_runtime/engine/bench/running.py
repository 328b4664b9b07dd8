"""A run of the bench: checked first, then every case timed beside what the device could do."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
import transformers

from agent_runtime.engine.bench.checking import WAYS, Check, check_way, checked_slots
from agent_runtime.engine.bench.errors import FEWER, BadOption
from agent_runtime.engine.bench.floors import Floors, measure_floors
from agent_runtime.engine.bench.geometry import bare_of
from agent_runtime.engine.bench.setting import BenchCase, Setting, Sizes, compute_on
from agent_runtime.engine.bench.subject import Subject
from agent_runtime.engine.devices import fitting
from agent_runtime.engine.forward import ForwardRunner

Heard = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be timed, and how. `pool_gib` is the pool's size where cases need less."""

    subject: Subject
    cases: Sequence[BenchCase]
    sizes: Sizes
    way: str
    pool_gib: float = 0.0

    def num_slots(self) -> int:
        """Return the slots of the pool."""
        needed = max(case.slots(self.sizes) for case in self.cases) + self.sizes.tail_slots
        return max(needed, int(self.pool_gib * 2**30) // self.subject.bytes_per_token)


def bench(
    run: Run, heard: Heard = lambda found: None, tell: Callable[[str], None] = lambda sentence: None
) -> dict[str, Any]:
    """Check and time all cases, and return the report; `heard` is given what it begins with, and then each case.

    `tell` hears what comes next, whenever that may take a while.

    Raises TooLarge, TooLong, NotByKernels before anything large is made, ScoresDiffer before anything is timed, and
    DeviceTooSmall.
    """
    subject, num_slots = run.subject, run.num_slots()
    subject.require_positions(max(case.positions(run.sizes) for case in run.cases))
    if run.way == "kernels":
        subject.require_kernels()
    num_checked = checked_slots(int(subject.config.get_text_config().max_position_embeddings), run.way)
    subject.require_memory(max(num_slots, num_checked))
    with fitting(f"What is computed with {subject.name}", FEWER):
        return _benched(run, num_slots, num_checked, heard, tell)


def _benched(run: Run, num_slots: int, num_checked: int, heard: Heard, tell: Callable[[str], None]) -> dict[str, Any]:
    subject = run.subject
    tell(f"making {subject.name}, and checking its scores against plain torch")
    compute = compute_on(subject.device)
    model = compute(subject.made)
    with_slots = partial(bare_of, model, device=subject.device, dtype=subject.dtype)
    floors = floors_of(subject)
    # In a pool of its own: what a case finds is as large as it asked for.
    check = compute(lambda: check_way(with_slots(num_checked), run.way))
    bare = compute(partial(with_slots, num_slots))
    report = {**heading(subject, run.way, floors, check), "sizes": asdict(run.sizes)}
    heard(report)
    runner = ForwardRunner(bare.model, bare.pool, bare.rope, way=WAYS[run.way], max_rows=run.sizes.max_rows)
    setting = Setting(runner, bare, floors, run.sizes, check.limit)
    found = []
    try:
        for case in run.cases:
            tell(f"timing {case.name}")
            found.append(case.measure(setting))
            heard(found[-1])
    finally:
        runner.close()
    return {**report, "cases": found}


def way_of(name: str | None, device: torch.device) -> str:
    """Return a way of attention; None is our kernels on a GPU, plain torch on a CPU. Raises BadOption."""
    if name is None:
        return "kernels" if device.type == "cuda" else "torch"
    if name not in WAYS:
        raise BadOption("--way", f"there is no way {name!r}: name {' or '.join(WAYS)}")
    return name


def floors_of(subject: Subject) -> Floors:
    """Measure what a subject's device can do; on a CPU with less memory and fewer operations."""
    scale = 1.0 if subject.device.type == "cuda" else 0.01
    return compute_on(subject.device)(partial(measure_floors, subject.device, subject.dtype, scale=scale))


def heading(subject: Subject, way: str, floors: Floors, check: Check) -> dict[str, Any]:
    """Return what every report begins with: what was measured on what, its floors, and the check of its scores."""
    device = subject.device
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "geometry": subject.name,
        "weights": subject.weights,
        "dtype": str(subject.dtype).removeprefix("torch."),
        "way": way,
        "floors": floors.report(),
        "checked": check.report(),
    }
