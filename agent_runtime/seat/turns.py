"""How a turn goes: from what an environment shows an agent to the model's answer, and to a number."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent_runtime.agent import PendingTurn, run_together
from agent_runtime.engine.decision import draw
from agent_runtime.runtime import AgentRuntime
from agent_runtime.seat.errors import TurnEnded
from agent_runtime.seat.matches import Matches
from agent_runtime.seat.tables import SeatTurn, Table, Tables
from agent_runtime.turn import Action, Decide, Mode, Outcome
from game_adapters import PettingZooAdapter, SharedState, TurnView
from game_adapters.adapter import match_state
from game_adapters.environments import Environment, is_parallel, reward_since
from game_adapters.game_state import Json


class Turns:
    """The turns of a seat. Its caller sees to it that one thread at a time is in any method but `play`.

    `warnings` is what the game's author should know of the states so far, in the order in which it came up.
    """

    def __init__(
        self,
        runtime: AgentRuntime,
        adapter: PettingZooAdapter,
        matches: Matches,
        tables: Tables,
        *,
        persona: str | Mapping[str, str] | None,
        history_turns: int | None,
        is_alone: bool,
    ) -> None:
        """`is_alone` says that nobody else has matches in the runtime."""
        self._runtime = runtime
        self._adapter = adapter
        self._shared = adapter.contract if isinstance(adapter.contract, SharedState) else None
        self._matches = matches
        self._tables = tables
        self._persona = persona
        self._history_turns = history_turns
        self._is_alone = is_alone
        self._is_cold = True
        self.warnings: dict[str, None] = {}

    def look(
        self,
        env: Environment,
        agent: str | None,
        observation: object = None,
        info: Mapping[str, Any] | None = None,
    ) -> tuple[Table, TurnView, Json] | None:
        """Return what an agent sees and the state of its match, None if it is dead."""
        view = self._adapter.turn(env, agent, observation, info)
        table = self._tables.of(env)
        if view is None:
            if agent is None and not is_parallel(env) and env.agents:
                agent = env.agent_selection
            if agent is not None:
                table.left.add(agent)
                if (place := table.places.get(agent)) is not None and place.done is not None:
                    self._take_up(table, agent)
            return None
        if view.agent in table.left:
            self._tables.begin_anew(table)
        if self._shared is None:
            return table, view, view.state
        return table, view, match_state(self._adapter.game, self._shared, env, view.agent)[0]

    def begin(self, table: Table, view: TurnView, state: Json, decide: Decide, *, acts: bool) -> SeatTurn:
        """Return the turn of an agent that sees this: a new one, or its last if that was about just this."""
        place = table.places.get(view.agent)
        match = place.match if place else self._matches.match_of(table, view.agent)
        frame = self._matches.put_state(table, match, state)
        if place is None:
            persona = self._persona if isinstance(self._persona, str) else (self._persona or {}).get(view.agent)
            place = self._matches.open_session(match, view.agent, persona, self._history_turns)
            table.places[view.agent] = place
        last = place.last if place.last is not None and place.last.is_about(view, frame) else None
        if place.done is not None and (acts or last is None):
            last = None if self._take_up(table, view.agent) else last
        if last is not None:
            return last
        place.turn_id += 1
        self.warnings.update(dict.fromkeys(self._matches.warnings(place)))
        pending = self._matches.ask(place, view, frame, decide)
        return SeatTurn(table, place, view, frame, pending)

    def _take_up(self, table: Table, agent: str) -> bool:
        """Take what an agent did for done; return whether it remembers it."""
        place = table.places[agent]
        remembers = self._matches.remembers(place)
        if remembers:
            self._matches.take_up(place, reward_since(self._adapter.game, table.env(), agent))
        place.done = None
        return remembers

    def play(self, turns: Sequence[SeatTurn]) -> None:
        """Have turns answered, all in one forward if there is room; what finds none goes again behind the others."""
        waiting = list(turns)
        while waiting:
            # In `prefix` a beginning is found once its forward is over: the very first turn computes it for all others.
            goes_ahead = self._is_cold and _pending(waiting[0]).session.match.mode is Mode.PREFIX
            batch = waiting[:1] if goes_ahead else waiting
            results = run_together([_pending(turn) for turn in batch])
            self._is_cold = False
            overloaded = []
            for turn, result in zip(batch, results, strict=True):
                turn.result = result
                if result.outcome is Outcome.OK:
                    turn.place.last, turn.pending = turn, None
                elif result.outcome is Outcome.OVERLOADED:
                    overloaded.append(turn)
            if len(overloaded) == len(batch):
                break
            for turn in overloaded:
                turn.pending = self._runtime.begin_turn(_pending(turn).request)
            waiting = overloaded + waiting[len(batch) :]
        for turn in turns:
            self._matches.note_result(turn)
        for turn in turns:
            if turn.result is not None and turn.result.outcome is not Outcome.OK:
                raise TurnEnded(turn.view.agent, turn.result.outcome, turn.result.message)

    def choose(self, turn: SeatTurn, decide: Decide) -> int:
        """Return the number of the action that an answered turn comes to, and take it for what the agent does."""
        assert turn.result is not None
        shares = [score.p for score in turn.result.scores]
        if decide.how == "sample":
            assert decide.seed is not None
            # As the engine itself draws, under the names of a recording, unless others have matches in its runtime.
            session = turn.place.session if self._is_alone else str(turn.view.agent)
            index = draw(shares, decide.seed, session, turn.place.turn_id)
        else:
            index = max(range(len(shares)), key=shares.__getitem__)
        turn.table.num_acts[turn.view.agent] = turn.table.num_acts.get(turn.view.agent, 0) + 1
        turn.place.done = Action(turn.view.actions[index].id)
        turn.result = replace(turn.result, action=turn.place.done)
        return turn.view.actions[index].number


def _pending(turn: SeatTurn) -> PendingTurn:
    assert turn.pending is not None
    return turn.pending
