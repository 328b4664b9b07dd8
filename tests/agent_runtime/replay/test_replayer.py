"""A game that was played over a real socket, recorded, and played again in several modes."""

import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.errors import UnknownName
from agent_runtime.replay import replayer
from agent_runtime.replay.errors import NothingToReplay, OtherProtocol, PromptsDiffer
from agent_runtime.replay.lanes import Lane, open_lanes
from agent_runtime.replay.replayer import ReplayOptions, replay
from agent_runtime.replay.report import ReplayReport, lane_labels
from agent_runtime.replay.strips import Strips
from agent_runtime.token_blocks import TokenBlock, TokenPrompt
from agent_runtime.turn import Account, Action, Ledger, Mode, Outcome, Score, TurnRequest, TurnResult
from tests.agent_runtime.replay.duel import NUM_TURNS, record_duel, write_long_duel
from tests.agent_runtime.replay.test_steps import fill_the_parsers_cache, write
from tests.agent_runtime.worlds import ACTIONS, load_tiny, write_game

ALL_MODES = (Mode.FULL, Mode.PREFIX, Mode.STAR, Mode.ANCHORED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replay")


@pytest.fixture(scope="module")
def games(folder: Path) -> Path:
    return write_game(folder / "games")


@pytest.fixture(scope="module")
def loaded(folder: Path) -> LoadedModel:
    return load_tiny(folder)


@pytest.fixture(scope="module")
def recording(folder: Path, games: Path, loaded: LoadedModel) -> Path:
    return record_duel(folder / "recordings", games, loaded)


@pytest.fixture(scope="module")
def report(recording: Path, games: Path, loaded: LoadedModel) -> ReplayReport:
    return replay(recording, loaded, ReplayOptions(ALL_MODES, games=(games,), pool_mib=16))


def test_every_turn_is_played_in_every_mode_by_one_forward(report: ReplayReport) -> None:
    assert [mode.label for mode in report.modes] == ["full", "prefix", "star", "anchored"]
    for mode in report.modes:
        assert mode.turns == NUM_TURNS
        assert mode.outcomes == {"ok": NUM_TURNS}
        assert mode.forwards == 1
        assert len({sample.turn_id for sample in mode.samples}) == NUM_TURNS
    assert (report.game, report.recorded_mode, report.refused, report.warnings) == ("duel", "star", 0, ())


def test_all_modes_see_equally_many_tokens_and_compute_what_is_theirs(report: ReplayReport) -> None:
    prompts = {tuple(sample.tokens_prompt for sample in mode.samples) for mode in report.modes}
    assert len(prompts) == 1
    full, prefix, star, anchored = report.modes
    assert full.tokens_cached == 0
    assert full.tokens_computed and prefix.tokens_computed and star.tokens_computed
    assert star.tokens_computed < prefix.tokens_computed < full.tokens_computed
    assert anchored.tokens_computed == star.tokens_computed


def test_the_recorded_mode_chooses_the_recorded_actions_again(report: ReplayReport) -> None:
    star = report.mode("star")
    assert star is not None
    assert star.as_recorded == 1
    assert len({sample.tokens_computed for sample in star.samples}) > 1


def test_answers_are_compared_with_those_of_full(report: ReplayReport) -> None:
    full, prefix, star, _ = report.modes
    assert (full.same_best, full.logprob_off_max, full.total_variation_max) == (1, 0, 0)
    assert prefix.logprob_off_max is not None and prefix.logprob_off_max < 1e-4
    assert star.logprob_off_max is not None and star.logprob_off_max > 1e-2
    assert star.total_variation_mean is not None and 0 < star.total_variation_mean <= 1


def test_times_are_set_against_full_and_prefix(report: ReplayReport) -> None:
    full, prefix, star, _ = report.modes
    assert full.ratios.keys() == {"prefix"} and prefix.ratios.keys() == {"full"}
    assert star.ratios.keys() == {"full", "prefix"}
    assert full.ratios["prefix"].value == pytest.approx(1 / prefix.ratios["full"].value)
    assert star.ratios["full"].turns == NUM_TURNS and star.ratios["full"].holds_one is not None


def test_every_turn_says_what_the_engine_took_what_the_answers_weigh_and_what_the_replayer_added(
    report: ReplayReport,
) -> None:
    for mode in report.modes:
        for sample in mode.samples:
            assert sample.ttft_ms and sample.engine_ms and sample.queue_ms is not None
            assert sample.engine_ms + sample.queue_ms < sample.ttft_ms + sample.replayer_ms  # type: ignore[operator]
            assert sample.replayer_ms is not None and sample.replayer_ms >= 0
            assert sample.legal_mass is not None and 0 < sample.legal_mass < 1
            assert sample.best in {option.id for option in ACTIONS}
        assert mode.cold.turns == 0, "what a session sees is encoded before its first turn"
        assert mode.deadline_miss_rate is None


def test_agreement_stands_beside_that_of_the_best_constant_action(report: ReplayReport) -> None:
    constant = report.constant_action
    assert constant is not None and constant.action in {option.id for option in ACTIONS}
    assert constant.agreement * NUM_TURNS == pytest.approx(round(constant.agreement * NUM_TURNS))
    assert 1 / len(ACTIONS) <= constant.agreement <= 1


def test_every_turn_has_its_strip_in_every_mode(report: ReplayReport) -> None:
    assert report.strips is not None
    strips = {(each.label, each.number): each.strip for each in report.strips}
    assert len(strips) == len(ALL_MODES) * NUM_TURNS
    for mode in report.modes:
        for number, sample in enumerate(mode.samples):
            tokens = Counter[str]()
            for piece in strips[mode.label, number]:
                tokens[piece.kind] += piece.tokens
            assert tokens["hit"] + tokens["loaded"] == sample.tokens_cached
            assert sum(tokens.values()) - tokens["answers"] == sample.tokens_prompt
            assert sample.tokens_cached + tokens["encoded"] + tokens["observation"] == sample.tokens_prompt
    assert [piece.name for piece in strips["star", 1] if piece.kind == "encoded"] == ["unit/u3"]


def test_background_work_is_counted_apart(report: ReplayReport) -> None:
    rows = {mode.label: mode.background_rows for mode in report.modes}
    assert rows["full"] == 0
    assert rows["star"] == rows["anchored"] > 0


def test_two_replays_agree_in_all_counts_whatever_the_order(
    report: ReplayReport, recording: Path, games: Path, loaded: LoadedModel
) -> None:
    options = ReplayOptions((Mode.STAR, Mode.FULL, Mode.STAR), games=(games,), pool_mib=16, seed=9)
    again = replay(recording, loaded, options)
    assert [mode.label for mode in again.modes] == ["star", "full", "star (2)"]
    for label, other in (("star", "star"), ("star (2)", "star"), ("full", "full")):
        mine, theirs = again.mode(label), report.mode(other)
        assert mine is not None and theirs is not None
        counts = ("tokens_prompt", "tokens_computed", "tokens_cached", "forwards", "as_recorded", "same_best", "best")
        assert [[getattr(s, c) for c in counts] for s in mine.samples] == [
            [getattr(s, c) for c in counts] for s in theirs.samples
        ]
    assert again.modes[2].ratios.keys() == {"full", "star"}


def test_progress_is_told_turn_by_turn(recording: Path, games: Path, loaded: LoadedModel) -> None:
    told: list[tuple[int, int]] = []
    replay(recording, loaded, ReplayOptions((Mode.STAR,), (games,), 16), lambda done, turns: told.append((done, turns)))
    assert told == [(done, NUM_TURNS) for done in range(NUM_TURNS + 1)]


def test_a_cut_last_line_is_tolerated(recording: Path, games: Path, loaded: LoadedModel, tmp_path: Path) -> None:
    cut = tmp_path / "cut.jsonl"
    lines = recording.read_bytes().splitlines(keepends=True)
    # Without the end of the part, and in the middle of the line before.
    cut.write_bytes(b"".join(lines[:-1])[:-30])
    whole = replay(cut, loaded, ReplayOptions((Mode.STAR,), (games,), 16))
    assert whole.modes[0].as_recorded == 1


def test_the_digests_and_lengths_of_another_model_are_told(recording: Path, games: Path, folder: Path) -> None:
    other = load_tiny(folder, seed=1)
    warnings = replay(recording, other, ReplayOptions((Mode.FULL,), (games,), 16)).warnings
    assert "other weights" in " ".join(warnings)
    assert "recorded in mode star, which is not among those replayed" in " ".join(warnings)


def test_prompts_of_another_length_than_recorded_are_told(recording: Path, loaded: LoadedModel, tmp_path: Path) -> None:
    edited = write_game(tmp_path / "games")
    (edited / "duel" / "rules.md").write_text("Answer with one listed action and nothing else.\n", encoding="utf-8")
    warnings = replay(recording, loaded, ReplayOptions((Mode.STAR,), (edited,), 16)).warnings
    assert "The game's texts have changed since it was recorded: rules.md." in warnings
    assert f"The prompts of {NUM_TURNS} turns had another length" in " ".join(warnings)


def test_lanes_that_read_differently_are_refused(
    recording: Path, games: Path, loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = write_game(tmp_path / "games")
    (edited / "duel" / "rules.md").write_text("Answer with the listed action.\n", encoding="utf-8")

    @contextmanager
    def lanes(loaded: LoadedModel, modes: Sequence[Mode], **options: Any) -> Iterator[tuple[Lane, ...]]:
        with ExitStack() as stack:
            same = stack.enter_context(open_lanes(loaded, modes[:2], games=[games], pool_mib=16))
            other = stack.enter_context(open_lanes(loaded, modes[2:], games=[edited], pool_mib=16))
            yield (*same, *other)

    monkeypatch.setattr(replayer, "open_lanes", lanes)
    with pytest.raises(PromptsDiffer, match="Turn 1 of session 'blue' reads differently in star") as caught:
        replay(recording, loaded, ReplayOptions((Mode.FULL, Mode.PREFIX, Mode.STAR)))
    assert caught.value.modes == ("star",)


def test_a_game_that_nobody_knows_is_named(recording: Path, loaded: LoadedModel) -> None:
    with pytest.raises(UnknownName, match="duel"):
        replay(recording, loaded, ReplayOptions((Mode.STAR,), pool_mib=16))


OPEN: dict[str, Any] = {"type": "match.open", "match": "m", "game": "duel"}
SESSION = {"type": "session.open", "session": "s", "match": "m"}
TURN: dict[str, Any] = {"type": "turn", "session": "s", "turn_id": 1, "frame": 1, "observation": "", "actions": []}


def test_frames_that_are_refused_now_are_counted(games: Path, loaded: LoadedModel, tmp_path: Path) -> None:
    frame = {"type": "match.state", "match": "m", "frame": 1, "state": {"clock": 1}}
    asked = {**TURN, "actions": [{"id": "hold"}]}
    file = write(tmp_path / "m.jsonl", [OPEN, SESSION, frame, frame, TURN, asked, {**asked, "frame": 5, "turn_id": 2}])
    report = replay(file, loaded, ReplayOptions((Mode.FULL, Mode.STAR), (games,), 16))
    assert report.refused == 3, "a frame twice, a turn without actions, and one about a frame that never came"
    assert report.modes[0].turns == 1
    assert "3 frames are refused now" in report.warnings[0]


def test_a_recording_without_turns_is_refused(loaded: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(NothingToReplay):
        replay(write(tmp_path / "m.jsonl", [OPEN]), loaded)


def test_a_recording_of_another_protocol_is_refused(loaded: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(OtherProtocol):
        replay(write(tmp_path / "m.jsonl", [OPEN], protocol="other.v1"), loaded)


# However long.


class StubTurn:
    """A turn that is decided at once."""

    def __init__(self, request: TurnRequest) -> None:
        self.request = request
        self.prompt = TokenPrompt((TokenBlock("rules", (1, 2, 3), "key"),), (4, 5), 3)

    def run(self) -> TurnResult:
        account = Account(Mode.STAR, "stub", False, tokens_prompt=5, tokens_cached=3, observation=2, ttft_ms=1.5)
        scores = (Score("hold", -1.0, 0.75), Score("go", -2.0, 0.25))
        session, turn_id = self.request.session, self.request.turn_id
        return TurnResult(session, turn_id, Outcome.OK, Action("hold"), scores, 0.5, account=account)


@contextmanager
def stub_lanes(loaded: Any, modes: Sequence[Mode], **options: Any) -> Iterator[tuple[Any, ...]]:
    def take(*anything: Any, **more: Any) -> None:
        return None

    runtime = SimpleNamespace(begin_turn=StubTurn, open_match=take, put_state=take, open_session=take, apply_turn=take)
    runtime.digests = lambda model, game: {}
    served = SimpleNamespace(prefetcher=SimpleNamespace(ledger=Ledger()))
    yield tuple(
        SimpleNamespace(label=label, mode=mode, runtime=runtime, served=served, settle=take)
        for label, mode in zip(lane_labels(modes), modes, strict=True)
    )


def peak_of_replaying(num_turns: int, file: Path) -> int:
    """The most bytes held at once while a recording of so many turns is replayed in two modes and reported."""
    write_long_duel(file, num_turns)
    loaded: Any = SimpleNamespace(name="stub", digest="", block_tuned=False, model=torch.nn.Identity())
    tracemalloc.start()
    try:
        fill_the_parsers_cache()
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        report = replay(file, loaded, ReplayOptions((Mode.STAR, Mode.STAR)))
        assert [mode.turns for mode in report.modes] == [num_turns] * 2
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_a_replay_keeps_next_to_nothing_of_a_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replayer, "open_lanes", stub_lanes)
    monkeypatch.setattr(replayer, "Strips", partial(Strips, 2000))  # a fixed room, filled by the shorter one already
    peak_of_replaying(10, tmp_path / "m.jsonl")  # what is made once
    short, long = (peak_of_replaying(turns, tmp_path / "m.jsonl") for turns in (300, 1500))
    # A sample has 150 bytes in each of two lanes, and its figures are sorted.
    assert (long - short) / (1500 - 300) < 500


@pytest.mark.soak
def test_ten_thousand_turns_take_no_more_memory_than_two_thousand(
    tmp_path: Path, games: Path, loaded: LoadedModel
) -> None:
    process = psutil.Process()
    resident: dict[int, int] = {}

    def watch(done: int, turns: int) -> None:
        if done in (2000, 10_000):
            resident[done] = process.memory_info().rss

    long = write_long_duel(tmp_path / "long.jsonl", 10_000)
    report = replay(long, loaded, ReplayOptions((Mode.STAR,), (games,), 16), watch)
    assert report.modes[0].turns == 10_000
    # The runtime remembers texts and blocks up to a bound, which 2,000 turns do not fill.
    assert resident[10_000] - resident[2000] < 40 << 20
