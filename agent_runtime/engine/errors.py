"""The engine's errors: what a model, a tokenizer, a disk or a full pool can cause. Each sentence says what to do.

EngineError (a HotseatError)
├── ModelNotFound          no such file, folder or hub model, or the embedded model is not installed
├── BrokenModel            what lies there is no model: no weights, some of them missing, a torn or foreign file
├── UnsupportedModel       a model whose answers would be silently wrong here: refused by configuration or by the probe
├── BadChatTemplate        a chat template that cannot be laid out as anchor, blocks, observation and answer
├── MissingPackage         an optional package that what was asked for needs
├── UnsupportedAttention   an attention keyword that would change the result and is not implemented
├── NoCuda                 a CUDA device was named that torch cannot use
├── DeviceTooSmall         a model or a pool that the device has not the memory for
├── PoolFull               more tokens than the pool has free slots, after all that may go has gone
├── PoolBooksError         the pool's reference counts do not add up (a defect of ours, found by `check`)
├── HostMemoryShort        the machine gave no more (pinned) memory behind the pool: told in the log, never raised
├── HostBooksError         memory behind the pool that does not add up (a defect of ours, found by `check`)
├── AnswersCollide         two listed answers with the same tokens
└── EngineClosed           work handed in after the engine was closed, or under way when it was
"""

from dataclasses import dataclass
from typing import ClassVar

from agent_runtime.errors import HotseatError


class EngineError(HotseatError):
    """Base of all that the engine raises."""

    code: ClassVar[str] = "engine"


@dataclass(eq=False)
class ModelNotFound(EngineError):
    """Nothing lies where the source points, which is that of a model or, by `what`, of an adapter."""

    source: str
    why: str
    advice: str
    what: str = "model"
    code: ClassVar[str] = "model_not_found"

    def __str__(self) -> str:
        return f"There is no {self.what} at {self.source!r}: {self.why}. {self.advice}"


@dataclass(eq=False)
class BrokenModel(EngineError):
    """Something lies where the source points, and it cannot be loaded."""

    source: str
    why: str
    advice: str = "Download or copy the model again; a folder needs config.json, the weights and the tokenizer's files."
    code: ClassVar[str] = "broken_model"

    def __str__(self) -> str:
        return f"The model at {self.source!r} cannot be loaded: {self.why}. {self.advice}"


@dataclass(eq=False)
class UnsupportedModel(EngineError):
    """A model that blocks cannot be computed with exactly. `layer` is the first that differs, if the probe found it."""

    model: str
    reason: str
    advice: str = (
        "Use a model with ordinary rotary positions in every layer: Llama, Qwen2, Qwen3, Mistral without a window."
    )
    layer: int | None = None
    code: ClassVar[str] = "unsupported_model"

    def __str__(self) -> str:
        where = "" if self.layer is None else f" (first seen in layer {self.layer})"
        return f"Model {self.model!r} cannot be used: {self.reason}{where}. {self.advice}"


@dataclass(eq=False)
class BadChatTemplate(EngineError):
    """A chat template that does not show what it was given."""

    why: str
    code: ClassVar[str] = "bad_chat_template"

    def __str__(self) -> str:
        return (
            f"The model's chat template cannot be laid out: {self.why}. Give the model folder a chat_template.jinja "
            "that prints the contents of the system and the user message, or remove it for a plain layout."
        )


@dataclass(eq=False)
class MissingPackage(EngineError):
    """An optional package that is not installed."""

    package: str
    purpose: str
    command: str
    code: ClassVar[str] = "missing_package"

    def __str__(self) -> str:
        return f"{self.purpose} needs the package {self.package}. Install it with: {self.command}"


@dataclass(eq=False)
class UnsupportedAttention(EngineError):
    """A model layer asked for something that block attention does not do."""

    layer: str
    keyword: str
    code: ClassVar[str] = "unsupported_model"

    def __str__(self) -> str:
        return (
            f"Layer {self.layer} attends with {self.keyword!r}, which block attention does not implement. "
            "Use another model."
        )


