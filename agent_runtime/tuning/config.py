"""What a tuning run is: one TOML file, read into frozen dataclasses, every key checked.

[model]
source = "embedded"
adapter = "tuned/adapter"       # optional: an adapter of an earlier run, from which this one goes on; "packaged": ours
rope_theta = 1000000.0          # optional: with them the adapter extends the model's context
context = 32768

[data]
train = ["train-gamecore.jsonl.gz", "train-games.jsonl.gz"]     # files that `hotseat data` wrote
weights = [3.0, 1.0]                                            # optional: how many rows are of each
validation = ["validation.jsonl.gz"]                            # optional: what the run is measured on as it goes

[training]
modes = ["full", "anchored"]    # optional: over recordings they are those that the model is served in
steps = 2000
"""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from agent_runtime.adapter_choice import Adapter, AdapterChoice, adapter_named
from agent_runtime.engine.positions import Positions
from agent_runtime.engine.text import Lead
from agent_runtime.tuning.errors import BadTuneConfig, not_each_once
from agent_runtime.tuning.rows import TRAINED_MODES
from agent_runtime.turn import Mode


@dataclass(frozen=True, slots=True)
class ModelPart:
    """Which model, from which adapter on (relative to the configuration's folder), and how far positions are to reach.

    `adapter` is a folder, `packaged` for the one that the package brings, or `none` for bare weights. Without the key a
    run over samples begins with bare weights, one over recordings with the model as it is served. An adapter brings its
    positions with it: `rope_theta` and `context` are left out, or are the same.
    """

    source: str = "embedded"
    rope_theta: float | None = None
    context: int | None = None
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class DataPart:
    """Files of samples, relative to the configuration's folder, and the share of rows that each fills.

    Those of `remember`, conversations of the model with itself, are not learned: there it is to stay as it was.
    Those of `validation` are not learned either: the run is measured on all their samples now and then.
    Files have to be of one of `splits`: what a model has learned by heart is no measure of it.
    """

    train: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    remember: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    splits: tuple[str, ...] = ("train",)


@dataclass(frozen=True, slots=True)
class TrainingPart:
    """The recipe. Sizes are those of one process: `rows` packed rows of `row_tokens`, each once per mode.

    `row_tokens`, where they are not said, are 8,192; on a CPU, where every pair of tokens of a row takes memory, no
    more than the longest sample or recorded turn has.
    A step is `accumulate` such batches. `modes`, where they are not said, are full and anchored; over recordings full
    and the block modes that the model is served in by its card, if there are any. `lora_rank` 0 tunes all weights.
    `distillation` weighs how far block modes may stray from the first mode. The learning rate rises for `warmup_steps`
    and falls by a cosine to `final_share`. `positions` is where blocks stand in block modes, "sequential" or "shared";
    `lead` is what stands before each of them, "none", "separator" or "label"; where they are not said, as the
    card has it of the adapter, else of the weights, that a run starts from, and the first of these without one.

    With `full_every` n full mode learns in every n-th step alone, and the others are filled with rows in the block
    mode: full mode, where later blocks have seen earlier ones, learns more from a row. With files to remember, every
    `remember_every`-th step is theirs: the model comes closer to what its bare weights say there. With files for
    validation the model is measured on them behind every `validate_every`-th step, and behind the last one.
    """

    modes: tuple[str, ...] | None = None
    steps: int = 1000
    rows: int = 1
    row_tokens: int | None = None
    accumulate: int = 1
    learning_rate: float = 1e-3
    warmup_steps: int = 30
    final_share: float = 0.05
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    distillation: float = 0.0
    full_every: int = 1
    remember_every: int = 20
    validate_every: int = 100
    lora_rank: int = 32
    lora_alpha: int = 64
    seed: int = 0
    save_every: int = 200
    positions: str | None = None
    lead: str | None = None
    workers: int = 0
    compile: bool = False


