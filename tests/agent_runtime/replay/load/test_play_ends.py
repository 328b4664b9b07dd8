"""What a server refuses, and runs that end before the recording does."""

import gc
import os
import signal
from pathlib import Path

import pytest

from agent_runtime.replay.errors import NothingToReplay
from agent_runtime.replay.load.errors import LacksName, NobodyLetIn, NoTimes, ServerLost
from agent_runtime.replay.load.options import LoadOptions
from agent_runtime.server.errors import NoAnswer
from agent_runtime.turn import Outcome
from tests.agent_runtime.replay.load.runs import run
from tests.agent_runtime.replay.load.stub import (
    OPEN,
    PATIENCE_S,
    SESSION,
    STATE,
    Message,
    Stub,
    match_of,
    result,
    turn,
)


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
    interrupted: list[Stub] = []

    def answers(stub: Stub, message: Message) -> list[Message]:
        if message.get("turn_id") == 2:
            if stub not in interrupted:  # who presses twice does not want to wait
                interrupted.append(stub)
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
