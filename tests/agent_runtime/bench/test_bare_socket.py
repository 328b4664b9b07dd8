"""A WebSocket with nothing behind it, beside a turn."""

import threading

import pytest

from agent_runtime.bench.bare_socket import bare_socket
from agent_runtime.bench.game_process import GameProcess, TurnFailed
from agent_runtime.server import server_messages as s2c
from agent_runtime.turn import Action, Outcome


def result_of(turn_id: int) -> s2c.TurnResult:
    return s2c.TurnResult(session="s", turn_id=turn_id, outcome=Outcome.OK, action=Action("hold" * turn_id))


def test_each_exchange_brings_its_own_result_and_what_is_sent_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []
    ask = GameProcess.ask

    def asked(game: GameProcess, texts: list[str], until: str) -> tuple[float, s2c.ServerMessage]:
        took_ms, message = ask(game, texts, until)
        heard.append(message)
        return took_ms, message

    monkeypatch.setattr(GameProcess, "ask", asked)
    with bare_socket() as bare:
        took_ms = [bare.exchange("no JSON", "x" * 2**20, result_of(turn)) for turn in range(3)]
    assert heard == [result_of(0), result_of(1), result_of(2)] and min(took_ms) > 0


def test_a_game_that_ended_is_said_and_leaving_ends_game_and_server() -> None:
    with bare_socket() as bare:
        bare.exchange("frame", "turn", result_of(1))
        bare._game._process.kill()
        bare._game._process.wait(20)
        with pytest.raises(TurnFailed, match="the game's process ended"):
            bare.exchange("frame", "turn", result_of(2))
    with bare_socket() as bare:
        process = bare._game._process
        assert process.poll() is None and _serves()
    assert process.returncode == 0 and not _serves()


def _serves() -> bool:
    return any(thread.name == "hotseat-bare-socket" for thread in threading.enumerate())
