"""Before a run: its model with all that the run asks of it, and its folder, which is one run's alone."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from agent_runtime.adapter_choice import AdapterChoice
from agent_runtime.engine.adapters import base_digest
from agent_runtime.engine.admission import check_config
from agent_runtime.engine.card import Card, own_card
from agent_runtime.engine.digests import write_atomically
from agent_runtime.engine.errors import first_line
from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model, model_config
from agent_runtime.engine.positions import Positions
from agent_runtime.engine.sources import cache_folder
from agent_runtime.engine.text import Lead
from agent_runtime.errors import CannotWrite
from agent_runtime.tuning.agreement import Turns
from agent_runtime.tuning.config import TrainingPart, TuneConfig
from agent_runtime.tuning.errors import NotHeldOut, NotTrainable, OtherRun, RunInUse
from agent_runtime.tuning.lora import Start
from agent_runtime.tuning.samples import read_header
from agent_runtime.turn import Mode
from kv_store.errors import StoreLocked, StoreUnusable
from kv_store.folder_lock import HOLDER_FILE, LOCK_FILE, FolderLock

_RUN = "run.json"
# In no folder of a run that was begun before there was the key.
_LATER = ("card", "samples")
_SAID = {"config": "configuration", "samples": "set of samples"}
# Keys of a configuration that came later, and how runs were before.
_LATER_KEYS: tuple[tuple[str, str, Any], ...] = (
    ("data", "remember", []),
    ("data", "splits", ["train"]),
    ("data", "validation", []),
    ("training", "full_every", 1),
    ("training", "remember_every", TrainingPart().remember_every),
    ("training", "validate_every", TrainingPart().validate_every),
)


def served_card(config: TuneConfig, start: Start | None) -> Card:
    """Return the card that the model is served by as the run finds it: the adapter's, or the weights' own.

    Raises BrokenModel.
    """
    return own_card(config.model.source) if start is None else start.card


def check_samples(config: TuneConfig) -> None:
    """Look at files of samples before half a minute goes into a model.

    Raises SamplesError for one that is not there or is none, NotTrainable for one of another split, and NotHeldOut for
    one that is to validate the run and is among those that it learns from, or of their split.
    """
    for name in config.data.remember:
        read_header(config.folder / name)
    for name in config.data.train:
        if (split := read_header(config.folder / name).split) not in config.data.splits:
            raise NotTrainable(
                f"{name} is of the split {split}: what was learned from it cannot be measured by it. Make samples of "
                f'--split train, or, if you mean it, name the split: splits = ["train", "{split}"] under [data].'
            )
    _check_held_out(config)


def _check_held_out(config: TuneConfig) -> None:
    learned = {(config.folder / name).resolve() for name in (*config.data.train, *config.data.remember)}
    for name in config.data.validation:
        split = read_header(config.folder / name).split
        if (config.folder / name).resolve() in learned:
            raise NotHeldOut(name, "the run learns from it")
        if split in config.data.splits:
            raise NotHeldOut(name, f"it is of the split {split}, which the run learns from")


def check_texts(config: TuneConfig, digests: Mapping[str, str]) -> None:
    """Look at what files of samples hold, by the digests of their texts. Raises NotHeldOut for one under two names."""
    learned = {digests[name]: name for name in (*config.data.train, *config.data.remember)}
    for name in config.data.validation:
        if (same := learned.get(digests[name])) is not None:
            raise NotHeldOut(name, f"its samples are those of {same}, which the run learns from")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make a run's folder, and keep it from other processes while this is open. One that is killed lets it go.

    Raises RunInUse, and CannotWrite.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(folder)
    except OSError as error:
        raise CannotWrite(folder, first_line(error)) from error
    except StoreLocked as error:
        raise RunInUse(folder, None if error.holder is None else error.holder.pid) from error
    except StoreUnusable as error:
        raise CannotWrite(folder / LOCK_FILE, error.why) from error
    try:
        yield
    finally:
        lock.release()


def load_for(
    config: TuneConfig, start: Start | None, device: torch.device, *, recorded: bool = False
) -> tuple[TuneConfig, LoadedModel, Card]:
    """Load the weights in float32 as the run asks for them, and say so on the adapter's card.

    What the run does not say is as the adapter has it that it starts from; where blocks stand and what leads them, as
    the card has it that the model is served by. In the run that comes back the modes are said; over recordings they
    follow that card, too.
    """
    own = model_config(config.model.source)
    check_config(own)
    begun, asked = served_card(config, start), config.training
    rope: dict[str, Any] | None = None
    if start is not None:
        rope = None if begun.rope_parameters is None else dict(begun.rope_parameters)
    elif config.model.rope_theta is not None:
        rope = {**own.get_text_config().rope_parameters, "rope_theta": config.model.rope_theta}
    card = Card(
        base=base_digest(config.model.source, cache_folder()),
        rope_parameters=rope,
        context=begun.context if start is not None else config.model.context,
        positions=begun.positions if asked.positions is None else Positions(asked.positions),
        lead=begun.lead if asked.lead is None else Lead(asked.lead),
    )
    spec = ModelSpec(
        config.model.source,
        adapter=AdapterChoice.NONE,  # the run puts its own beside the bare weights
        dtype="float32",
        device=str(device),
        overrides=card.overrides,
    )
    loaded = load_model(spec)
    said = config.saying_modes(begun.block_modes if recorded else ())
    card = replace(card, block_modes=tuple(mode.value for mode in said.modes if mode is not Mode.FULL))
    return said, replace(loaded, positions=card.positions, text=loaded.text.copy(lead=card.lead)), card


def claim(
    folder: Path,
    config: TuneConfig,
    loaded: LoadedModel,
    card: Card,
    accelerator: Accelerator,
    start: Start | None,
    turns: Turns | None,
    samples: Sequence[str],
) -> None:
    """Make the folder this run's. Raises OtherRun if it is another's that has left anything in it.

    `card` is the run's own: what the run does not say itself comes from a card that may have been exchanged since.
    `samples` are the digests of the files it has, which may have been made anew since.
    """
    said = asdict(config)
    said.pop("folder")
    for part, key in (("model", "adapter"), ("training", "positions"), ("training", "lead")):
        if said[part][key] is None:  # as runs have it that were begun before there was the key
            said[part].pop(key)
    mine = {
        "config": said,
        "weights": loaded.digest,
        "tokenizer": loaded.tokenizer_digest,
        "adapter": "" if start is None else start.digest,
        "turns": "" if turns is None else turns.digest,
        "card": {"positions": card.positions.value, "lead": card.lead.value},
        "samples": samples,
    }
    file = folder / _RUN
    before_it = (_RUN, LOCK_FILE, HOLDER_FILE)  # with the files beside them while they are written
    has_begun = folder.is_dir() and any(not each.name.startswith(before_it) for each in folder.iterdir())
    if file.is_file() and has_begun:
        theirs = json.loads(file.read_text("utf-8"))
        for part, key, before in _LATER_KEYS:
            theirs["config"][part].setdefault(key, before)
        mine_too = json.loads(json.dumps(mine))
        for what in mine:
            if theirs.get(what, mine_too[what] if what in _LATER else "") != mine_too[what]:
                differs = _differing(theirs["config"], mine_too["config"]) if what == "config" else ""
                raise OtherRun(folder, _SAID.get(what, what), differs)
    if accelerator.is_main_process:
        write_atomically(file, json.dumps(mine, indent=2))
    accelerator.wait_for_everyone()


def _differing(theirs: Mapping[str, Mapping[str, Any]], mine: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the settings in which two configurations differ, with their values there and here."""
    found = []
    for part, settings in mine.items():
        for key in {**settings, **theirs.get(part, {})}:
            before, now = (each.get(part, {}).get(key, "not said") for each in (theirs, mine))
            if before != now:
                found.append(f"{part}.{key}: {before} there, {now} here")
    return "; ".join(found)
