"""The server on real sockets, in a process of its own, with the scripted runtime behind it."""

import json
import threading
from pathlib import Path

import pytest

from agent_runtime.server.errors import ConnectionLost, ServerError
from agent_runtime.turn import Action, Outcome
from tests.agent_runtime.server.conftest import PATIENCE_S, StartServer
from tests.agent_runtime.server.desk import HELLO, turn
from tests.agent_runtime.server.talking import ACTIONS, ask, hear, open_client, raw, set_up


def test_a_game_is_played_from_hello_to_goodbye(url: str) -> None:
    with open_client(url) as client:
        assert [model.name for model in client.welcome.models] == ["tiny", "tuned"]
        opened = client.open_match("m1", "camp", mode="star")
        assert (opened.mode, opened.resumed, opened.frame) == ("star", False, None)
        assert client.put_state("m1", 1, state={"clock": 1, "units": {}}).added == ("clock", "units")
        assert client.put_state("m1", 2, patch=[{"op": "replace", "path": "/clock", "value": None}]).frame == 2
        assert client.open_session("guard-7", "m1", persona="guard").last_turn_id is None
        assert client.wait_ready("guard-7").encoded == 70
        assert client.put_block("guard-7", "sheet", "A guard.").result(PATIENCE_S).tokens == 95
        result = client.turn("guard-7", 1, frame=2, observation="A noise.", actions=ACTIONS)
        assert (result.outcome, result.action, result.legal_mass) == (Outcome.OK, Action("hold"), 0.25)
        assert result.account is not None and result.account.tokens_computed == 10
        assert client.apply_turn("guard-7", 1, ok=True, reward=0.5).what == "applied"
        assert client.cancel_turn("guard-7", 1).what == "over"
        assert client.flush("m1").blocks == 2
        client.close_session("guard-7")
        client.close_match("m1")


def test_free_text_streams_before_the_result(url: str) -> None:
    with open_client(url) as client:
        set_up(client)
        pieces: list[str] = []
        result = ask(client, 1, "say who goes there", on_partial=lambda piece: pieces.append(piece.text))
        assert result.result(PATIENCE_S).say == "who goes there"
        assert pieces == ["who", "goes", "there"]


def test_a_slow_turn_holds_up_neither_its_connection_nor_another(url: str) -> None:
    with open_client(url) as one, open_client(url) as other:
        set_up(one)
        one.open_session("smith-1", "m1")
        slow = ask(one, 1, "hold gate")
        assert ask(one, 1, session="smith-1").result(PATIENCE_S).outcome is Outcome.OK
        set_up(other, "cook-2", "m2")
        assert ask(other, 1, session="cook-2").result(PATIENCE_S).outcome is Outcome.OK
        one.put_state("m1", 2, state={"clock": 2})  # the slow turn has its snapshot of frame 1
        assert not slow.done()
        one.put_block("smith-1", "release", "gate")
        assert slow.result(PATIENCE_S).outcome is Outcome.OK


def test_many_sessions_ask_at_once_and_every_answer_finds_its_question(url: str) -> None:
    with open_client(url) as client:
        set_up(client)
        names = [f"npc-{number}" for number in range(40)]
        for name in names:
            client.open_session(name, "m1")
        asked = [ask(client, 7, f"hold {name}", session=name) for name in names]
        for name in reversed(names):
            client.put_block("guard-7", "release", name)
        assert [each.result(PATIENCE_S).session for each in asked] == names


def test_messages_of_a_connection_keep_their_order(url: str) -> None:
    with raw(url) as connection:
        connection.send(HELLO)
        connection.send('{"type":"match.open","match":"m1","game":"camp"}')
        for frame in range(1, 200):
            connection.send(
                json.dumps({"type": "match.state", "match": "m1", "frame": frame, "state": {}, "id": frame})
            )
        connection.send('{"type":"session.open","session":"guard-7","match":"m1"}')
        connection.send(json.dumps(turn(frame=199)))
        heard = [hear(connection) for _ in range(204)]
    assert [each["type"] for each in heard[:2]] == ["welcome", "match.opened"]
    assert [each["frame"] for each in heard[2:201]] == list(range(1, 200))
    assert [each["type"] for each in heard[201:]] == ["session.opened", "session.ready", "turn.result"]


def test_at_the_deadline_the_timeout_comes_and_the_late_action_never(url: str) -> None:
    with open_client(url) as client:
        set_up(client)
        result = ask(client, 1, "deaf gate", deadline_ms=30).result(PATIENCE_S)
        assert (result.outcome, result.action) == (Outcome.TIMEOUT, None)
        again = ask(client, 1, "deaf gate", deadline_ms=PATIENCE_S * 1000)
        assert again.result(PATIENCE_S).outcome is Outcome.TIMEOUT
        client.put_block("guard-7", "release", "gate")
        client.flush("m1")  # the fake runtime has finished the turn by now
        assert ask(client, 1, "deaf gate").result(PATIENCE_S).outcome is Outcome.TIMEOUT
        assert ask(client, 2).result(PATIENCE_S).outcome is Outcome.OK


