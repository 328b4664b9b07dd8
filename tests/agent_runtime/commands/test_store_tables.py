"""What `hotseat store` prints."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent_runtime.cli import app
from tests.kv_store.worlds import opened, put_all


def printed(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["store", *map(str, arguments)], env={"COLUMNS": "200"}, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store whose match blue uses one block of its own and one of red's."""
    with opened(tmp_path) as store:
        put_all(store, "red", ["a", "b"])
        put_all(store, "blue", ["c"])
        store.link("blue", ["a"])
        store.flush(10)
    return tmp_path


def test_the_listing_explains_the_blocks_that_lie_with_another_match(folder: Path) -> None:
    listing = printed("ls", folder)
    (blue,) = [line for line in listing.splitlines() if " blue " in line]
    assert [cell.strip() for cell in blue.split("│")][1:5] == ["blue", "1", "2", "1"]
    assert "of others" in listing and "lie in another match's packs" in " ".join(listing.split())


def test_as_json_nothing_but_json_is_printed(folder: Path) -> None:
    listing = json.loads(printed("ls", folder, "--json"))
    assert [(match["match"], match["shared_blocks"]) for match in listing["matches"]] == [("blue", 1), ("red", 0)]
    assert json.loads(printed("check", folder, "--json"))["findings"] == []
