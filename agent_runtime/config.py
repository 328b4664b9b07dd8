"""The runtime's settings: one frozen model per room, a sentence under each field, unknown keys are errors."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from agent_runtime.adapter_choice import Adapter, AdapterChoice, adapter_named
from agent_runtime.errors import BadSettings
from agent_runtime.turn import Mode


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _named(said: object) -> object:
    return adapter_named(said) if isinstance(said, str) else said


class ModelSettings(_Settings):
    """One model that matches may ask for by name."""

    source: str = "embedded"
    """`embedded`, a folder, a GGUF file, or a hub name."""
    adapter: Annotated[Adapter, BeforeValidator(_named)] = AdapterChoice.DEFAULT
    """A LoRA folder that is merged into the weights, `none`, or `packaged` for the package's own.

    By default the embedded model gets the package's own, if there is one; others none. A folder `none` is `./none`.
    """
    dtype: str = "auto"
    """float32 on a CPU and bfloat16 on a GPU, unless named here."""
    device_map: str | None = None
    """Passed to transformers (accelerate); None is one device, the GPU if there is one."""
    quantization_config: dict[str, Any] | None = None
    """Passed to transformers."""


class EngineSettings(_Settings):
    """What the engine may use."""

    pool_mib: int = Field(default=2048, gt=0)
    """Memory for keys and values, per model; on a CPU up to a quarter more, for views that come again."""
    max_rows: int = Field(default=512, gt=0)
    """Turns join a forward while it has fewer rows than this."""
    host_cache_mib: int | None = Field(default=None, ge=0)
    """Host memory for blocks that leave the pool, per model; 0 is none.

    None is a quarter of what is free on one NVIDIA GPU, where it is pinned as it fills, and none elsewhere: a CPU's
    pool lies in the same memory.
    """
    load_or_encode: Literal["auto", "load", "encode"] = "auto"
    """Whether blocks that were kept are loaded, or encoded again; `auto` measures at start which is quicker."""


class StoreSettings(_Settings):
    """Where matches live on disk."""

    folder: Path | None = None
    """None keeps nothing: every start is cold."""
    budget_mib: int | None = Field(default=None, gt=0)
    """Least recently used blocks go beyond this; None is no limit."""


class RuntimeSettings(_Settings):
    """Everything that `AgentRuntime` is made from."""

    models: dict[str, ModelSettings] = Field(default_factory=lambda: {"default": ModelSettings()}, min_length=1)
    """By the name clients use; the first is the default."""
    mode: Mode | Literal["auto"] = "auto"
    """The mode of matches that ask for none."""
    games: tuple[Path, ...] = ()
    """Folders that hold game folders, searched before the built-in ones."""
    engine: EngineSettings = EngineSettings()
    store: StoreSettings = StoreSettings()

    def changed(self, **flags: Any) -> "RuntimeSettings":
        """Return the settings with what was given on a command line; None means that a flag was not given.

        `source`, `adapter`, `dtype` and `device_map` change the default model.
        """
        given = {name: value for name, value in flags.items() if value is not None}
        default, *_ = self.models
        changes: dict[str, Any] = {
            "models": {**self.models, default: _changed(self.models[default], given)},
            "engine": _changed(self.engine, given),
            "store": _changed(self.store, given),
        }
        return self.model_copy(update={**changes, **{name: given[name] for name in ("mode", "games") if name in given}})


def _changed(settings: _Settings, given: dict[str, Any]) -> _Settings:
    return settings.model_copy(update={name: given[name] for name in type(settings).model_fields if name in given})


def read_settings(file: Path) -> RuntimeSettings:
    """Read a TOML file of settings. Raises BadSettings, which names the place."""
    try:
        return RuntimeSettings.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadSettings(str(file), f"it cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(str(file), f"it is not TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        wrong = "there is no such key" if first["type"] == "extra_forbidden" else first["msg"]
        raise BadSettings(str(file), f"{'.'.join(map(str, first['loc']))}: {wrong}.") from error
