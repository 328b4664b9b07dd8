import re

from hypothesis import given
from hypothesis import strategies as st

from kv_store.folder_names import folder_name
from kv_store.pack import is_storable_text


@given(st.text().filter(is_storable_text))
def test_any_match_id_becomes_a_name_that_every_file_system_takes(match: str) -> None:
    assert re.fullmatch(r"[a-z0-9_][a-z0-9_-]{0,56}", folder_name(match))


def test_ids_that_differ_only_in_what_a_file_system_folds_have_different_folders() -> None:
    names = {
        folder_name(match) for match in ("Alice", "alice", "ALICE", "alice ", "alice.", "a/lice", "..", ".", "con", "")
    }
    assert len(names) == 10


def test_the_folder_of_an_id_never_changes() -> None:
    assert folder_name("match/7") == "match-7-1eb5146814650b3b"
