"""`hotseat prompts check`, as it is typed."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent_runtime.cli import app, main
from agent_runtime.engine.card import Card, write_card
from agent_runtime.engine.text import Lead
from tests.agent_runtime.designer.worlds import write_states
from tests.prompts.worlds import UNITS, some_units, write_game
from tests.readme import ROOT
from tests.tiny_models import save_tiny_adapter, save_tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_game(tmp_path / "games", UNITS)
    write_states(tmp_path, [{"units": some_units(3), "clock": number} for number in range(9)])
    return tmp_path


def printed(*words: object) -> str:
    result = CliRunner().invoke(app, ["prompts", "check", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one sentence that a bad command line gets."""
    monkeypatch.setattr(sys, "argv", ["hotseat", "prompts", "check", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2 and said.out == "" and said.err.count("\n") == 1
    return said.err


def test_it_prints_blocks_frames_and_advice(folder: Path) -> None:
    said = printed("tiny", folder / "states.jsonl", "--games", folder / "games", "--model", "none")
    lines = said.splitlines()
    assert lines[0].startswith("tiny: 9 frames of states.jsonl, 4 blocks, anchor")
    assert any(line.split()[:1] == ["unit/unit-2"] and line.split()[2:] == ["9", "0", "8"] for line in lines)
    assert any(line.split()[:1] == ["9"] and line.endswith("~1 (rest/clock)") for line in map(str.rstrip, lines))
    assert "`rest/clock` changed in 8 of 8 frames: make it live." in said and 'match = "/clock"' in said
    assert "estimated" in said


def test_a_folder_names_a_game_and_json_is_all_that_is_printed(folder: Path) -> None:
    page = folder / "page.html"
    said = printed(folder / "games" / "tiny", folder / "states.jsonl", "--model", "none", "--json", "--html", page)
    report = json.loads(said)
    assert (report["format"], report["version"], report["game"]) == ("hotseat.prompts", 1, "tiny")
    assert [block["name"] for block in report["blocks"]] == ["unit/unit-0", "unit/unit-1", "unit/unit-2", "rest/clock"]
    assert report["blocks"][3]["changed"] == report["blocks"][3]["could_have_changed"] == 8
    assert report["frames"][1]["replaced"] == ["rest/clock"] and report["advice"][0]["kind"] == "live"
    assert report["tokens"]["exact"] is False
    assert page.read_text("utf-8").startswith("<!doctype html>")


def test_a_sight_is_what_a_session_would_see(folder: Path) -> None:
    words = (folder / "games" / "tiny", folder / "states.jsonl", "--model", "none", "--json", "--sight", "!/clock")
    assert [block["rule"] for block in json.loads(printed(*words))["blocks"]] == ["unit/*"] * 3


def test_tokens_are_those_of_the_model_as_it_is_served(folder: Path) -> None:
    base, adapter = save_tiny_model(folder / "base"), save_tiny_adapter(folder / "adapter")
    write_card(adapter, Card(("star",), lead=Lead.LABEL))
    words = (folder / "games" / "tiny", folder / "states.jsonl", "--model", base, "--json")
    bare, led = (json.loads(printed(*words, *more))["frames"][0] for more in ((), ("--adapter", adapter)))
    assert led["prompt"] == bare["prompt"] + 2 * bare["num_blocks"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("tinny", "states.jsonl", "--games", "games"), "There is no game named 'tinny'. Did you mean 'tiny'?"),
        (("./nowhere", "states.jsonl"), "nowhere/game.toml: there is no such file"),
        (("tiny", "missing.jsonl", "--games", "games"), "missing.jsonl: it cannot be read"),
        (("tiny", "broken.jsonl", "--games", "games"), "broken.jsonl:2: this is not JSON"),
        (("tiny", "states.jsonl", "--games", "elsewhere"), "there is no such folder"),
        (("tiny", "states.jsonl", "--games", "games", "--sight", "units"), "a JSON Pointer begins with '/'"),
        (("tiny", "states.jsonl", "--games", "games", "--model", "no/such/model"), "There is no model at"),
        (("tiny", "states.jsonl", "--games", "games", "--html", "no/page.html"), "page.html cannot be written"),
        (("bad", "states.jsonl", "--games", "games"), "game.toml:1: the game is named"),
    ],
)
def test_what_cannot_be_checked_is_one_sentence(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    says: str,
) -> None:
    (folder / "broken.jsonl").write_text("{}\n{", encoding="utf-8")
    (folder / "games" / "bad").mkdir()
    (folder / "games" / "bad" / "game.toml").write_text("name = 'worse'", encoding="utf-8")
    monkeypatch.chdir(folder)
    said = refused(monkeypatch, capsys, *words, *(() if "--model" in words else ("--model", "none")))
    assert said.startswith("hotseat: ") and says in said.replace("\\", "/")


def test_the_example_is_checked_as_the_readme_says() -> None:
    states = ROOT / "examples" / "own_game" / "states.jsonl"
    said = printed("own_game", states, "--games", ROOT / "examples", "--model", "none")
    assert "own_game: 8 frames of states.jsonl, 5 blocks" in said and "There is nothing to advise." in said
