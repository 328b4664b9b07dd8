"""What tells that a file was edited, without reading it: its modification time and its size."""

from pathlib import Path

Stamp = tuple[int, int] | None


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file or folder as it is now; None if there is none."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return None
    return facts.st_mtime_ns, facts.st_size


class FileStamps:
    """The stamps of files, each taken before the file was read: an edit that comes meanwhile is not missed."""

    def __init__(self) -> None:
        self.stamps: dict[Path, Stamp] = {}

    def take(self, path: Path) -> Path:
        """Remember how a file was when it was first asked for; returns the path."""
        self.stamps.setdefault(path, stamp_of(path))
        return path