def test_in_a_late_session_the_action_comes_marked(url: str) -> None:
    with open_client(url) as client:
        set_up(client, on_deadline="late")
        client.open_session("smith-1", "m1")
        late = ask(client, 1, "hold gate", deadline_ms=30)
        assert ask(client, 1, "hold gate", session="smith-1", deadline_ms=60).result(PATIENCE_S).outcome == "timeout"
        client.put_block("guard-7", "release", "gate")
        result = late.result(PATIENCE_S)
        assert (result.outcome, result.late, result.action) == (Outcome.OK, True, Action("hold"))


def test_a_cancelled_turn_comes_back_cancelled(url: str) -> None:
    with open_client(url) as client:
        set_up(client)
        asked = ask(client, 1, "hold gate")
        assert client.cancel_turn("guard-7", 1).what == "cancelling"
        assert asked.result(PATIENCE_S).outcome is Outcome.CANCELLED


@pytest.mark.parametrize(
    "observation, outcome", [("fail", Outcome.ERROR), ("full", Outcome.OVERLOADED), ("fail begin", "server_fault")]
)
def test_a_failing_turn_harms_nobody_else(url: str, observation: str, outcome: str) -> None:
    with open_client(url) as client:
        set_up(client)
        asked = ask(client, 1, observation)
        if outcome == "server_fault":
            with pytest.raises(ServerError, match="server failed") as failed:
                asked.result(PATIENCE_S)
            assert failed.value.code == outcome
        else:
            assert asked.result(PATIENCE_S).outcome == outcome
        assert ask(client, 2).result(PATIENCE_S).outcome is Outcome.OK


def test_a_session_opened_anew_counts_its_turns_anew(url: str) -> None:
    with open_client(url) as client:
        set_up(client)
        assert ask(client, 1, "hold gate", deadline_ms=30).result(PATIENCE_S).outcome is Outcome.TIMEOUT
        left = ask(client, 2, "hold gate")
        client.close_match("m1")
        assert left.result(PATIENCE_S).outcome is Outcome.CANCELLED
        set_up(client)
        assert ask(client, 1, "Another game.").result(PATIENCE_S).outcome is Outcome.OK


# The same turn again.


def test_a_repeated_turn_has_the_stored_result_and_another_body_is_refused(url: str) -> None:
    with open_client(url) as client:
        set_up(client)
        first = ask(client, 12).result(PATIENCE_S)
        assert ask(client, 12).result(PATIENCE_S).model_copy(update={"reply_to": first.reply_to}) == first
        with pytest.raises(ServerError) as refused:
            ask(client, 12, "Silence.").result(PATIENCE_S)
        assert refused.value.code == "stale_turn"
        with pytest.raises(ServerError) as refused:
            ask(client, 11).result(PATIENCE_S)
        assert refused.value.code == "stale_turn"


def test_a_turn_outlives_its_connection_and_the_next_one_shares_it(url: str) -> None:
    with open_client(url) as first:
        set_up(first)
        cut = ask(first, 1, "hold gate")
    with pytest.raises(ConnectionLost):
        cut.result(PATIENCE_S)
    with open_client(url) as second:
        set_up(second)
        shared = ask(second, 1, "hold gate")
        second.put_block("guard-7", "release", "gate")
        assert shared.result(PATIENCE_S).outcome is Outcome.OK


def test_after_a_kill_a_repeated_turn_has_the_stored_result(start_server: StartServer, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    server = start_server(results=results)
    with open_client(server.url) as client:
        set_up(client)
        before = ask(client, 5).result(PATIENCE_S)
        waiting = ask(client, 6, "hold gate")
        server.process.kill()
        with pytest.raises(ConnectionLost):
            waiting.result(PATIENCE_S)
        with pytest.raises(ConnectionLost):
            client.flush("m1")
    with open_client(start_server(results=results).url) as client:
        set_up(client)
        after = ask(client, 5).result(PATIENCE_S)
        assert after.model_copy(update={"reply_to": before.reply_to}) == before


# From many threads.


def test_a_client_may_be_used_from_many_threads(url: str) -> None:
    with open_client(url) as client:
        client.open_match("m1", "camp")
        client.put_state("m1", 1, state={})
        outcomes: list[str] = []

        def play(name: str) -> None:
            client.open_session(name, "m1")
            for number in range(10):
                result = client.turn(name, number, frame=1, observation="A noise.", actions=ACTIONS)
                assert result.session == name
                outcomes.append(result.outcome)

        threads = [threading.Thread(target=play, args=(f"npc-{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert outcomes == [Outcome.OK] * 80
