"""Whole runs against a server that is none, and that does what a test says."""

import gc
import json
import os
import signal
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.replay.errors import NothingToReplay
from agent_runtime.replay.load.errors import LacksName, NobodyLetIn, NoTimes, ServerLost
from agent_runtime.replay.load.options import LoadOptions, Server
from agent_runtime.replay.load.play import Played, play
from agent_runtime.replay.load.script import Script, written_script
from agent_runtime.replay.recording_format import read_recording
from agent_runtime.server.errors import NoAnswer
from agent_runtime.turn import Mode, Outcome
from tests.agent_runtime.replay.load.stub import (
    OPEN,
    PATIENCE_S,
    SESSION,
    STATE,
    Message,
    Stub,
    applied,
    match_of,
    record,
    result,
    running,
    turn,
)

CLOSE: Message = {"type": "match.close", "id": 99, "match": "m"}


@contextmanager
def script_of(file: Path, messages: list[Message], *, gap_ms: float = 1.0) -> Iterator[Script]:
    with written_script(read_recording(record(file, messages, gap_ms=gap_ms))) as script:
        yield script


def run(file: Path, stub: Stub, messages: list[Message], options: LoadOptions, *, gap_ms: float = 1.0) -> Played:
    with script_of(file, messages, gap_ms=gap_ms) as script, running(stub):
        return play(script, Server(stub.url), options)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "m.jsonl"


def test_in_the_closed_loop_each_message_waits_for_the_answer_to_the_one_before(file: Path) -> None:
    stub = Stub()
    played = run(file, stub, match_of(2), LoadOptions(answer_s=PATIENCE_S))
    told = ["match.open", "match.state", "session.open", "turn", "turn.applied", "turn", "turn.applied", "match.close"]
    assert [kind for kind in stub.kinds() if kind != "block.put"] == told
    (mode,) = played.modes
    assert (mode.label, mode.tally.asked, mode.tally.answered, played.ended, played.left_open) == (
        "star",
        2,
        2,
        None,
        0,
    )
    assert all(sample.ttft_ms is not None and sample.ttft_ms > 0 for sample in mode.tally.samples)
    assert [(sample.session, sample.turn_id, sample.as_recorded) for sample in mode.tally.samples] == [
        ("s", 1, True),
        ("s", 2, True),
    ]


def test_names_are_nobody_elses_and_keep_what_they_are_called(file: Path) -> None:
    stub, again = Stub(), Stub()
    for each in (stub, again):
        run(file, each, match_of(1), LoadOptions(modes=(Mode.FULL, Mode.STAR), answer_s=PATIENCE_S))
    matches = [message["match"] for each in (stub, again) for message in each.of_type("match.open")]
    assert len(set(matches)) == 4 and all(name.startswith("replay-") and name.endswith(".m") for name in matches)
    assert all(message["session"].endswith(".s") for message in stub.of_type("turn"))
    assert sorted(message["match"] for message in stub.of_type("match.close")) == sorted(matches[:2])


def test_history_takes_what_was_done_then(file: Path) -> None:
    stub = Stub(answers=lambda stub, message: [stub.answer(message) | {"action": {"id": "go"}}])
    played = run(file, stub, [OPEN, STATE, SESSION, turn(1), result(1), applied(1)], LoadOptions(answer_s=PATIENCE_S))
    assert stub.of_type("turn.applied")[0]["action"] == {"id": "hold", "args": None}
    assert [sample.as_recorded for sample in played.modes[0].tally.samples] == [False]


def test_a_drawn_action_is_not_compared_because_draws_depend_on_names(file: Path) -> None:
    asked = turn(1, decide={"how": "sample", "seed": 5})
    played = run(file, Stub(), [OPEN, STATE, SESSION, asked, result(1)], LoadOptions(answer_s=PATIENCE_S))
    assert [sample.as_recorded for sample in played.modes[0].tally.samples] == [None]


