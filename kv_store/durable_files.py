"""File operations that survive a power cut: what was published is whole and stays, the rest is a stray temporary."""

import os
from pathlib import Path

TEMPORARY_SUFFIX = ".tmp"


def is_temporary(path: Path) -> bool:
    """Whether a file is left over from a write that never finished (safetensors' own temporaries begin with `.tmp`)."""
    return path.name.endswith(TEMPORARY_SUFFIX) or path.name.startswith(".tmp")


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable. Windows cannot open folders; its file system's journal does it."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, each entry durable in its parent."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def publish(temporary: Path, final: Path) -> None:
    """Give a finished temporary its final name, durably: fsync, rename, fsync of the folder."""
    with open(temporary, "r+b", buffering=0) as file:  # Windows flushes only what is open for writing
        os.fsync(file.fileno())
    os.replace(temporary, final)
    sync_folder(final.parent)


def remove(path: Path) -> bool:
    """Delete a file; True when it is gone. A file that is open elsewhere (Windows) stays and is tried again later."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