@dataclass(frozen=True, slots=True)
class TuneConfig:
    """A tuning run. `folder` is where relative paths begin."""

    model: ModelPart = field(default_factory=ModelPart)
    data: DataPart = field(default_factory=DataPart)
    training: TrainingPart = field(default_factory=TrainingPart)
    folder: Path = Path()

    @property
    def modes(self) -> tuple[Mode, ...]:
        """Return the trained modes."""
        said = _UNSAID if self.training.modes is None else self.training.modes
        return tuple(Mode(mode) for mode in said)

    def saying_modes(self, served_in: Sequence[str] = ()) -> Self:
        """Return the run with its modes said: if it did not, full and the block modes of `served_in`, if any."""
        unsaid = (Mode.FULL.value, *served_in) if served_in else _UNSAID
        modes = unsaid if self.training.modes is None else self.training.modes
        return replace(self, training=replace(self.training, modes=modes))

    @property
    def row_tokens(self) -> int:
        """Return the most tokens of a row."""
        return self.training.row_tokens or _ROW_TOKENS

    def saying_rows(self, longest: int | None) -> Self:
        """Return the run with its rows said: if it did not, no longer than `longest` (None: whatever is there)."""
        unsaid = _ROW_TOKENS if longest is None else min(longest, _ROW_TOKENS)
        return replace(self, training=replace(self.training, row_tokens=self.training.row_tokens or unsaid))

    @property
    def full_mode_teaches(self) -> bool:
        """Whether full mode is the first mode and a block mode follows, as a run over recordings has it."""
        return self.modes[0] is Mode.FULL and len(self.modes) > 1

    @property
    def adapter(self) -> Adapter | None:
        """Return the adapter to go on from, None if nothing is said of it."""
        named = None if self.model.adapter is None else adapter_named(self.model.adapter)
        return self.folder / named.expanduser() if isinstance(named, Path) else named


_ROW_TOKENS = 8192
_UNSAID = (Mode.FULL.value, Mode.ANCHORED.value)
_NO_SAMPLES = "no file of samples. Make one with `hotseat data`, or name --recordings"
TEACHER = "over recordings full mode teaches the block modes: put full first, and a block mode behind it"
_HAS_ITS_OWN = "a run over recordings is measured on turns of its own, before and after. Leave it out"
_NO_USE = "a run over recordings learns from no samples. Leave it out"
_EVERY = ("save_every", "full_every", "remember_every", "validate_every")
_AT_LEAST_1 = ("steps", "rows", "row_tokens", "accumulate", *_EVERY)
_PARTS = {"model": ModelPart, "data": DataPart, "training": TrainingPart}