def test_modes_are_played_turn_by_turn_and_compared_with_full(file: Path) -> None:
    def answers(stub: Stub, message: Message) -> list[Message]:
        shares = (0.75, 0.25) if ".0.0." in message.get("session", "") else (0.5, 0.5)
        scores = [{"id": name, "logprob": -1.0 - p, "p": p} for name, p in zip(("hold", "go"), shares, strict=True)]
        return [stub.answer(message) | ({"scores": scores} if message["type"] == "turn" else {})]

    stub = Stub(answers=answers)
    played = run(file, stub, match_of(3), LoadOptions(modes=(Mode.FULL, Mode.STAR), answer_s=PATIENCE_S))
    turns = [(message["session"].split(".")[1], message["turn_id"]) for message in stub.of_type("turn")]
    assert [{lane for lane, _ in turns[at : at + 2]} for at in (0, 2, 4)] == [{"0", "1"}] * 3
    assert [turn_id for _, turn_id in turns] == [1, 1, 2, 2, 3, 3]
    full, star = played.modes
    assert {sample.total_variation for sample in full.tally.samples} == {0}
    assert {sample.total_variation for sample in star.tally.samples} == {0.25}
    assert {sample.logprob_off for sample in star.tally.samples} == {0.25}


def test_background_work_of_block_modes_is_waited_for_before_anything_else_is_asked(file: Path) -> None:
    stub = Stub()
    run(file, stub, match_of(1), LoadOptions(modes=(Mode.PREFIX, Mode.STAR), answer_s=PATIENCE_S))
    (settled,) = stub.of_type("block.put")
    assert ".1.0." in settled["session"] and "text" not in settled
    before = stub.heard[stub.heard.index(settled) - 1]
    assert (before["type"], before["session"]) == ("turn.applied", settled["session"])


def test_in_the_open_loop_a_stalled_server_is_measured_by_every_turn_that_waited(file: Path) -> None:
    """The server answers nothing before the last turn has come: so the first has waited longest, and all count it."""
    num_turns = 5
    messages = [OPEN, STATE, SESSION, *(turn(number) for number in range(1, num_turns + 1))]

    def answers(stub: Stub, message: Message) -> list[Message]:
        if message["type"] != "turn":
            return [stub.answer(message)]
        turns = stub.of_type("turn")
        return [stub.answer(each) for each in turns] if len(turns) == num_turns else []

    stub = Stub(answers=answers)
    played = run(file, stub, messages, LoadOptions(pace=1.0, answer_s=PATIENCE_S), gap_ms=20)
    samples = list(played.modes[0].tally.samples)
    last_due_ms = max(sample.due_ms or 0 for sample in samples)
    assert [sample.due_ms for sample in samples] == pytest.approx([80, 100, 120, 140, 160])
    for sample in samples:
        assert sample.ttft_ms is not None and sample.due_ms is not None and sample.late_ms is not None
        assert sample.ttft_ms >= last_due_ms - sample.due_ms
        assert sample.late_ms > 0
    assert played.modes[0].tally.under_way_max == num_turns


def test_a_sender_that_comes_late_adds_it_to_the_latency(file: Path) -> None:
    """All is due at once: what is sent behind it was due then, too."""
    messages = [OPEN, STATE, SESSION, *(turn(number) for number in range(1, 40))]
    played = run(file, Stub(), messages, LoadOptions(pace=1e6, answer_s=PATIENCE_S))
    samples = list(played.modes[0].tally.samples)
    assert len(samples) == 39
    assert all((sample.ttft_ms or 0) > (sample.late_ms or 0) > 0 for sample in samples)


def test_a_faster_pace_makes_everything_due_sooner(file: Path) -> None:
    messages = [OPEN, STATE, SESSION, turn(1), turn(2)]
    played = run(file, Stub(), messages, LoadOptions(pace=4.0, answer_s=PATIENCE_S), gap_ms=40)
    assert [sample.due_ms for sample in played.modes[0].tally.samples] == pytest.approx([40, 50])


def test_what_became_of_a_turn_is_said_when_there_is_something_to_say_it_of(file: Path) -> None:
    """In the open loop everything else goes out when it is due; but nobody can apply what was not answered."""

    def answers(stub: Stub, message: Message) -> list[Message]:
        if message["type"] == "turn" and message["turn_id"] == 1:
            return []
        late = [stub.answer(stub.of_type("turn")[0])] if message["type"] == "turn" else []
        return [*late, stub.answer(message)]

    stub = Stub(answers=answers)
    played = run(file, stub, match_of(2), LoadOptions(pace=1.0, answer_s=PATIENCE_S))
    told = [(message["type"], message["turn_id"]) for message in stub.heard if "turn_id" in message]
    assert told[:2] == [("turn", 1), ("turn", 2)] and sorted(told[2:]) == [("turn.applied", 1), ("turn.applied", 2)]
    assert played.modes[0].tally.refused == 0


