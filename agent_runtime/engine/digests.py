"""Digests of file contents, remembered by path, size and modification time.

Weights are named by what is in them, never by where they lie: two folders with equal files share their blocks, and a
folder whose weights were exchanged under the same name does not. Reading half a gigabyte at every start would take a
second, so a digest is kept in the cache folder until the file's size or modification time changes.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_DIGEST_BYTES = 32


def file_digest(path: Path, cache: Path) -> str:
    """Return the blake2b-256 of a file's contents in hex, reading the file only if it changed since the last time."""
    real = path.resolve()
    facts = real.stat()
    known = {"path": str(real), "size_bytes": facts.st_size, "modified_ns": facts.st_mtime_ns}
    memo = cache / "digests" / f"{hashlib.blake2b(str(real).encode(), digest_size=16).hexdigest()}.json"
    try:
        kept = json.loads(memo.read_text("utf-8"))
    except (OSError, ValueError):
        kept = None  # never written, or torn: it is only a shortcut
    if isinstance(kept, dict) and isinstance(kept.get("digest"), str) and kept.items() >= known.items():
        return str(kept["digest"])
    digest = contents_digest(real)
    write_atomically(memo, json.dumps({**known, "digest": digest}))
    return digest


def contents_digest(path: Path) -> str:
    """Return the blake2b-256 of a file's contents in hex, whatever was known of it: for small files."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES)).hexdigest()


def digest_of(*parts: str) -> str:
    """Return the blake2b-256 in hex of some strings, each under its length so that no two lists run together."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def files_digest(paths: Iterable[Path], cache: Path) -> str:
    """Return one digest for a set of files, whatever they are called."""
    return digest_of(*sorted(file_digest(path, cache) for path in paths))


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces; what JSON does not know becomes its string."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that a reader sees all of it or nothing; a cache that cannot be written is not an error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix="partial-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(partial, path)
    except OSError:
        return
