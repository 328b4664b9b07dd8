"""LoRA adapters as PEFT saves them: which one a model gets, where it lies, and whose it is."""

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from agent_runtime.adapter_choice import Adapter, AdapterChoice
from agent_runtime.engine.card import CARD, Card, read_card
from agent_runtime.engine.digests import canonical_json, contents_digest, digest_of, file_digest, files_digest
from agent_runtime.engine.errors import BrokenModel, MissingPackage, ModelNotFound, first_line
from agent_runtime.engine.model_files import weight_files
from agent_runtime.engine.sources import (
    EMBEDDED,
    Location,
    folder_of,
    place_of,
    weights_are_here,
)

# Where the adapter lies that the package brings for the embedded model.
PACKAGED = Path(__file__).parents[1] / "tuned"

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# The names of what plain LoRA adds to a linear layer.
PLAIN_WEIGHT = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<part>[AB])\.weight")

# What a configuration of plain LoRA may say besides; whatever else it says changes what is computed.
_READ_HERE = {"peft_type", "r", "lora_alpha", "target_modules", "bias", "init_lora_weights"}
_CHANGES_NOTHING = {"auto_mapping", "base_model_name_or_path", "inference_mode", "lora_dropout", "megatron_core"} | {
    *("peft_version", "qalora_group_size", "revision", "task_type")
}
_PLAIN_STARTS = (True, False, None, "gaussian")


@dataclass(frozen=True, slots=True)
class FoundAdapter:
    """An adapter that is whole, as far as can be seen before any weights are loaded, and its card."""

    folder: Path
    card: Card


def find_adapter(adapter: Adapter, source: str, cache: Path) -> FoundAdapter | None:
    """Decide which adapter the model at `source` gets: all that load one ask here. None is for its bare weights.

    Raises ModelNotFound, BrokenModel, and MissingPackage if it takes PEFT to merge it; of the package's own adapter
    with the way to do without it.
    """
    folder = _chosen(adapter, source)
    if folder is None:
        return None
    with way_out(folder):
        folder = adapter_folder(folder)
        card = read_card(folder / CARD)
        check_whole(folder, card)
        if folder == PACKAGED and card.base is None:  # one that nobody named has to say itself whose it is
            raise BrokenModel(str(folder), f"it has no card ({CARD}) that names the weights it belongs to")
        if weights_are_here(source):
            check_base(folder, source, cache)
    return FoundAdapter(folder, card)


def _chosen(adapter: Adapter, source: str) -> Path | None:
    if not isinstance(adapter, AdapterChoice):
        return Path(adapter)
    brings = any((PACKAGED / name).is_file() for name in (CONFIG, WEIGHTS, CARD))
    if adapter is AdapterChoice.PACKAGED and not brings:
        raise ModelNotFound(
            str(PACKAGED), "this package brings no adapter", "Name an adapter's folder, or none.", "adapter"
        )
    if adapter is AdapterChoice.PACKAGED or (adapter is AdapterChoice.DEFAULT and source == EMBEDDED):
        return PACKAGED if brings else None
    return None


@contextmanager
def way_out(folder: Path) -> Iterator[None]:
    """Let what is wrong with the package's own adapter end in how to do without it: nobody named it."""
    try:
        yield
    except BrokenModel as error:
        if folder != PACKAGED or not error.source.startswith(str(folder)):
            raise
        advice = 'Install Hotseat again, or take the model without it: --adapter none (in a file: adapter = "none").'
        raise BrokenModel(str(folder), error.why, advice) from error


def adapter_folder(adapter: Path) -> Path:
    """Return an adapter's folder. Raises ModelNotFound, BrokenModel, or MissingPackage if it needs PEFT."""
    folder = adapter.expanduser()
    if not folder.is_dir():
        raise ModelNotFound(
            str(adapter), "no such folder", "Name the folder that PEFT saved the adapter in.", "adapter"
        )
    if not (folder / CONFIG).is_file() or not adapter_files(folder):
        inner = adapter / "adapter"  # where a tuning run leaves what it has made
        is_run = (folder / "adapter" / CONFIG).is_file()
        advice = f"Name {inner}." if is_run else "Name the folder that PEFT saved the adapter in."
        raise BrokenModel(str(adapter), f"the folder has no {CONFIG} or no {WEIGHTS}", advice)
    if not is_plain(folder):
        require_peft()
    return folder


