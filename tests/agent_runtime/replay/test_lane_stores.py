"""Replays over stores that are empty at the start, or filled by a pass before."""

from pathlib import Path

import pytest

from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.replay.lane_stores import open_lane_stores
from agent_runtime.replay.replayer import ReplayOptions, replay
from agent_runtime.replay.report import ReplayReport
from agent_runtime.replay.store_kind import StoreKind
from agent_runtime.turn import Mode
from kv_store import Store
from tests.agent_runtime.replay.test_steps import write
from tests.agent_runtime.worlds import load_tiny, state, write_game

MODES = (Mode.FULL, Mode.STAR, Mode.ANCHORED)
NUM_TURNS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(scope="module")
def reports(folder: Path) -> dict[StoreKind, ReplayReport]:
    """One game over each kind of store: a unit changes each turn, and the match is closed at the end."""
    games, loaded = write_game(folder / "games"), load_tiny(folder)
    whole = {"type": "match.state", "match": "m", "frame": 1, "state": state(num_units=20)}
    messages = [
        {"type": "match.open", "match": "m", "game": "duel"},
        whole,
        {"type": "session.open", "session": "s", "match": "m"},
    ]
    for turn in range(1, NUM_TURNS + 1):
        patch = [{"op": "replace", "path": f"/units/{turn}/hp", "value": 90 + turn}]
        asked = {"type": "turn", "session": "s", "turn_id": turn, "frame": turn + 1, "observation": "A noise."}
        messages += [
            {"type": "match.state", "match": "m", "frame": turn + 1, "patch": patch},
            {**asked, "actions": [{"id": "hold"}, {"id": "go"}], "deadline_ms": 60_000.0},
            {"type": "turn.applied", "session": "s", "turn_id": turn, "ok": True, "action": {"id": "go"}},
        ]
    recording = write(folder / "m.jsonl", [*messages, {"type": "match.close", "match": "m"}])
    return {kind: _replay(recording, loaded, games, kind) for kind in StoreKind}


def _replay(recording: Path, loaded: LoadedModel, games: Path, kind: StoreKind) -> ReplayReport:
    return replay(recording, loaded, ReplayOptions(MODES, (games,), pool_mib=16, store=kind))


def pieces(report: ReplayReport, label: str, kind: str) -> int:
    """The tokens of one kind in all turns of a lane."""
    assert report.strips is not None
    return sum(
        piece.tokens for kept in report.strips if kept.label == label for piece in kept.strip if piece.kind == kind
    )


def test_over_an_empty_store_everything_is_encoded_as_without_one(reports: dict[StoreKind, ReplayReport]) -> None:
    for label in ("star", "anchored"):
        none, empty = reports[StoreKind.NONE].mode(label), reports[StoreKind.EMPTY].mode(label)
        assert none is not None and empty is not None
        assert empty.tokens_computed == none.tokens_computed and empty.background_rows == none.background_rows
        assert (
            pieces(reports[StoreKind.EMPTY], label, "loaded") == 0 < pieces(reports[StoreKind.EMPTY], label, "encoded")
        )


def test_over_a_warm_store_blocks_are_loaded_and_none_is_encoded(reports: dict[StoreKind, ReplayReport]) -> None:
    for label in ("star", "anchored"):
        warm, empty = reports[StoreKind.WARM], reports[StoreKind.EMPTY]
        assert pieces(warm, label, "encoded") == 0 < pieces(warm, label, "loaded")
        assert pieces(warm, label, "loaded") == pieces(empty, label, "encoded")
        mode = warm.mode(label)
        assert mode is not None and mode.background_rows == 0


def test_answers_do_not_depend_on_the_store(reports: dict[StoreKind, ReplayReport]) -> None:
    for label in ("full", "star", "anchored"):
        masses = [
            [sample.legal_mass for sample in mode.samples]
            for report in reports.values()
            if (mode := report.mode(label)) is not None
        ]
        assert len(masses) == 3 and len(masses[0]) == NUM_TURNS
        for other in masses[1:]:
            assert other == pytest.approx(masses[0], rel=1e-3)


def test_a_report_says_which_store_it_was(reports: dict[StoreKind, ReplayReport]) -> None:
    assert [report.settings["store"] for report in reports.values()] == ["none", "empty", "warm"]


def test_another_deadline_stands_in_for_the_recorded_one(folder: Path, reports: dict[StoreKind, ReplayReport]) -> None:
    assert {mode.deadline_miss_rate for mode in reports[StoreKind.NONE].modes} == {0}
    options = ReplayOptions((Mode.STAR,), (folder / "games",), pool_mib=16, deadline_ms=1e-6)
    strict = replay(folder / "m.jsonl", load_tiny(folder), options)
    assert strict.modes[0].deadline_miss_rate == 1


def test_each_lane_has_a_store_of_its_own_and_none_outlives_the_replay() -> None:
    with open_lane_stores(StoreKind.EMPTY, 2) as stores:
        first, second = stores.of(0), stores.of(1)
        assert isinstance(first, Store) and isinstance(second, Store) and first.folder != second.folder
        folder = first.folder.parent
        assert folder.is_dir()
    assert not folder.exists()
    with open_lane_stores(StoreKind.NONE, 2) as stores:
        assert isinstance(stores.of(0), MemoryStore)
