"""The server with the real runtime behind it, over a tiny random model: the two fit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_runtime.server import Client, ServerConfig, serve_in_background
from agent_runtime.server.errors import ServerError
from agent_runtime.turn import ActionOption, Decide, Outcome
from tests.agent_runtime.worlds import ACTIONS, load_tiny, runtime, state, wait_until, write_game

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("whole")
    with runtime(load_tiny(folder), write_game(folder / "games"), store=folder / "store") as made:
        # The world closes the runtime, and checks its books before it does.
        made.close, close = lambda drain_s=0.0: None, made.close  # type: ignore[method-assign]
        with serve_in_background(made, ServerConfig(port=0)) as url, Client(url, timeout_s=PATIENCE_S) as client:
            yield client
        made.close = close  # type: ignore[method-assign]


def test_a_turn_is_played_and_its_account_comes_over_the_wire(client: Client) -> None:
    client.open_match("m", "duel", mode="star")
    client.put_state("m", 1, state=state())
    client.open_session("s", "m")
    ready = client.wait_ready("s")
    assert ready.tokens > 0 and ready.tokens == ready.encoded + ready.loaded + ready.shared
    first = client.turn("s", 1, frame=1, observation="A noise.", actions=ACTIONS, decide=Decide("distribution"))
    assert first.outcome is Outcome.OK and first.account is not None and first.account.forwards == 1
    assert [score.id for score in first.scores] == [action.id for action in ACTIONS]
    assert sum(score.p for score in first.scores) == pytest.approx(1)
    client.apply_turn("s", 1, ok=True)
    changed = client.put_state("m", 2, patch=[{"op": "replace", "path": "/units/2/hp", "value": 3}])
    assert len(changed.replaced) == 1
    second = client.turn("s", 2, frame=2, observation="A noise.", actions=ACTIONS)
    assert second.account is not None
    assert set(changed.replaced) <= {use.name for use in second.account.changed}
    again = client.turn("s", 2, frame=2, observation="A noise.", actions=ACTIONS)
    assert again.model_copy(update={"reply_to": second.reply_to}) == second
    assert client.flush("m").match == "m"


def test_what_the_runtime_refuses_is_a_sentence_and_the_session_lives(client: Client) -> None:
    client.open_match("n", "duel", mode="prefix")
    client.put_state("n", 5, state=state())
    client.open_session("t", "n", sight=["/units/**"])
    for code, frame, actions in [
        ("stale_frame", 4, ACTIONS),
        ("stale_frame", 6, ACTIONS),
        ("bad_schema", 5, (ActionOption("a", "", {"type": "nonsense"}),)),
    ]:
        with pytest.raises(ServerError) as refused:
            client.turn("t", 1, frame=frame, observation="", actions=actions)
        assert refused.value.code == code and str(refused.value)
    for code, patch in [("bad_state", [{"op": "remove", "path": "/nowhere"}]), ("bad_state", [{"op": "fly"}])]:
        with pytest.raises(ServerError) as refused:
            client.put_state("n", 6, patch=patch)
        assert refused.value.code == code
    with pytest.raises(ServerError) as refused:
        client.open_session("u", "n", sight=["units"])
    assert refused.value.code == "bad_game"
    with pytest.raises(ServerError, match="duel") as refused:
        client.open_match("o", "dule")
    assert refused.value.code == "unknown_name"
    assert client.turn("t", 1, frame=5, observation="A noise.", actions=ACTIONS).outcome is Outcome.OK


def test_a_deadline_that_has_passed_at_once_is_a_timeout_and_the_next_turn_plays(client: Client) -> None:
    client.open_match("p", "duel")
    client.put_state("p", 1, state=state())
    client.open_session("v", "p")
    client.wait_ready("v")
    result = client.turn("v", 1, frame=1, observation="A noise.", actions=ACTIONS, deadline_ms=0.001)
    assert (result.outcome, result.action) == (Outcome.TIMEOUT, None)
    assert client.turn("v", 2, frame=1, observation="A noise.", actions=ACTIONS).outcome is Outcome.OK


def test_what_a_frame_changed_is_in_tokens_before_its_game_asks(tmp_path: Path) -> None:
    with runtime(load_tiny(tmp_path), write_game(tmp_path / "games")) as made:
        made.close, close = lambda drain_s=0.0: None, made.close  # type: ignore[method-assign]
        text = made.served_model().loaded.text
        with serve_in_background(made, ServerConfig(port=0)) as url, Client(url, timeout_s=PATIENCE_S) as client:
            client.open_match("m", "duel", mode="star")
            client.put_state("m", 1, state=state())
            client.open_session("s", "m")
            client.wait_ready("s")
            before = text.calls
            client.put_state("m", 2, patch=[{"op": "replace", "path": "/units/2/hp", "value": 31415}])
            wait_until(lambda: text.calls == before + 1)
        made.close = close  # type: ignore[method-assign]