def require_peft(purpose: str = "This adapter") -> None:
    """Raise MissingPackage if PEFT is not installed; `purpose` is what it is needed for."""
    if importlib.util.find_spec("peft") is None:
        raise MissingPackage("peft", purpose, 'pip install "hotseat[tuning]"')


def adapter_files(folder: Path) -> list[Path]:
    """Return the file of an adapter's weights, none if it has none."""
    return [file for name in (WEIGHTS, "adapter_model.bin") if (file := folder / name).is_file()][:1]


def adapter_config(folder: Path) -> dict[str, Any]:
    """Return what PEFT says of an adapter. Raises BrokenModel."""
    try:
        return dict(json.loads((folder / CONFIG).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BrokenModel(str(folder), f"its {CONFIG} cannot be read", "Copy the adapter again.") from error


def is_plain(folder: Path) -> bool:
    """Return whether an adapter is plain LoRA of layers that it lists, which takes no PEFT. Raises BrokenModel."""
    config = adapter_config(folder)
    if not (folder / WEIGHTS).is_file() or not _is_plain_config(config):
        return False
    try:
        with safe_open(folder / WEIGHTS, "numpy") as file:
            return all(PLAIN_WEIGHT.fullmatch(name) for name in file.keys())
    except (OSError, SafetensorError) as error:
        why = f"its {WEIGHTS} is torn ({first_line(error)})"
        raise BrokenModel(str(folder), why, "Copy the adapter again.") from error


def _is_plain_config(config: Mapping[str, Any]) -> bool:
    more = {key for key, value in config.items() if value} - _READ_HERE - _CHANGES_NOTHING
    return (
        not more
        and config.get("peft_type") == "LORA"
        and config.get("bias", "none") == "none"
        and config.get("init_lora_weights", True) in _PLAIN_STARTS
        and isinstance(config.get("target_modules"), list)
        and isinstance(config.get("r"), int)
        and config["r"] > 0
        and isinstance(config.get("lora_alpha"), int | float)
    )


def check_whole(folder: Path, card: Card) -> None:
    """Raise BrokenModel if an adapter is not, to the bit, what its card says that it was when it was saved."""
    if card.digest is not None and card.digest != adapter_digest(folder):
        why = f"its {WEIGHTS} or {CONFIG} is not the one that it was saved with"
        raise BrokenModel(str(folder), why, f"Copy the adapter again (of one changed on purpose, mend {CARD}).")


def adapter_digest(folder: Path) -> str:
    """Return the digest of an adapter's weights, read anew, and of how they are applied."""
    config = adapter_config(folder)
    config.pop("base_model_name_or_path", None)
    weights = digest_of(*sorted(contents_digest(file) for file in adapter_files(folder)))
    return digest_of(weights, canonical_json(config))


def base_digest(source: str, cache: Path) -> str:
    """Return the digest of a source's weights as they came: of a GGUF file itself, whatever it is unpacked to.

    Raises ModelNotFound or BrokenModel.
    """
    place = place_of(source)
    if isinstance(place, Path) and place.is_file():
        return file_digest(place, cache)
    folder = place if isinstance(place, Path) else folder_of(Location(source, source, source))
    return files_digest(weight_files(folder), cache)


def check_base(adapter: Path, source: str, cache: Path) -> None:
    """Raise BrokenModel if an adapter's card names other weights than those of `source`."""
    base = read_card(adapter / CARD).base
    if base is not None and base != base_digest(source, cache):
        raise BrokenModel(
            str(adapter),
            f"it was tuned for other weights than {source!r}",
            "Name the model it belongs to, or an adapter of this one.",
        )
