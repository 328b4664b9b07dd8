"""What transformers reads of a model's folder, and whether all of it is there."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the files that transformers takes a folder's weights from, () if there are none."""
    for whole, pattern in (("model.safetensors", "model-*.safetensors"), ("pytorch_model.bin", "pytorch_model-*.bin")):
        if (folder / whole).is_file():
            return (folder / whole,)
        if parts := sorted(folder.glob(pattern)):
            return tuple(parts)
    return ()


def is_whole(folder: Path) -> bool:
    """Whether a folder holds a model's configuration, tokenizer and weights in safetensors, none of them torn."""
    if not has_tokenizer(folder):
        return False
    try:
        files = weight_files(folder)
        for file in files:
            with safe_open(file, framework="numpy"):  # which compares the header with the file's length
                pass
        return {file.name for file in files} == _weights_said(folder) and "model_type" in _json(folder / "config.json")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
        return False


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer, and no file is empty, as those are that a crash of the machine cut."""
    try:
        return (folder / "tokenizer.json").is_file() and all(file.stat().st_size for file in folder.iterdir())
    except OSError:
        return False


def _weights_said(folder: Path) -> set[str]:
    """Return the names of the files that all weights lie in: one, or those of the index."""
    index = folder / "model.safetensors.index.json"
    return {*_json(index)["weight_map"].values()} if index.is_file() else {"model.safetensors"}


def _json(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))