def test_a_match_is_not_closed_while_its_turns_are_under_way(file: Path) -> None:
    """The server takes a while for the turn; a close that comes before cuts it off."""

    def answers(stub: Stub, message: Message) -> list[Message]:
        if message["type"] == "turn":
            threading.Timer(0.2, lambda: stub.say([stub.answer(message)])).start()
            return []
        cut_off = [{**stub.answer(each), "outcome": "cancelled"} for each in stub.of_type("turn")]
        return [*(cut_off if message["type"] == "match.close" else []), stub.answer(message)]

    stub = Stub(answers=answers)
    played = run(file, stub, [OPEN, STATE, SESSION, turn(1), CLOSE], LoadOptions(pace=1e6, answer_s=PATIENCE_S))
    assert stub.kinds()[-2:] == ["turn", "match.close"] and len(stub.of_type("match.close")) == 1
    assert [sample.outcome for sample in played.modes[0].tally.samples] == [Outcome.OK]


def test_deadlines_go_out_in_the_open_loop_only_and_are_judged_in_both(file: Path) -> None:
    messages = match_of(1, deadline_ms=60_000.0)
    closed, opened, stricter = Stub(), Stub(), Stub()
    met = run(file, closed, messages, LoadOptions(answer_s=PATIENCE_S))
    assert "deadline_ms" not in closed.of_type("turn")[0]
    also = run(file, opened, messages, LoadOptions(pace=1.0, answer_s=PATIENCE_S))
    assert opened.of_type("turn")[0]["deadline_ms"] == 60_000
    missed = run(file, stricter, messages, LoadOptions(pace=1.0, deadline_ms=1e-6, answer_s=PATIENCE_S))
    assert stricter.of_type("turn")[0]["deadline_ms"] == 1e-6
    assert [[sample.deadline_met for sample in each.modes[0].tally.samples] for each in (met, also, missed)] == [
        [True],
        [True],
        [False],
    ]


def test_a_turn_that_timed_out_counts_with_the_time_it_took_to_say_so(file: Path) -> None:
    outcomes = iter(("timeout", "overloaded"))

    def answers(stub: Stub, message: Message) -> list[Message]:
        if message["type"] != "turn":
            return [stub.answer(message)]
        return [{**stub.answer(message), "outcome": next(outcomes), "action": None, "account": None}]

    messages = match_of(2, deadline_ms=1000.0)
    samples = list(run(file, Stub(answers=answers), messages, LoadOptions(answer_s=PATIENCE_S)).modes[0].tally.samples)
    assert [sample.outcome for sample in samples] == [Outcome.TIMEOUT, Outcome.OVERLOADED]
    assert samples[0].ttft_ms is not None and samples[1].ttft_ms is None, (
        "a turn that was turned away was fast for nothing"
    )
    assert [sample.deadline_met for sample in samples] == [False, False]


@pytest.mark.parametrize("pace", [None, 1.0])
def test_nothing_is_applied_of_a_turn_that_brought_no_decision(file: Path, pace: float | None) -> None:
    def answers(stub: Stub, message: Message) -> list[Message]:
        late = {"outcome": "timeout", "action": None} if message.get("turn_id") == 1 else {}
        return [stub.answer(message) | late]

    stub = Stub(answers=answers)
    played = run(file, stub, match_of(2), LoadOptions(pace=pace, answer_s=PATIENCE_S))
    assert [message["turn_id"] for message in stub.of_type("turn.applied")] == [2]
    assert (played.modes[0].tally.not_applied, played.modes[0].tally.refused) == (1, 0)


def test_the_first_piece_of_free_text_is_the_first_token(file: Path) -> None:
    """The whole answer to the first turn comes only when the second one is asked, a second later."""

    def answers(stub: Stub, message: Message) -> list[Message]:
        if message["type"] != "turn":
            return [stub.answer(message)]
        piece = {"type": "turn.partial", "reply_to": message["id"], "session": message["session"], "turn_id": 1}
        if message["turn_id"] == 1:
            return [{**piece, "kind": "say", "text": "Ho"}]
        return [stub.answer(each) for each in stub.of_type("turn")]

    messages = [OPEN, STATE, SESSION, turn(1, deadline_ms=900.0), turn(2)]
    played = run(file, Stub(answers=answers), messages, LoadOptions(pace=0.1, answer_s=PATIENCE_S), gap_ms=100)
    first, _ = played.modes[0].tally.samples
    assert first.ttft_ms is not None and first.ttft_ms < 900
    assert first.deadline_met is False, "a game can do nothing with a piece of an answer"


