"""The whole demo with a tiny model: a real server in another process, a real kill, and both replays."""

import json
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from agent_runtime.demo import DemoOptions, run_demo
from agent_runtime.demo.errors import FolderInUse, ServerEnded
from agent_runtime.demo.screen import Screen
from agent_runtime.demo.story import DemoResult
from agent_runtime.replay.recording_format import read_recording
from agent_runtime.turn import Mode
from tests.tiny_models import save_tiny_model


@dataclass(frozen=True)
class Shown:
    result: DemoResult
    text: str
    folder: Path


def screen(out: StringIO) -> Screen:
    return Screen(Console(file=out, highlight=False))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    home = tmp_path_factory.mktemp("demo")
    model = save_tiny_model(home / "model")
    config = json.loads((model / "config.json").read_text())
    # The tiny tokenizer needs three tokens where SmolLM2 needs one.
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 8192}))
    out = StringIO()
    result = run_demo(DemoOptions.fast(str(model), home / "kept"), screen(out))
    return Shown(result, out.getvalue(), home / "kept")


def test_after_the_kill_everything_is_loaded_and_nothing_encoded(shown: Shown) -> None:
    assert shown.result.resumed is not None
    assert shown.result.resumed.loaded > 1000
    assert shown.result.resumed.encoded == 0
    assert "is killed between two turns of hand" in shown.text
    assert "none was encoded again" in shown.text


def test_the_match_is_one_recording_of_two_servers(shown: Shown) -> None:
    holdem, camp = (read_recording(file) for file in sorted((shown.folder / "recordings").glob("m*"), reverse=True))
    assert [part.header.game for part in (*holdem.parts, *camp.parts)] == ["texas_holdem", "texas_holdem", "camp"]
    first, second = holdem.parts
    assert first.end is None, "nobody wrote an end: the server was killed"
    assert second.header.resumed
    assert second.end is not None and camp.parts[0].end is not None
    # Nothing but names was sent to take the match up again.
    again = [line.kind for line in second.lines if line.dir == "c2s"]
    assert again[:3] == ["match.open", "session.open", "session.open"]
    assert all('"state"' not in line.payload for line in second.lines if line.kind == "match.state")


def test_every_turn_is_shown_with_its_cost(shown: Shown) -> None:
    turns = sum(report.modes[0].turns for report in shown.result.reports)
    assert shown.text.count(", computed ") == turns
    assert shown.text.count("   → ") == turns
    assert "npc_2 (" in shown.text and "player_1 (shark)" in shown.text


def test_both_games_are_replayed_in_three_modes(shown: Shown) -> None:
    assert [report.game for report in shown.result.reports] == ["texas_holdem", "camp"]
    for report in shown.result.reports:
        full, prefix, star = report.modes
        assert (full.mode, prefix.mode, star.mode) == (Mode.FULL, Mode.PREFIX, Mode.STAR)
        assert star.as_recorded == 1, "in another process, and across a kill, star decides the same"
        assert full.tokens_cached == 0
        assert star.tokens_computed and prefix.tokens_computed and full.tokens_computed
        assert star.tokens_computed < prefix.tokens_computed < full.tokens_computed
        assert {mode.forwards for mode in report.modes} == {1}
        assert report.warnings == ()


def test_it_closes_with_what_follows_from_the_figures(shown: Shown) -> None:
    _, _, closing = shown.text.partition("What follows from it")
    assert "Prefix reuse " in closing
    for report in shown.result.reports:
        assert f"{report.game}: there " in " ".join(closing.split())


def test_nothing_is_wider_than_100_columns_or_cut_in_a_table(shown: Shown) -> None:
    assert max(map(len, shown.text.splitlines())) <= 100
    _, _, tables = shown.text.partition("The same turns again")
    assert "…" not in tables


def test_a_folder_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FolderInUse, match="not an empty folder"):
        run_demo(DemoOptions(folder=tmp_path), screen(StringIO()))


def test_why_a_server_does_not_start_is_told_in_its_own_words() -> None:
    with pytest.raises(ServerEnded, match="--pool-mib"):
        run_demo(DemoOptions(pool_mib=0), screen(StringIO()))
