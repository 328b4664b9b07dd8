"""Geometries for benches: a tiny configuration with a tokenizer beside it, and no weights."""

import json
from pathlib import Path
from typing import Any

from tests.tiny_models import save_tiny_model

# The prompts of benches in a tokenizer of 480 words.
CONTEXT = 16_384


def write_geometry(folder: Path, **changes: Any) -> Path:
    """A tiny llama's config.json, with a tokenizer; returns the folder."""
    save_tiny_model(folder)
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text = json.dumps({**config, "max_position_embeddings": CONTEXT, **changes})
    (folder / "config.json").write_text(text, encoding="utf-8")
    return folder
