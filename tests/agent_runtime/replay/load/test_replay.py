"""A game that was played over a real socket, recorded, and played again against a server with a tiny model."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest

from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.errors import UnknownName
from agent_runtime.replay.load.errors import LacksName
from agent_runtime.replay.load.options import LoadOptions, Server
from agent_runtime.replay.load.replay import replay_against
from agent_runtime.replay.recording import MatchRecorder
from agent_runtime.replay.replayer import ReplayOptions, replay
from agent_runtime.replay.report import ReplayReport
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import serve_model
from agent_runtime.server import Client, ServerConfig, serve_in_background
from agent_runtime.server.config import Limits
from agent_runtime.turn import Action, Mode
from tests.agent_runtime.replay.load.stub import Message, Stub, match_of, record, running
from tests.agent_runtime.worlds import ACTIONS, load_tiny, state, write_game

NUM_TURNS = 6
ALL_MODES = (Mode.FULL, Mode.PREFIX, Mode.STAR, Mode.ANCHORED)
COUNTS = ("tokens_prompt", "tokens_computed", "tokens_cached", "forwards", "as_recorded", "same_best", "best")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("load")


@pytest.fixture(scope="module")
def games(folder: Path) -> Path:
    return write_game(folder / "games")


@pytest.fixture(scope="module")
def loaded(folder: Path) -> LoadedModel:
    return load_tiny(folder)


def new_runtime(loaded: LoadedModel, games: Path) -> AgentRuntime:
    served = serve_model("default", loaded, MemoryStore(), pool_mib=16, max_rows=512, probed=False)
    return AgentRuntime({"default": served}, games=[games])


@contextmanager
def serving(loaded: LoadedModel, games: Path, config: ServerConfig | None = None) -> Iterator[tuple[str, AgentRuntime]]:
    made = new_runtime(loaded, games)
    with serve_in_background(made, config or ServerConfig(port=0)) as url:
        yield url, made


@pytest.fixture(scope="module")
def recording(folder: Path, games: Path, loaded: LoadedModel) -> Path:
    made = new_runtime(loaded, games)
    recorder = MatchRecorder(folder / "recordings", digests=made.digests)
    with serve_in_background(made, ServerConfig(port=0), recorder=recorder) as url, Client(url) as client:
        client.open_match("m", "duel", mode=Mode.STAR)
        client.put_state("m", 1, state=state(num_units=30))
        client.open_session("red", "m", sight=["!/secrets/blue"])
        client.open_session("blue", "m", sight=["!/secrets/red"], history_turns=1)
        for turn in range(1, NUM_TURNS + 1):
            session = ("red", "blue")[turn % 2]
            if turn > 1:
                client.put_state("m", turn, patch=[{"op": "replace", "path": "/units/3/hp", "value": turn}])
            if turn == 3:
                client.put_block("blue", "plan", "Feint to the north.").result(30)
            client.turn(session, turn, frame=turn, observation="A noise.", actions=ACTIONS, deadline_ms=60_000)
            done = Action("go south") if turn == 4 else None
            client.apply_turn(session, turn, ok=turn != 5, message="Mud." if turn == 5 else None, action=done)
    (file,) = (folder / "recordings").glob("match-*.jsonl")
    return file


@pytest.fixture(scope="module")
def report(recording: Path, games: Path, loaded: LoadedModel) -> ReplayReport:
    with serving(loaded, games) as (url, _):
        return replay_against(recording, Server(url), LoadOptions(modes=ALL_MODES))


def test_over_the_wire_every_mode_counts_what_it_counts_in_process(
    report: ReplayReport, recording: Path, games: Path, loaded: LoadedModel
) -> None:
    """Equal histories, equal prompts, equal answers: whatever the names, and whoever else plays on the server."""
    here = replay(recording, loaded, ReplayOptions(ALL_MODES, games=(games,), pool_mib=16))
    assert [mode.label for mode in report.modes] == ["full", "prefix", "star", "anchored"]
    for mode, other in zip(report.modes, here.modes, strict=True):
        assert [[getattr(sample, name) for name in COUNTS] for sample in mode.samples] == [
            [getattr(sample, name) for name in COUNTS] for sample in other.samples
        ]
        assert mode.logprob_off_max == pytest.approx(other.logprob_off_max, abs=1e-4)
    assert (report.refused, report.ended) == (0, None)
    assert report.constant_action == here.constant_action and report.recording_digest == here.recording_digest


def test_the_recorded_mode_chooses_the_recorded_actions_again(report: ReplayReport) -> None:
    star = report.mode("star")
    assert star is not None and star.as_recorded == 1 and star.deadline_miss_rate == 0


def test_the_servers_own_account_stands_beside_what_was_measured_here(report: ReplayReport) -> None:
    for mode in report.modes:
        assert mode.traffic is not None and (shares := mode.traffic.shares_ms) is not None
        assert shares.turns == NUM_TURNS and shares.engine > 0
        assert shares.client == pytest.approx(shares.decision + shares.wire)
        assert shares.decision >= shares.engine
        for sample in mode.samples:
            assert sample.ttft_ms is not None and sample.engine_ms is not None
            assert sample.ttft_ms >= sample.engine_ms + (sample.queue_ms or 0)


def test_times_are_set_against_full_on_the_same_turns(report: ReplayReport) -> None:
    star = report.mode("star")
    assert star is not None and {"full", "prefix"} <= star.ratios.keys()


def test_nothing_stays_open_on_the_server(recording: Path, games: Path, loaded: LoadedModel) -> None:
    with serving(loaded, games) as (url, runtime):
        opened: list[str] = []
        open_match = runtime.open_match
        runtime.open_match = lambda spec: (opened.append(spec.match), open_match(spec))[1]  # type: ignore[method-assign]
        for options in (LoadOptions(), LoadOptions(copies=3), LoadOptions(pace=50.0)):
            replay_against(recording, Server(url), options)
        assert len(set(opened)) == 5
        for name in opened:
            with pytest.raises(UnknownName):
                runtime.match(name)


def test_copies_in_the_open_loop_are_reported_as_traffic(recording: Path, games: Path, loaded: LoadedModel) -> None:
    with serving(loaded, games) as (url, _):
        report = replay_against(recording, Server(url), LoadOptions(pace=5.0, copies=3, deadline_ms=60_000))
    (mode,) = report.modes
    assert (mode.label, mode.turns, mode.outcomes, mode.ratios) == ("star", 18, {"ok": 18}, {})
    assert mode.traffic is not None and mode.traffic.turns_per_s is not None and mode.traffic.turns_per_s > 0
    assert (mode.traffic.asked, mode.traffic.unanswered, mode.traffic.copies) == (18, 0, 3)
    assert mode.late_ms is not None and mode.late_ms.mean > 0
    assert mode.deadline_miss_rate == 0
    assert "Every copy had a cache_salt of its own" in " ".join(report.warnings)


def test_copies_find_nothing_of_each_other_unless_they_are_to(
    recording: Path, games: Path, loaded: LoadedModel
) -> None:
    with serving(loaded, games) as (url, _):

        def cached(options: LoadOptions) -> list[float]:
            report = replay_against(recording, Server(url), options)
            assert report.refused == 0 and (sum_of := report.modes[0].tokens_cached) is not None
            return [sample.tokens_cached or 0 for sample in report.modes[0].samples] + [sum_of]

        # `prefix` shows it best: what is there is counted in every turn.
        alone = cached(LoadOptions((Mode.PREFIX,), deadline_ms=60_000))
        own = cached(LoadOptions((Mode.PREFIX,), copies=2))
        assert sorted(own[:-1]) == sorted(2 * alone[:-1])
        assert cached(LoadOptions((Mode.PREFIX,), copies=2, shared_blocks=True))[-1] > own[-1]


def test_copies_beyond_the_servers_limits_are_counted_with_its_sentence(
    recording: Path, games: Path, loaded: LoadedModel
) -> None:
    config = ServerConfig(port=0, limits=Limits(matches=2))
    with serving(loaded, games, config) as (url, _):
        report = replay_against(recording, Server(url), LoadOptions(copies=4, connections=1))
        assert report.modes[0].traffic is not None and report.modes[0].traffic.copies_refused == 2
        assert report.modes[0].turns == 2 * NUM_TURNS and report.refused == 0
        told = " ".join(report.warnings)
        assert "that the server did not open: 2; the first: A connection holds at most 2 matches" in told
        # Over a connection each there is room for all.
        assert replay_against(recording, Server(url), LoadOptions(copies=4)).modes[0].turns == 4 * NUM_TURNS


def test_a_game_whose_folder_is_broken_on_the_server_is_one_that_it_lacks(
    recording: Path, loaded: LoadedModel, tmp_path: Path
) -> None:
    broken = write_game(tmp_path / "games")
    (broken / "duel" / "game.toml").write_text("name = ", encoding="utf-8")
    with serving(loaded, broken) as (url, _), pytest.raises(LacksName, match="has no game 'duel'; it has .*camp"):
        replay_against(recording, Server(url))


def test_prompts_that_became_others_are_told(recording: Path, loaded: LoadedModel, tmp_path: Path) -> None:
    edited = write_game(tmp_path / "games")
    (edited / "duel" / "rules.md").write_text("Answer with one listed action and nothing else.\n", encoding="utf-8")
    with serving(loaded, edited) as (url, _):
        report = replay_against(recording, Server(url))
    assert f"another length when it was recorded: {NUM_TURNS}." in " ".join(report.warnings)


def test_the_same_mode_twice_is_told_to_share_its_blocks(recording: Path, games: Path, loaded: LoadedModel) -> None:
    with serving(loaded, games) as (url, _):
        report = replay_against(recording, Server(url), LoadOptions(modes=(Mode.STAR, Mode.STAR)))
    assert [mode.label for mode in report.modes] == ["star", "star (2)"]
    assert "A mode that is named twice shares its blocks" in " ".join(report.warnings)


def test_matches_that_stay_open_are_told_unless_the_server_goes_with_them(tmp_path: Path) -> None:
    """Nobody closes a match that the server does not listen to any more."""

    def answers(stub: Stub, message: Message) -> list[Message] | None:
        if message["type"] in ("turn", "match.close") or len(stub.of_type("turn")) > 0:
            return None
        return [stub.answer(message)]

    recording = record(tmp_path / "m.jsonl", match_of(1))
    for is_own in (False, True):
        with running(Stub(answers=answers)) as stub:
            report = replay_against(recording, Server(stub.url, is_own=is_own))
        assert report.ended is not None and "ended the connection" in report.ended
        left = [each for each in report.warnings if each.startswith("Matches that could not be closed: 1.")]
        assert [] == left if is_own else left[0].endswith("to be rid of one, open it and close it.")


def test_a_report_from_the_wire_is_json_like_any_other(report: ReplayReport) -> None:
    out = StringIO()
    report.write_json(out)
    told = json.loads(out.getvalue())
    assert told["settings"]["pace"] == "closed" and told["settings"]["copies"] == 1
    assert told["environment"]["server"].startswith("hotseat")
    assert told["modes"][0]["traffic"]["shares_ms"]["turns"] == NUM_TURNS
    assert len(told["turns"]) == 4 * NUM_TURNS
