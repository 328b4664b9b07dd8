"""What a container lets its processes take of the machine's memory, as control groups of either version tell it."""

from dataclasses import dataclass
from pathlib import Path

# Where the limit, what is used, and how much of that is files that may go are told: (folder, files).
_GROUPS = (
    ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """How many bytes a container's processes may have at once, and how many of these are still free."""

    limit_bytes: int
    free_bytes: int


def memory_limits(root: Path = Path("/")) -> list[MemoryLimit]:
    """Return the limits that this process is under: none outside of containers, or in one without a limit.

    Version 1 says that there is none by a number that no machine's memory reaches.
    """
    limits = []
    for folder, limit, used, files in _GROUPS:
        try:
            most, now = (int((root / folder / name).read_text()) for name in (limit, used))
            stat = dict(line.split() for line in (root / folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no container, or one without a limit ("max")
            continue
        limits.append(MemoryLimit(most, max(most - now + int(stat.get(files, 0)), 0)))
    return limits