def test_copies_are_played_at_once(file: Path) -> None:
    """No turn is answered before every copy has asked its own."""

    def answers(stub: Stub, message: Message) -> list[Message]:
        turns = stub.of_type("turn")
        if message["type"] != "turn":
            return [stub.answer(message)]
        return [stub.answer(each) for each in turns] if len(turns) == 4 else []

    stub = Stub(answers=answers)
    options = LoadOptions(copies=4, connections=1, answer_s=PATIENCE_S)
    played = run(file, stub, [OPEN, STATE, SESSION, turn(1)], options)
    assert len({message["match"] for message in stub.of_type("match.open")}) == 4
    assert sorted(sample.copy for sample in played.modes[0].tally.samples) == [0, 1, 2, 3]
    assert played.modes[0].tally.under_way_max == 4


@pytest.mark.parametrize(("asked", "made"), [(None, 3), (1, 1), (2, 2), (9, 3)])
def test_copies_have_a_connection_each_or_share_as_many_as_asked_for(file: Path, asked: int | None, made: int) -> None:
    stub = Stub()
    run(file, stub, match_of(1), LoadOptions(copies=3, connections=asked, answer_s=PATIENCE_S))
    assert stub.num_connections == made


def test_copies_are_spread_over_the_time_between_two_turns(file: Path) -> None:
    messages = [OPEN, STATE, SESSION, turn(1), turn(2)]
    played = run(file, Stub(), messages, LoadOptions(pace=1.0, copies=4, answer_s=PATIENCE_S), gap_ms=40)
    first = sorted(sample.due_ms or 0 for sample in played.modes[0].tally.samples if sample.turn_id == 1)
    assert first == pytest.approx([160, 185, 210, 235])


def test_modes_under_load_are_played_one_after_the_other(file: Path) -> None:
    stub = Stub()
    options = LoadOptions(modes=(Mode.FULL, Mode.STAR), copies=2, answer_s=PATIENCE_S)
    played = run(file, stub, match_of(2), options)
    lanes = [
        message["match"].split(".")[1] for message in stub.heard if message["type"] in ("match.open", "match.close")
    ]
    assert lanes == ["0"] * 4 + ["1"] * 4, "the matches of one mode are closed before the next begins"
    assert [len(mode.tally.samples) for mode in played.modes] == [4, 4]


def test_what_the_server_refuses_is_counted_and_its_first_sentence_kept(file: Path) -> None:
    def answers(stub: Stub, message: Message) -> list[Message]:
        if message.get("turn_id") == 1:
            return [stub.error(message, sentence=f"No {message['type']}.")]
        return [stub.answer(message)]

    played = run(file, Stub(answers=answers), match_of(2, deadline_ms=500.0), LoadOptions(answer_s=PATIENCE_S))
    tally = played.modes[0].tally
    assert (tally.refused, tally.first_refusal) == (1, "No turn.")
    assert [(sample.outcome, sample.deadline_met) for sample in tally.samples] == [
        (Outcome.ERROR, False),
        (Outcome.OK, True),
    ]


def test_copies_beyond_the_servers_limit_are_left_out_and_the_others_play(file: Path) -> None:
    def answers(stub: Stub, message: Message) -> list[Message]:
        if message["type"] == "match.open" and len(stub.of_type("match.open")) > 2:
            return [stub.error(message, "too_many", "A connection holds at most 2 matches.")]
        return [stub.answer(message)]

    stub = Stub(answers=answers)
    played = run(file, stub, match_of(2), LoadOptions(copies=5, connections=1, pace=1.0, answer_s=PATIENCE_S))
    (mode,) = played.modes
    assert mode.shut_out == ["A connection holds at most 2 matches."] * 3
    assert (mode.tally.asked, mode.tally.refused, len(mode.tally.samples)) == (4, 0, 4)
    assert len(stub.of_type("match.close")) == 2


