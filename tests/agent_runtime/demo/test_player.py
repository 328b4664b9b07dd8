"""A player through the client: what is sent about a match, and whose code it was that raised."""

from typing import Any

import pytest

from agent_runtime.demo.player import GamePlayer
from agent_runtime.turn import Decide
from game_adapters.errors import BadWords, GameCodeFailed
from tests.game_adapters.lamps_game import Lamps


class NoDescription(Lamps):
    """Its match cannot be described."""

    def describe_match(self, env: Any) -> Any:
        raise KeyError("lamps")


class NoSight(Lamps):
    """Nobody can be told what they see."""

    def sight(self, agent: str) -> Any:
        raise KeyError(agent)


class NumberForSight(Lamps):
    """What they see is a number."""

    def sight(self, agent: str) -> Any:
        return 7


class FakeClient:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: self.asked.append((name, {**dict(enumerate(given)), **named}))


def player(game: type[Lamps]) -> GamePlayer:
    agents = {"player_0": "calm", "player_1": "rash"}
    return GamePlayer(f"{__name__}:{game.__name__}", "m", agents, seed=3, decide=Decide())


def test_a_match_is_opened_with_its_whole_state_and_each_agents_sight() -> None:
    client: Any = FakeClient()
    made = player(Lamps)
    made.open(client)
    names = [name for name, _ in client.asked]
    assert names == ["open_match", "put_state", "open_session", "open_session", "wait_ready", "wait_ready"]
    sent = dict(client.asked)["put_state"]
    assert sent[1] == 1 and sent["state"] == Lamps().describe_match(made.env)
    sights = [given["sight"] for name, given in client.asked if name == "open_session"]
    assert sights == [("!/secrets", "/secrets/player_0"), ("!/secrets", "/secrets/player_1")]


@pytest.mark.parametrize(
    ("game", "error", "said"),
    [
        (NoDescription, GameCodeFailed, "describe_match for 'player_0' of .*NoDescription raised KeyError: 'lamps'"),
        (NoSight, GameCodeFailed, r"sight\('player_0'\) of .*NoSight raised KeyError"),
        (NumberForSight, BadWords, "a tuple of patterns is wanted"),
    ],
)
def test_a_games_own_code_that_raises_is_named(game: type[Lamps], error: type[Exception], said: str) -> None:
    client: Any = FakeClient()
    with pytest.raises(error, match=said):
        player(game).open(client)
