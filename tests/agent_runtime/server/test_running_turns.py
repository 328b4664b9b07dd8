"""The book of turns under way in the whole server, without an event loop."""

import pytest

from agent_runtime.errors import HotseatError, Overloaded, StaleTurn
from agent_runtime.server.running_turns import SETTLED_KEPT, RunningTurn, RunningTurns
from agent_runtime.server.runtime import AskTurn, CloseMatch, CloseSession
from agent_runtime.turn import ActionOption, Outcome, Partial, TurnRequest, TurnResult


class Ears:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def partial(self, piece: Partial) -> None:
        self.heard.append(piece)

    def result(self, result: TurnResult) -> None:
        self.heard.append(result)

    def refused(self, error: HotseatError) -> None:
        self.heard.append(error)


class Pending:
    """A pending turn that only knows whether it was cancelled."""

    def __init__(self) -> None:
        self.num_cancels = 0

    def run(self, partial: object = None) -> TurnResult:
        raise AssertionError("not run here")

    def cancel(self) -> None:
        self.num_cancels += 1


def asking(turn_id: int = 1, body: str = "a", session: str = "s") -> AskTurn:
    return AskTurn(TurnRequest(session, turn_id, 1, "", (ActionOption("x"),)), body)


def begin(turns: RunningTurns, ask: AskTurn, ears: Ears) -> RunningTurn:
    turn = turns.ask(ask, "m", ears)
    assert turn is not None
    return turn


OK = TurnResult("s", 1, Outcome.OK)
TIMEOUT = TurnResult("s", 1, Outcome.TIMEOUT)


def test_who_asks_for_a_turn_under_way_shares_it() -> None:
    turns, first, second = RunningTurns(9), Ears(), Ears()
    turn = begin(turns, asking(), first)
    assert turns.ask(asking(), "m", second) is None
    turn.partial(Partial("say", "Hm"))
    turns.finish(turn, OK)
    assert first.heard == second.heard == [Partial("say", "Hm"), OK]
    assert len(turns) == 0 and turns.find("s", 1) is None


def test_another_body_is_refused_while_a_turn_is_under_way_and_after_it_timed_out() -> None:
    turns = RunningTurns(9)
    turn = begin(turns, asking(), Ears())
    with pytest.raises(StaleTurn):
        turns.ask(asking(body="b"), "m", Ears())
    turns.settle(turn, TIMEOUT)
    with pytest.raises(StaleTurn):
        turns.ask(asking(body="b"), "m", Ears())


def test_a_settled_turn_stays_as_it_was_settled_whatever_comes_later() -> None:
    turns, ears, late, pending = RunningTurns(9), Ears(), Ears(), Pending()
    turn = begin(turns, asking(), ears)
    turn.begun(pending)
    turns.settle(turn, TIMEOUT)
    turns.finish(turn, OK)
    turns.refuse(turn, Overloaded("x"))
    assert turns.ask(asking(), "m", late) is None
    assert ears.heard == late.heard == [TIMEOUT] and pending.num_cancels == 1


def test_a_turn_that_finished_is_a_new_question_to_the_runtime_when_asked_again() -> None:
    turns = RunningTurns(9)
    turns.finish(begin(turns, asking(), Ears()), OK)
    assert turns.ask(asking(), "m", Ears()) is not None


def test_a_cancel_that_comes_before_the_turn_was_begun_is_not_lost() -> None:
    turn, pending = RunningTurn(asking(), "m"), Pending()
    turn.cancel()
    assert turn.is_cancelled and pending.num_cancels == 0
    turn.begun(pending)
    assert pending.num_cancels == 1


def test_beyond_the_limit_turns_are_overloaded() -> None:
    turns = RunningTurns(1)
    begin(turns, asking(1), Ears())
    with pytest.raises(Overloaded):
        turns.ask(asking(2), "m", Ears())
    assert turns.ask(asking(1), "m", Ears()) is None


def test_a_refusal_reaches_everyone_who_asked() -> None:
    turns, first, second = RunningTurns(9), Ears(), Ears()
    turn = begin(turns, asking(), first)
    turns.ask(asking(), "m", second)
    error = StaleTurn("s", 1, 5)
    turns.refuse(turn, error)
    assert first.heard == second.heard == [error] and len(turns) == 0


@pytest.mark.parametrize("closed", [CloseSession("s"), CloseMatch("m")])
def test_when_a_session_is_over_its_turns_are_cancelled_and_its_turn_ids_free(
    closed: CloseSession | CloseMatch,
) -> None:
    turns, ears, pending = RunningTurns(9), Ears(), Pending()
    turns.settle(begin(turns, asking(1), Ears()), TIMEOUT)
    running = begin(turns, asking(2), ears)
    running.begun(pending)
    other = turns.ask(asking(1, session="t"), "n", Ears())
    turns.forget(closed)
    assert [each.outcome for each in ears.heard if isinstance(each, TurnResult)] == [Outcome.CANCELLED]
    assert pending.num_cancels == 1 and list(turns) == [other]
    assert turns.ask(asking(1, body="another game"), "m", Ears()) is not None


def test_timeouts_are_remembered_up_to_a_number() -> None:
    turns = RunningTurns(9)
    for turn_id in range(SETTLED_KEPT + 1):
        turns.settle(begin(turns, asking(turn_id), Ears()), TIMEOUT)
    assert turns.ask(asking(0), "m", Ears()) is not None
    assert turns.ask(asking(1), "m", Ears()) is None
