"""A GGUF file becomes a folder that transformers loads in a second: made once, kept in the cache, never half.

transformers takes 20 to 45 seconds for a GGUF file at every start. What comes out is written beside its place and
renamed when all of it is there; whoever finds a folder looks whether it is whole, and makes it anew if it is not.
Processes that want the same folder at once wait for the first one, by a lock that ends with its process.
"""

import glob
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import transformers
from filelock import FileLock, Timeout
from gguf import GGUFReader
from safetensors import SafetensorError
from tokenizers import pre_tokenizers

from agent_runtime.engine.bars import no_bars
from agent_runtime.engine.digests import file_digest
from agent_runtime.engine.errors import BrokenModel, first_line
from agent_runtime.engine.model_files import has_tokenizer, is_whole

if TYPE_CHECKING:  # who only counts tokens does not wait for torch
    import torch

# Part of the name of every unpacked folder: raise it when the way of unpacking changes.
_UNPACKING = "1"
_PARTIAL = "partial-"
_ABANDONED_S = 24 * 3600.0


def unpacked(gguf: Path, dtype: "torch.dtype", cache: Path) -> Path:
    """Return a folder with a GGUF file's model in `dtype` and its tokenizer, made if it is not there and whole.

    It is named by the file's contents. Raises BrokenModel.
    """
    name = f"{_beginning(gguf, cache)}-{str(dtype).removeprefix('torch.')}-{_UNPACKING}"
    return _made(gguf, cache / "models" / name, lambda folder: _unpack(gguf, dtype, folder), is_whole)


def unpacked_tokenizer(gguf: Path, cache: Path) -> Path:
    """Return a folder with a GGUF file's tokenizer: the model's if that was unpacked, else one without weights.

    Raises BrokenModel.
    """
    begin, home = _beginning(gguf, cache), cache / "models"
    for folder in sorted(home.glob(f"{glob.escape(begin)}-*-{_UNPACKING}")):
        if has_tokenizer(folder):
            return folder
    return _made(
        gguf,
        home / f"{begin}-tokenizer-{_UNPACKING}",
        lambda folder: _save_tokenizer(gguf, _gguf_tokenizer(gguf), folder),
        has_tokenizer,
    )


def _beginning(gguf: Path, cache: Path) -> str:
    return f"{gguf.stem}-{file_digest(gguf, cache)[:24]}"


def _made(gguf: Path, folder: Path, make: Callable[[Path], None], whole: Callable[[Path], bool]) -> Path:
    """Return a folder that is `whole`, filled by `make` now or once before."""
    if whole(folder):
        return folder
    home = folder.parent
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _lock(home, folder.name):
            if not whole(folder):  # otherwise another process was faster
                _sweep(home, folder.name)
                _make(folder, make, whole)
    except (OSError, NotImplementedError, SafetensorError) as error:  # not implemented: a disk without locks
        raise BrokenModel(
            str(gguf), f"it cannot be unpacked ({first_line(error)})", "Free some space, or set HOTSEAT_CACHE."
        ) from error
    return folder


def _make(folder: Path, make: Callable[[Path], None], whole: Callable[[Path], bool]) -> None:
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{_PARTIAL}{folder.name}-"))
    try:
        make(partial)
        if not whole(partial):
            raise OSError("what was written is not whole")
        if folder.exists():  # and is torn; a folder cannot be replaced by a rename
            torn = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{_PARTIAL}{folder.name}-"))
            folder.rename(torn / folder.name)
            shutil.rmtree(torn, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _lock(home: Path, name: str, timeout_s: float = -1.0) -> FileLock:
    """Return the lock of who makes the folder `name`; it lies elsewhere, because it is left there."""
    locks = home.parent / "locks"
    locks.mkdir(exist_ok=True)
    return FileLock(locks / f"{name}.lock", timeout=timeout_s)


def _sweep(home: Path, mine: str) -> None:
    """Remove what processes left behind that were killed; those at work hold the lock of what they make.

    Of `mine`, whose lock is held, at once, and of others after a day.
    """
    for partial in home.glob(f"{_PARTIAL}*"):
        name = partial.name.removeprefix(_PARTIAL).rpartition("-")[0]
        with suppress(FileNotFoundError, Timeout):
            if name == mine:
                shutil.rmtree(partial, ignore_errors=True)
            elif time.time() - partial.stat().st_mtime > _ABANDONED_S:
                with _lock(home, name or partial.name, timeout_s=0.0):
                    shutil.rmtree(partial, ignore_errors=True)


def _unpack(gguf: Path, dtype: "torch.dtype", folder: Path) -> None:
    tokenizer = _gguf_tokenizer(gguf)
    with no_bars():
        try:
            loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
                str(gguf.parent),
                gguf_file=gguf.name,
                dtype=dtype,
                quantization_config=transformers.GgufConfig(dequantize=True),
                output_loading_info=True,
            )
        except Exception as error:  # the reader raises whatever a torn header leads it to
            raise _torn(gguf, first_line(error)) from error
        model, report = loaded
        if lacking := sorted(report["missing_keys"]):  # which transformers has filled with random numbers
            raise _torn(gguf, f"{len(lacking)} weights are missing, the first is {lacking[0]}")
        model.config.name_or_path = gguf.stem
        # In a run of several processes transformers writes weights in the first one only, and says nothing in the
        # others. Here whoever holds the lock writes, whatever its rank.
        model.should_save_on_this_rank = lambda is_main_process: True
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _gguf_tokenizer(gguf: Path) -> "transformers.PreTrainedTokenizerFast":
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    except Exception as error:
        raise _torn(gguf, first_line(error)) from error
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


def _torn(gguf: Path, why: str) -> BrokenModel:
    return BrokenModel(str(gguf), why, "Download the GGUF file again, or use one of another model.")


def _gguf_field(reader: GGUFReader, name: str) -> object:
    field = reader.get_field(name)
    return None if field is None else field.contents()
