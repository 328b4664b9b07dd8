"""Limits of containers, as the files of control groups tell them."""

from pathlib import Path

import pytest

from agent_runtime.engine.containers import MemoryLimit, memory_limits

GIB = 2**30
SECOND = ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
FIRST = ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def contain(
    root: Path, limit: str | int, used: int, may_go: int = 0, version: tuple[str, str, str, str] = SECOND
) -> Path:
    """Write the files of a container under `root`; return that."""
    folder, limit_name, used_name, files = version
    (root / folder).mkdir(parents=True)
    for name, text in ((limit_name, limit), (used_name, used), ("memory.stat", f"anon 7\n{files} {may_go}")):
        (root / folder / name).write_text(f"{text}\n")
    return root


@pytest.mark.parametrize("version", [SECOND, FIRST])
def test_a_limit_is_told_by_either_version_and_files_that_may_go_are_free(
    tmp_path: Path, version: tuple[str, str, str, str]
) -> None:
    contain(tmp_path, 16 * GIB, 10 * GIB, 2 * GIB, version)
    assert memory_limits(tmp_path) == [MemoryLimit(16 * GIB, 8 * GIB)]


def test_where_both_versions_are_mounted_both_limits_hold(tmp_path: Path) -> None:
    contain(contain(tmp_path, 16 * GIB, 10 * GIB), 8 * GIB, GIB, version=FIRST)
    assert memory_limits(tmp_path) == [MemoryLimit(16 * GIB, 6 * GIB), MemoryLimit(8 * GIB, 7 * GIB)]


def test_a_container_that_uses_more_than_its_limit_has_nothing_free(tmp_path: Path) -> None:
    assert memory_limits(contain(tmp_path, GIB, 2 * GIB)) == [MemoryLimit(GIB, 0)]


@pytest.mark.parametrize("said", ["max", "", "many"])
def test_without_a_limit_there_is_none(tmp_path: Path, said: str) -> None:
    assert memory_limits(tmp_path) == []
    assert memory_limits(contain(tmp_path, said, 5)) == []
