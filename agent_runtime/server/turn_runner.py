"""Takes one turn through the runtime: begun behind its connection's earlier calls, then run beside everything else."""

from functools import partial

from agent_runtime.errors import Overloaded
from agent_runtime.server.faults import as_answer
from agent_runtime.server.running_turns import RunningTurn
from agent_runtime.server.runtime import PendingTurn
from agent_runtime.server.shared import Shared
from agent_runtime.server.workers import Job
from agent_runtime.turn import Outcome, Partial, TurnResult


def begin_turn(shared: Shared, turn: RunningTurn, arrived: float, deadline: float) -> Job | None:
    """Begin a turn that was asked for, or give it the result that the runtime has stored for it. On a lane's thread.

    Returns what plays a turn that has begun.
    """
    request = turn.ask.request
    try:
        stored = shared.runtime.stored_result(request.session, request.turn_id, turn.ask.body_digest)
        if stored is None and turn.is_cancelled:
            stored = TurnResult(request.session, request.turn_id, Outcome.CANCELLED, message="Cancelled in time.")
        if stored is not None:
            shared.post(partial(shared.turns.finish, turn, stored))
            return None
        pending = shared.runtime.begin_turn(
            request, arrived=arrived, deadline=deadline, body_digest=turn.ask.body_digest
        )
    except Exception as error:
        shared.post(partial(shared.turns.refuse, turn, as_answer(error)))
        return None
    turn.begun(pending)
    return partial(_run_turn, shared, turn, pending)


def _run_turn(shared: Shared, turn: RunningTurn, pending: PendingTurn) -> None:
    request = turn.ask.request

    def pass_on(piece: Partial) -> None:
        shared.post(partial(turn.partial, piece))

    try:
        result = pending.run(pass_on)
    except Overloaded as error:
        result = TurnResult(request.session, request.turn_id, Outcome.OVERLOADED, message=str(error))
    except Exception as error:
        result = TurnResult(request.session, request.turn_id, Outcome.ERROR, message=str(as_answer(error)))
    shared.post(partial(_finish, shared, turn, result))


def _finish(shared: Shared, turn: RunningTurn, result: TurnResult) -> None:
    shared.recorder.turn_finished(turn.match, result)
    shared.turns.finish(turn, result)