@pytest.mark.parametrize("options", [LoadOptions(), LoadOptions(copies=3), LoadOptions(pace=1.0)], ids=str)
def test_a_match_that_is_opened_for_nobody_is_an_error(file: Path, options: LoadOptions) -> None:
    stub = Stub(answers=lambda stub, message: [stub.error(message, sentence="The game is broken.")])
    with pytest.raises(NobodyLetIn, match="The game is broken") as caught:
        run(file, stub, match_of(1), options)
    assert caught.value.copies == options.copies


def test_a_server_that_dies_ends_the_run_and_what_was_measured_stays(file: Path) -> None:
    def answers(stub: Stub, message: Message) -> list[Message] | None:
        return None if message.get("turn_id") == 3 else [stub.answer(message)]

    for options in (LoadOptions(answer_s=PATIENCE_S), LoadOptions(pace=1.0, answer_s=PATIENCE_S)):
        played = run(file, Stub(answers=answers), match_of(5), options)
        assert isinstance(played.ended, ServerLost)
        assert (played.ended.close_code, played.ended.reason) == (1011, "the stub has had enough")
        tally = played.modes[0].tally
        assert [sample.turn_id for sample in tally.samples] == [1, 2] and tally.unanswered >= 1
        # The stub is still there, and a new connection closed what the old one had opened.
        assert played.left_open == 0


def test_a_server_that_says_nothing_ends_the_run(file: Path) -> None:
    stub = Stub(answers=lambda stub, message: [] if message["type"] == "turn" else [stub.answer(message)])
    played = run(file, stub, match_of(1), LoadOptions(answer_s=0.2))
    assert isinstance(played.ended, NoAnswer) and played.ended.asked == "turn"
    assert stub.kinds()[-1] == "match.close"


def test_an_interruption_closes_the_matches_and_keeps_what_was_measured(file: Path) -> None:
    def answers(stub: Stub, message: Message) -> list[Message]:
        if message.get("turn_id") == 2:
            os.kill(os.getpid(), signal.SIGINT)
            return []
        return [stub.answer(message)]

    for options in (LoadOptions(answer_s=PATIENCE_S), LoadOptions(copies=2, answer_s=PATIENCE_S)):
        stub = Stub(answers=answers)
        played = run(file, stub, match_of(3), options)
        assert played.interrupted and played.ended is None and played.left_open == 0
        assert played.modes[0].opened is not None
        assert {sample.turn_id for sample in played.modes[0].tally.samples} == {1}
        assert len(stub.of_type("match.close")) == len(stub.of_type("match.open"))


def test_a_recording_without_times_has_no_pace(file: Path) -> None:
    with pytest.raises(NoTimes, match="--pace closed"):
        run(file, Stub(), match_of(2), LoadOptions(pace=1.0), gap_ms=0)
    assert run(file, Stub(), match_of(2), LoadOptions(answer_s=PATIENCE_S), gap_ms=0).modes[0].tally.answered == 2


def test_a_recording_without_a_turn_is_refused_before_anybody_is_asked(file: Path) -> None:
    with pytest.raises(NothingToReplay):
        run(file, Stub(), [OPEN, STATE], LoadOptions())


def test_a_game_or_model_that_the_server_lacks_is_named_with_those_it_has(file: Path) -> None:
    with pytest.raises(LacksName, match=r"no game 'chess'; it has duel\. Start it with --games"):
        run(file, Stub(), [{**OPEN, "game": "chess"}, STATE, SESSION, turn(1)], LoadOptions())
    with pytest.raises(LacksName, match=r"no model 'big'; it has tiny\. Name one of its own with --model"):
        run(file, Stub(), [{**OPEN, "model": "big"}, STATE, SESSION, turn(1)], LoadOptions())
    stub = Stub()
    run(file, stub, [{**OPEN, "model": "big"}, STATE, SESSION, turn(1)], LoadOptions(model="tiny", answer_s=PATIENCE_S))
    assert stub.of_type("match.open")[0]["model"] == "tiny"


def test_progress_is_told_turn_by_turn(file: Path) -> None:
    told: list[tuple[int, int]] = []
    with script_of(file, match_of(3)) as script, running(Stub()) as stub:
        options = LoadOptions(modes=(Mode.FULL, Mode.STAR), answer_s=PATIENCE_S)
        play(script, Server(stub.url), options, lambda done, turns: told.append((done, turns)))
    assert told == [(done, 6) for done in range(7)]


