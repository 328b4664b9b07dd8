"""A match that was played over a real socket and recorded."""

from pathlib import Path

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.replay.recording import MatchRecorder
from agent_runtime.server import Client, ServerConfig, serve_in_background
from agent_runtime.server.errors import ServerError
from agent_runtime.turn import ActionOption, Decide
from tests.agent_runtime.worlds import ACTIONS, runtime, state, write_game

AIM = ActionOption(
    "aim", "at a unit", {"type": "object", "properties": {"at": {"enum": ["u1", "u2"]}}, "required": ["at"]}
)


def record_match(folder: Path, loaded: LoadedModel) -> Path:
    """Three turns of one session: one with parameters, one refused and one asked twice; returns the file."""
    recorder = MatchRecorder(folder / "recordings")
    with runtime(loaded, write_game(folder / "games"), store=folder / "store") as made:
        made.close, close = lambda drain_s=0.0: None, made.close  # type: ignore[method-assign]
        with (
            serve_in_background(made, ServerConfig(port=0), recorder=recorder) as url,
            Client(url, timeout_s=60) as client,
        ):
            client.open_match("m", "duel", mode="star")
            client.put_state("m", 1, state=state())
            client.open_session("s", "m", sight=["!/secrets"])
            client.wait_ready("s")
            client.turn("s", 1, frame=1, observation="A noise.", actions=ACTIONS, decide=Decide("sample", seed=1))
            client.apply_turn("s", 1, ok=True)
            client.put_block("s", "note", "Beware.")
            client.put_state("m", 2, patch=[{"op": "replace", "path": "/units/2/hp", "value": 3}])
            try:
                client.turn("s", 2, frame=1, observation="A noise.", actions=ACTIONS)
            except ServerError as error:
                assert error.code == "stale_frame"
            for _ in range(2):
                client.turn("s", 3, frame=2, observation="A noise.", actions=[AIM])
            client.turn("s", 4, frame=2, observation="Speak.", actions=ACTIONS, decide=Decide(say_tokens=4))
            client.flush("m")
            client.close_session("s")
            client.close_match("m")
        made.close = close  # type: ignore[method-assign]
    recorder.close()
    [file] = (folder / "recordings").glob("match-*.jsonl")
    return file
