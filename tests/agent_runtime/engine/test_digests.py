"""agent_runtime.engine.digests: contents are named by what they are, and not read again while the file stays."""

import os

from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.engine import digests
from agent_runtime.engine.digests import digest_of, file_digest, files_digest


def test_the_digest_of_a_file_is_that_of_its_contents(tmp_path):
    (tmp_path / "a").write_bytes(b"weights")
    (tmp_path / "b").write_bytes(b"weights")
    (tmp_path / "c").write_bytes(b"other")
    a, b, c = (file_digest(tmp_path / name, tmp_path / "cache") for name in "abc")
    assert a == b != c


def test_a_file_is_read_once_until_it_changes(tmp_path, monkeypatch):
    reads = []
    digest = digests.hashlib.file_digest
    monkeypatch.setattr(
        digests.hashlib, "file_digest", lambda file, kind: reads.append(file.name) or digest(file, kind)
    )
    file, cache = tmp_path / "a", tmp_path / "cache"
    file.write_bytes(b"weights")
    first = file_digest(file, cache)
    assert file_digest(file, cache) == first and len(reads) == 1
    os.utime(file, ns=(1, 1))
    assert file_digest(file, cache) == first and len(reads) == 2
    file.write_bytes(b"changed")
    assert file_digest(file, cache) != first and len(reads) == 3


def test_a_memo_that_is_torn_or_cannot_be_written_only_costs_time(tmp_path):
    file, cache = tmp_path / "a", tmp_path / "cache"
    file.write_bytes(b"weights")
    first = file_digest(file, cache)
    for memo in (cache / "digests").iterdir():
        memo.write_text("[1, 2")
    assert file_digest(file, cache) == first
    for memo in (cache / "digests").iterdir():
        memo.write_text("[1, 2]")
    assert file_digest(file, cache) == first
    (tmp_path / "no-folder").write_text("")
    assert file_digest(file, tmp_path / "no-folder") == first


def test_files_are_one_set_whatever_they_are_called(tmp_path):
    for name, contents in (("a", b"1"), ("b", b"2"), ("x", b"2"), ("y", b"1")):
        (tmp_path / name).write_bytes(contents)
    cache = tmp_path / "cache"
    assert files_digest([tmp_path / "a", tmp_path / "b"], cache) == files_digest(
        [tmp_path / "x", tmp_path / "y"], cache
    )
    assert files_digest([tmp_path / "a"], cache) != files_digest([tmp_path / "a", tmp_path / "b"], cache)


@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_lists_of_strings_do_not_run_together(some, others):
    assert (digest_of(*some) == digest_of(*others)) == (some == others)
