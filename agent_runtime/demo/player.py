"""Plays a game of `game_adapters` through the client: one match, a session per agent, every frame after the first as a
patch."""

from collections.abc import Mapping
from dataclasses import dataclass

import jsonpatch

from agent_runtime.demo.errors import TurnFailed
from agent_runtime.server.client import Client
from agent_runtime.server.server_messages import MatchOpened, SessionReady, TurnResult
from agent_runtime.turn import ActionOption, Decide, Json, Mode
from game_adapters import SharedState, TurnView, load_adapter, make_env
from game_adapters.adapter import match_state, sight_of


@dataclass(frozen=True, slots=True)
class PlayedTurn:
    """One turn as it went: what the agent saw and might do, what the server answered, what the agent gained, and the
    whole state of the game behind it."""

    agent: str
    persona: str
    turn_id: int
    view: TurnView
    result: TurnResult
    reward: float
    after: Json


@dataclass(frozen=True, slots=True)
class Reopened:
    """How a match was found again by a server that was started anew."""

    match: MatchOpened
    sessions: tuple[SessionReady, ...]


class GamePlayer:
    """One match of a game. The environment lives here; the server sees states, turns and what became of them.

    `personas` are the agents' and their order is the order of the sessions.
    """

    def __init__(
        self, game: str, match: str, personas: Mapping[str, str], *, seed: int, decide: Decide, **options: int
    ) -> None:
        self.game = game
        self.match = match
        self.env = make_env(game, seed, **options)
        self._adapter = load_adapter(game)
        assert isinstance(self._adapter.contract, SharedState), "agents of one match share its state"
        self._shared: SharedState = self._adapter.contract
        self._personas = dict(personas)
        self._decide = decide
        self._frame = 0
        self._state: Json = None
        self._turn_ids = dict.fromkeys(personas, 0)

    def open(self, client: Client) -> tuple[SessionReady, ...]:
        """Open match and sessions and send the first state; return when every session's blocks are encoded."""
        client.open_match(self.match, self.game, mode=Mode.STAR)
        self._send_state(client, self.env.agent_selection)
        return self._open_sessions(client)

    def reopen(self, client: Client) -> Reopened:
        """Take match and sessions up again on a server that was started anew. Nothing but their names is sent."""
        opened = client.open_match(self.match, self.game, mode=Mode.STAR)
        return Reopened(opened, self._open_sessions(client))

    def play(self, client: Client) -> PlayedTurn | None:
        """Play the next turn and let the game go on; None when the game is over."""
        agent, view = self._next()
        if view is None:
            return None
        self._send_state(client, agent)
        session = self._session(agent)
        turn_id = self._turn_ids[agent] = self._turn_ids[agent] + 1
        result = client.turn(
            session,
            turn_id,
            frame=self._frame,
            observation=view.observation_text,
            actions=[ActionOption(offer.id, offer.text) for offer in view.actions],
            decide=self._decide,
        )
        if result.action is None:
            raise TurnFailed(session, turn_id, result.outcome, result.message)
        self.env.step(view.number(result.action.id))
        reward = float(self.env.rewards[agent])
        client.apply_turn(session, turn_id, ok=True, reward=reward)
        return PlayedTurn(agent, self._personas[agent], turn_id, view, result, reward, self._whole_state(agent))

    def upcoming(self) -> TurnView | None:
        """Return the turn that `play` would play next; None when the game is over."""
        return self._next()[1]

    def _next(self) -> tuple[str, TurnView | None]:
        """Step agents that are out, as PettingZoo asks for; return who is on turn."""
        while self.env.agents:
            agent: str = self.env.agent_selection
            view = self._adapter.turn(self.env, agent)
            if view is not None:
                return agent, view
            self.env.step(None)
        return "", None

    def _open_sessions(self, client: Client) -> tuple[SessionReady, ...]:
        for agent, persona in self._personas.items():
            sight = sight_of(self.game, self._shared, agent)
            client.open_session(self._session(agent), self.match, sight=sight, persona=persona)
        return tuple(client.wait_ready(self._session(agent)) for agent in self._personas)

    def _send_state(self, client: Client, agent: str) -> None:
        """Send the whole state once, and then only what changed; nothing if nothing did."""
        state = self._whole_state(agent)
        if self._state is None:
            self._frame = 1
            client.put_state(self.match, self._frame, state=state)
        elif patch := jsonpatch.make_patch(self._state, state).patch:
            self._frame += 1
            client.put_state(self.match, self._frame, patch=patch)
        self._state = state

    def _whole_state(self, agent: str) -> Json:
        """Return the state of the match, private parts included; `agent` is who is on turn, or was."""
        return match_state(self.game, self._shared, self.env, agent)[0]

    def _session(self, agent: str) -> str:
        return f"{self.match}-{agent}"
