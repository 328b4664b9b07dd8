"""Whole runs against a server that is none, and that does what a test says."""

import json
import socket
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.replay.load.options import LoadOptions, Server
from agent_runtime.replay.load.play import play
from agent_runtime.turn import Mode
from tests.agent_runtime.replay.load.runs import run, script_of
from tests.agent_runtime.replay.load.stub import (
    OPEN,
    PATIENCE_S,
    SESSION,
    STATE,
    Message,
    Stub,
    applied,
    match_of,
    result,
    running,
    turn,
)

CLOSE: Message = {"type": "match.close", "id": 99, "match": "m"}


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
