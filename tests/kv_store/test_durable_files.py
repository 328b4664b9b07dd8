import os
import stat
from pathlib import Path

import pytest

from kv_store import durable_files
from kv_store.durable_files import is_temporary, make_folder, publish, remove


def test_publishing_syncs_the_file_before_the_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def watched_replace(source: Path, target: Path) -> None:
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(durable_files.os, "fsync", watched_fsync)
    monkeypatch.setattr(durable_files.os, "replace", watched_replace)
    (tmp_path / "a.tmp").write_bytes(b"content")
    publish(tmp_path / "a.tmp", tmp_path / "a")
    assert steps == ["sync file", "rename", "sync folder"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"content"


def test_folders_are_made_with_their_parents_and_making_them_again_does_nothing(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OSError):
        make_folder(tmp_path / "a" / "b")


def test_removing_says_whether_the_file_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    assert remove(tmp_path / "a")
    assert remove(tmp_path / "a")
    assert not remove(tmp_path)  # a folder is nothing that this removes


def test_temporaries_are_ours_and_those_of_safetensors() -> None:
    assert is_temporary(Path("pack-1.safetensors.tmp"))
    assert is_temporary(Path(".tmpA1b2C3"))
    assert not is_temporary(Path("pack-1.safetensors"))