def test_ten_times_the_turns_take_no_more_memory_but_for_their_samples(file: Path) -> None:
    """What is measured is the client and the stub together, and the stub remembers nothing.

    Without accounts there are no strips, which have a room of their own.
    """

    def peak_bytes(num_turns: int) -> int:
        stub = Stub(remembers=False, account=None)
        with script_of(file, match_of(num_turns)) as script, running(stub):
            tracemalloc.start()
            try:
                play(script, Server(stub.url), LoadOptions(answer_s=PATIENCE_S))
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    peak_bytes(20)
    few, many = peak_bytes(50), peak_bytes(500)
    assert (many - few) / 450 < 300, "bytes a turn: its sample, and no more"


def test_the_protocol_has_no_message_that_a_script_would_not_say(file: Path) -> None:
    put: dict[str, Any] = {"type": "block.put", "id": 7, "session": "s", "name": "plan", "text": "Feint."}
    messages = [
        OPEN,
        STATE,
        SESSION,
        put,
        {**put, "text": None},
        turn(1),
        {"type": "session.close", "session": "s"},
        CLOSE,
    ]
    stub = Stub()
    run(file, stub, messages, LoadOptions(answer_s=PATIENCE_S))
    said = [message["type"] for message in messages]
    assert stub.kinds() == said
    with socket.socket():  # and what was said is JSON that the real server takes
        assert all(json.loads(json.dumps(message)) == message for message in stub.heard)


@pytest.mark.parametrize("pace", [None, 1.0])
@pytest.mark.parametrize("kind", ["match.open", "turn"])
def test_an_answer_that_makes_no_sense_ends_the_run_and_what_was_measured_stays(
    file: Path, kind: str, pace: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    def answers(stub: Stub, message: Message) -> list[Message]:
        is_wrong = message["type"] == kind and message.get("turn_id") in (None, 2)
        return [stub.answer(message, **({"mode": 7, "outcome": "perhaps"} if is_wrong else {}))]

    played = run(file, Stub(answers=answers), match_of(3), LoadOptions(pace=pace, answer_s=PATIENCE_S))
    assert isinstance(played.ended, ServerLost) and "no answer" in str(played.ended)
    assert 1 in [sample.turn_id for sample in played.modes[0].tally.samples] or kind == "match.open"
    assert caplog.messages == []


def test_what_waits_for_a_turn_goes_quietly_with_the_server(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    def answers(stub: Stub, message: Message) -> list[Message] | None:
        if message["type"] == "turn":
            return [] if message["turn_id"] < 3 else None
        return [stub.answer(message)]

    played = run(file, Stub(answers=answers), match_of(5), LoadOptions(pace=1.0, answer_s=PATIENCE_S))
    assert isinstance(played.ended, ServerLost) and played.modes[0].tally.unanswered >= 3
    gc.collect()
    assert caplog.messages == []


def test_what_waits_for_a_turn_in_vain_ends_the_run(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    stub = Stub(answers=lambda stub, message: [] if message["type"] == "turn" else [stub.answer(message)])
    played = run(file, stub, match_of(2), LoadOptions(pace=1.0, answer_s=0.2))
    assert isinstance(played.ended, NoAnswer) and played.ended.asked == "turn"
    gc.collect()
    assert caplog.messages == []


@pytest.mark.parametrize("pace", [None, 1.0])
def test_a_match_that_is_not_opened_once_more_is_played_on_and_closed(file: Path, pace: float | None) -> None:
    """A client that came back opens its match again; a server that refuses it then has it still."""

    def answers(stub: Stub, message: Message) -> list[Message]:
        is_second = message["type"] == "match.open" and len(stub.of_type("match.open")) == 2
        return [stub.error(message) if is_second else stub.answer(message)]

    stub = Stub(answers=answers)
    messages = [*match_of(1), OPEN, turn(2), result(2)]
    played = run(file, stub, messages, LoadOptions(pace=pace, answer_s=PATIENCE_S))
    assert [sample.turn_id for sample in played.modes[0].tally.samples] == [1, 2]
    assert played.modes[0].tally.refused == 1 and played.modes[0].shut_out == []
    assert stub.kinds()[-1] == "match.close" and played.left_open == 0
