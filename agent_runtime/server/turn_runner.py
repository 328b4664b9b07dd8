"""Takes one turn through the runtime: begun behind its connection's earlier calls, then run beside everything else."""

from collections.abc import Callable
from functools import partial

from agent_runtime.errors import Overloaded
from agent_runtime.server.faults import as_answer
from agent_runtime.server.running_turns import RunningTurn
from agent_runtime.server.runtime import PendingTurn
from agent_runtime.server.shared import Shared
from agent_runtime.server.workers import Job
from agent_runtime.turn import Outcome, Partial, TurnResult


def begin_turn(
    shared: Shared, turn: RunningTurn, arrived: float, deadline: float, let_go: Callable[[], None]
) -> Job | None:
    """Begin a turn that was asked for, or give it the result that the runtime has stored for it. On a lane's thread.

    Returns what plays a turn that has begun. `let_go` sends what is held back for the turn's sake: it is called while
    the turn is computed, and always before the turn's own end is told.
    """
    request = turn.ask.request
    try:
        stored = shared.runtime.stored_result(request.session, request.turn_id, turn.ask.body_digest)
        if stored is None and turn.is_cancelled:
            stored = TurnResult(request.session, request.turn_id, Outcome.CANCELLED, message="Cancelled in time.")
        if stored is not None:
            let_go()
            shared.post(partial(shared.turns.finish, turn, stored))
            return None
        pending = shared.runtime.begin_turn(
            request, arrived=arrived, deadline=deadline, body_digest=turn.ask.body_digest
        )
    except Exception as error:
        let_go()
        shared.post(partial(shared.turns.refuse, turn, as_answer(error)))
        return None
    turn.begun(pending)
    return partial(_run_turn, shared, turn, pending, let_go)


def _run_turn(shared: Shared, turn: RunningTurn, pending: PendingTurn, let_go: Callable[[], None]) -> None:
    request = turn.ask.request

    def pass_on(piece: Partial) -> None:
        shared.post(partial(turn.partial, piece))

    try:
        result = pending.run(pass_on, let_go)
    except Overloaded as error:
        result = TurnResult(request.session, request.turn_id, Outcome.OVERLOADED, message=str(error))
    except Exception as error:
        result = TurnResult(request.session, request.turn_id, Outcome.ERROR, message=str(as_answer(error)))
    let_go()
    shared.post(partial(_finish, shared, turn, result))


def _finish(shared: Shared, turn: RunningTurn, result: TurnResult) -> None:
    shared.recorder.turn_finished(turn.match, result)
    shared.turns.finish(turn, result)
