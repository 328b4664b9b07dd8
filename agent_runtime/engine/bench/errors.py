"""What stands in the way of a measurement. Each sentence says what to do instead.

EngineError
├── BadOption        a geometry, case, size, device or dtype that there is not
├── TooLarge         weights, keys and values that the device's memory does not hold
├── TooLong          a case that needs more positions than the model has
├── NotByKernels     a model that the kernels cannot serve, where they were asked for
└── ScoresDiffer     scores that are not those of plain torch: nothing is timed
"""

from dataclasses import dataclass
from typing import ClassVar

from agent_runtime.engine.errors import EngineError

_GIB = 2**30
FEWER = "Ask for fewer and smaller blocks or sessions, or end what else computes there."
"""What to do where memory runs out all the same, beside weights, keys and values."""


@dataclass(eq=False)
class BadOption(EngineError):
    """An option whose value cannot be taken; `why` is a sentence that ends in what can."""

    option: str
    why: str
    code: ClassVar[str] = "bad_option"

    def __str__(self) -> str:
        return f"{self.option}: {self.why}."


@dataclass(eq=False)
class TooLarge(EngineError):
    """More memory than there is."""

    name: str
    device: str
    weights_bytes: int
    kv_bytes: int
    has_bytes: int
    code: ClassVar[str] = "too_large"

    def __str__(self) -> str:
        return (
            f"{self.name} takes {self.weights_bytes / _GIB:.1f} GiB of weights and {self.kv_bytes / _GIB:.1f} GiB of "
            f"keys and values, and {self.device} has {self.has_bytes / _GIB:.1f} GiB: name a smaller geometry or "
            "model, ask for fewer and smaller blocks or sessions, or take a device with more memory."
        )


@dataclass(eq=False)
class TooLong(EngineError):
    """More tokens behind each other than the model has positions for."""

    name: str
    needed: int
    context: int
    code: ClassVar[str] = "prompt_too_long"

    def __str__(self) -> str:
        return (
            f"A prompt here has {self.needed} positions, and the context of {self.name} ends at {self.context}: ask "
            "for fewer or smaller blocks, or raise max_position_embeddings in the geometry's config.json, which "
            "random weights do not mind."
        )


@dataclass(eq=False)
class NotByKernels(EngineError):
    """Kernels that were to be timed and cannot run."""

    name: str
    why: str
    code: ClassVar[str] = "unsupported_model"

    def __str__(self) -> str:
        return (
            f"Our kernels cannot compute {self.name}: {self.why}. Time plain torch with --way torch, or another model."
        )


@dataclass(eq=False)
class ScoresDiffer(EngineError):
    """What would be timed computes something else."""

    way: str
    against: str
    distance: float
    limit: float
    code: ClassVar[str] = "defect"

    def __str__(self) -> str:
        return (
            f"Nothing was timed: scores by {self.way} differ from those by {self.against} by {self.distance:.1e} of "
            f"their length, where {self.limit:.1e} would be rounding. Please report this with the model's name, the "
            "device and torch's version."
        )
