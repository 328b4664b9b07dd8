"""A game in a process of its own, asked message by message."""

import pytest

from agent_runtime.bench.game_process import TurnFailed, game_process
from agent_runtime.server import ServerConfig, serve_in_background
from tests.agent_runtime.server.fake_runtime import FakeRuntime


def test_a_refusal_and_a_game_that_ended_are_said() -> None:
    with serve_in_background(FakeRuntime(), ServerConfig(port=0)) as url, game_process(url) as game:
        with pytest.raises(TurnFailed, match="hello"):
            game.ask(['{"type": "match.open", "match": "m", "game": "camp"}'], "match.opened")
        game._process.kill()
        game._process.wait(20)
        with pytest.raises(TurnFailed, match="the game's process ended"):
            game.ask(["{}"], "welcome")