def read_config(path: Path, *, needs_samples: bool = True) -> TuneConfig:
    """Return the configuration in a TOML file. Raises BadTuneConfig, which names the key.

    `needs_samples` False is for a run over recordings, which has no files of samples.
    """
    try:
        said = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadTuneConfig(path, "", f"it cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadTuneConfig(path, "", f"it is no TOML ({error})") from error
    for name in said:
        if name not in _PARTS:
            raise BadTuneConfig(path, name, f"there is no such part; there are {', '.join(_PARTS)}")
    parts = {name: _part(path, name, kind, said.get(name, {})) for name, kind in _PARTS.items()}
    config = TuneConfig(**parts, folder=path.parent)
    _check(path, config)
    if needs_samples != bool(config.data.train):
        raise BadTuneConfig(path, "data.train", _NO_SAMPLES if needs_samples else _NO_USE)
    if config.training.full_every > 1 and not needs_samples:
        why = "over recordings full mode teaches the others in every step. Leave it out"
        raise BadTuneConfig(path, "training.full_every", why)
    if config.data.remember and not needs_samples:
        raise BadTuneConfig(path, "data.remember", _NO_USE)
    if config.data.validation and not needs_samples:
        raise BadTuneConfig(path, "data.validation", _HAS_ITS_OWN)
    if not config.full_mode_teaches and not needs_samples:
        raise BadTuneConfig(path, "training.modes", TEACHER)
    return config


def _part(path: Path, name: str, kind: Any, said: Any) -> Any:
    if not isinstance(said, Mapping):
        raise BadTuneConfig(path, name, "it is no table")
    known = {each.name: each for each in fields(kind)}
    values = {}
    for key, value in said.items():
        if key not in known:
            raise BadTuneConfig(path, f"{name}.{key}", f"there is no such key; there are {', '.join(known)}")
        values[key] = _value(path, f"{name}.{key}", _default(known[key]), known[key].type, value)
    return kind(**values)


def _default(known: Any) -> Any:
    return None if known.default is MISSING else known.default


def _value(path: Path, key: str, default: Any, declared: Any, value: Any) -> Any:
    """Return a TOML value as its field wants it, or refuse it."""
    wanted = str(declared)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    kind = "a text in quotes"
    if wanted.startswith("tuple"):
        item = float if "float" in wanted else str
        kind = "a list of numbers" if item is float else "a list of texts in quotes"
        if isinstance(value, list) and all(
            isinstance(each, (int, float) if item is float else str) and not isinstance(each, bool) for each in value
        ):
            return tuple(item(each) for each in value)
    elif "bool" in wanted:
        kind = "true or false"
        if isinstance(value, bool):
            return value
    elif "float" in wanted:
        kind = "a number"
        if is_number:
            return float(value)
    elif "int" in wanted:
        kind = "a whole number"
        if is_number and isinstance(value, int):
            return value
    elif isinstance(value, str):
        return value
    unsaid = "" if default is None else f" (default: {json.dumps(default)})"
    raise BadTuneConfig(path, key, f"{value!r} is not {kind}{unsaid}")


def _check(path: Path, config: TuneConfig) -> None:
    training, data = config.training, config.data
    allowed = [mode.value for mode in TRAINED_MODES]
    modes = _UNSAID if training.modes is None else training.modes
    if (wrong := not_each_once(modes, allowed)) is not None:
        raise BadTuneConfig(path, "training.modes", wrong)
    if training.distillation and modes[0] != "full":
        raise BadTuneConfig(path, "training.modes", "with distillation the first mode is the teacher: put full first")
    for name, known in (("positions", Positions), ("lead", Lead)):
        if (said := getattr(training, name)) not in [None, *(each.value for each in known)]:
            raise BadTuneConfig(path, f"training.{name}", f"{said!r} is none of {', '.join(known)}")
    for name in _AT_LEAST_1:
        if (number := getattr(training, name)) is not None and number < 1:
            raise BadTuneConfig(path, f"training.{name}", "at least 1")
    if training.full_every > 1 and (training.distillation or len(modes) != 2 or "full" not in modes):
        why = "above 1 it takes full mode, one block mode, and no distillation, whose teacher full mode is"
        raise BadTuneConfig(path, "training.full_every", why)
    if data.remember and not training.lora_rank:
        why = "if all weights change (lora_rank 0), nobody has the bare ones to remember. Leave it out"
        raise BadTuneConfig(path, "data.remember", why)
    if data.remember and training.remember_every < (3 if training.full_every == 2 else 2):
        why = "remembering leaves no step in which something (with full_every 2: the block mode) is learned. Raise it"
        raise BadTuneConfig(path, "training.remember_every", why)
    if config.adapter not in (None, AdapterChoice.NONE) and not training.lora_rank:
        raise BadTuneConfig(path, "model.adapter", "if all weights change (lora_rank 0), no adapter does. Leave it out")
    _check_ranges(path, config)
    if data.weights and (len(data.weights) != len(data.train) or not all(0 < each < math.inf for each in data.weights)):
        raise BadTuneConfig(path, "data.weights", "one number above 0 for each file")


def _check_ranges(path: Path, config: TuneConfig) -> None:
    """Refuse numbers that no run can be made with, or that turn it round."""
    training, model = config.training, config.model
    for name in ("learning_rate", "clip_norm"):
        if not 0 < getattr(training, name) < math.inf:
            raise BadTuneConfig(path, f"training.{name}", "more than 0, and finite")
    for name in ("weight_decay", "distillation", "workers", "warmup_steps", "lora_rank", "seed"):
        if not 0 <= getattr(training, name) < math.inf:
            raise BadTuneConfig(path, f"training.{name}", "at least 0, and finite")
    if not 0 <= training.final_share <= 1:
        raise BadTuneConfig(path, "training.final_share", "a share of the learning rate, from 0 to 1")
    if training.lora_alpha < 1:
        raise BadTuneConfig(path, "training.lora_alpha", "at least 1")
    if model.rope_theta is not None and not 1 < model.rope_theta < math.inf:
        raise BadTuneConfig(path, "model.rope_theta", "more than 1, and finite")
    if model.context is not None and model.context < 1:
        raise BadTuneConfig(path, "model.context", "at least 1")