@dataclass(eq=False)
class NoCuda(EngineError):
    """A device that torch cannot compute on."""

    device: str
    why: str
    advice: str
    code: ClassVar[str] = "no_device"

    def __str__(self) -> str:
        return f"{self.device!r} cannot be used: {self.why}. {self.advice}, or compute on the CPU."


@dataclass(eq=False)
class DeviceTooSmall(EngineError):
    """Something that does not fit into a device's memory, which `memory` says in words."""

    what: str
    memory: str
    advice: str
    code: ClassVar[str] = "device_too_small"

    def __str__(self) -> str:
        return f"{self.what} does not fit into {self.memory}. {self.advice}"


@dataclass(eq=False)
class PoolFull(EngineError):
    """More slots were asked for than are free."""

    needed: int
    free: int
    capacity: int
    code: ClassVar[str] = "overloaded"
    retryable: ClassVar[bool] = True

    def __str__(self) -> str:
        return (
            f"The pool has {self.free} of {self.capacity} slots free and {self.needed} tokens need one. "
            "Give it more memory (--pool-mib), or let fewer turns run at once."
        )


@dataclass(eq=False)
class PoolBooksError(EngineError):
    """Slots whose references differ from what their holders say."""

    slot: int
    expected: int
    found: int
    num_wrong: int
    code: ClassVar[str] = "defect"

    def __str__(self) -> str:
        return (
            f"{self.num_wrong} pool slots are misbooked: slot {self.slot} has {self.found} references "
            f"instead of {self.expected}. Please report this."
        )


@dataclass(eq=False)
class HostMemoryShort(EngineError):
    """Memory of the host that was within the budget and could not be had."""

    wanted_bytes: int
    held_bytes: int
    was_pinned: bool
    goes_on: bool
    why: str
    code: ClassVar[str] = "host_memory"

    def __str__(self) -> str:
        kind = "pinned memory" if self.was_pinned else "memory"
        then = (
            "From now on it is ordinary memory, from which copies are slower."
            if self.goes_on
            else "Blocks that find no room there are encoded or read again when they are needed."
        )
        return (
            f"The machine gave no more {kind} for blocks that leave the pool: {self.why} "
            f"({self.held_bytes / 2**20:.0f} MiB are held). {then} Lower --host-cache-mib, or free memory."
        )


@dataclass(eq=False)
class PinBooksError(EngineError):
    """Pins that nobody holds or that were taken back too often, or blocks that are not where unpinned ones wait."""

    expected: int
    found: int
    num_unpinned: int
    num_waiting: int
    code: ClassVar[str] = "defect"

    def __str__(self) -> str:
        return (
            f"Blocks have {self.found} pins instead of {self.expected}; {self.num_unpinned} have none, and "
            f"{self.num_waiting} wait to be evicted. Please report this."
        )


@dataclass(eq=False)
class HostBooksError(EngineError):
    """Host memory of which a part is held twice, or by nobody."""

    unit: int
    num_wrong: int
    code: ClassVar[str] = "defect"

    def __str__(self) -> str:
        return f"{self.num_wrong} units of host memory are misbooked, the first is {self.unit}. Please report this."


@dataclass(eq=False)
class AnswersCollide(EngineError):
    """Two listed answers that cannot be told apart by their tokens."""

    first: int
    second: int
    code: ClassVar[str] = "bad_actions"

    def __str__(self) -> str:
        return f"Answers {self.first} and {self.second} read the same to the model. Give them different ids."


@dataclass(eq=False)
class EngineClosed(EngineError):
    """The engine has been closed."""

    code: ClassVar[str] = "closed"
    retryable: ClassVar[bool] = True

    def __str__(self) -> str:
        return "The engine is shutting down. Connect again when the server is back."


def first_line(error: Exception) -> str:
    """Return the first line of an error's sentence, without its full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
