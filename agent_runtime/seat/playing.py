"""One game played by a seat from where it stands: turn by turn, with what came of each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent_runtime.seat.seat import Seat
from agent_runtime.turn import Json, TurnResult
from game_adapters import PettingZooAdapter, SharedState, TurnView
from game_adapters.adapter import match_state
from game_adapters.stepping import Stepper


@dataclass(frozen=True, slots=True)
class Played:
    """One turn as it went: what the agent saw and might do, what it did, what everybody gained by the step (the same
    for all turns of a step), and the whole state behind it (an empty one for a game whose agents share none)."""

    step: int
    agent: str
    view: TurnView
    result: TurnResult
    number: int
    rewards: Mapping[str, float]
    after: Json

    @property
    def reward(self) -> float:
        """What the agent itself gained."""
        return self.rewards.get(self.agent, 0.0)


def play(seat: Seat, adapter: PettingZooAdapter, stepper: Stepper, max_steps: int | None = None) -> Iterator[Played]:
    """Play until the game is over, or for `max_steps` steps; agents that act at once share a forward.

    Raises what `Seat` raises, and GameCodeFailed for a step that does.
    """
    shared = adapter.contract if isinstance(adapter.contract, SharedState) else None
    while (max_steps is None or stepper.num_steps < max_steps) and (waiting := stepper.waiting()):
        views = [adapter.turn(*each) for each in waiting]
        numbers = seat.act_many(waiting)
        results = seat.last_results
        turns = [
            (view, number, result)
            for view, number, result in zip(views, numbers, results, strict=True)
            if view is not None and number is not None and result is not None and result.action is not None
        ]
        rewards = stepper.step(
            {view.agent: number for view, number, _ in turns},
            {view.agent: result.action.id for view, _, result in turns if result.action is not None},
        )
        after: Json = {}
        if shared is not None and turns and stepper.env.agents:
            after, _ = match_state(adapter.game, shared, stepper.env, turns[0][0].agent)
        for view, number, result in turns:
            yield Played(stepper.num_steps, view.agent, view, result, number, rewards, after)
