"""The lamps, and what is looked at in a seat."""

from typing import Any

from agent_runtime.seat import Seat
from tests.game_adapters.lamps_game import LampsEnv


def lamps(seed: int = 0, **options: Any) -> LampsEnv:
    env = LampsEnv(**options)
    env.reset(seed=seed)
    return env


def play(seat: Seat, env: Any) -> list[tuple[str, int | None]]:
    played = []
    for agent in env.agent_iter():
        played.append((agent, seat.act(env, agent)))
        env.step(played[-1][1])
    return played


def forwards(seat: Seat) -> int:
    return seat.runtime.served_model().engine.runner.forwards


def blocks_of(seat: Seat, env: Any, agent: str) -> list[str]:
    """The names of the history blocks in an agent's prompt."""
    session = seat.runtime.session(seat._tables.of(env).places[agent].session)
    return [block.text for block in session.own_blocks()[2]]
