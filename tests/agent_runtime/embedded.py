"""A tiny embedded model in place of the real one, and an adapter that the package brings for it."""

from pathlib import Path
from typing import Any

import pytest

from agent_runtime.engine import adapters, sources
from agent_runtime.engine.adapters import base_digest
from tests.tiny_models import save_tiny_adapter, save_tiny_gguf


def embed(folder: Path, monkeypatch: pytest.MonkeyPatch, context: int = 8192) -> Path:
    """Let `embedded` be a tiny model and the package bring no adapter; returns where one would lie.

    Digests and what is unpacked go into the folder, too.
    """
    package = folder / "path" / "tiny_embedded"
    package.mkdir(parents=True)
    save_tiny_gguf(package / "tiny.gguf", context=context)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(sources, "_EMBEDDED_PACKAGE", package.name)
    monkeypatch.setattr(adapters, "PACKAGED", folder / "tuned")
    monkeypatch.setenv("HOTSEAT_CACHE", str(folder / "cache"))
    return folder / "tuned"


def bring(folder: Path, **adapter: Any) -> Path:
    """Put an adapter of that tiny model where the package's own lies: `folder`."""
    base = base_digest(sources.EMBEDDED, sources.cache_folder())
    return save_tiny_adapter(folder, **{"base": base, **adapter})
