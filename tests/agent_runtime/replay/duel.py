"""A duel that is played over a real socket and recorded, and one that is only written down, of any length."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.replay.recording import MatchRecorder
from agent_runtime.replay.recording_format import FORMAT, VERSION, seal
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import serve_model
from agent_runtime.server import Client, ServerConfig, serve_in_background
from agent_runtime.turn import Action, Decide, Mode
from tests.agent_runtime.worlds import ACTIONS, state

NUM_TURNS = 6


def record_duel(
    folder: Path, games: Path, loaded: LoadedModel, num_turns: int = NUM_TURNS, *, match: str = "m", game: str = "duel"
) -> Path:
    """Turns of two sessions: patches, a private block, sampled actions, one that failed, one that was overruled."""
    served = serve_model("default", loaded, MemoryStore(), pool_mib=16, max_rows=512, probed=False)
    made = AgentRuntime({"default": served}, games=[games])
    recorder = MatchRecorder(folder, digests=made.digests)
    with serve_in_background(made, ServerConfig(port=0), recorder=recorder) as url, Client(url) as client:
        _play(client, num_turns, match, game)
    (file,) = folder.glob(f"match-{match}-*.jsonl")
    return file


def _play(client: Client, num_turns: int, match: str, game: str) -> None:
    client.open_match(match, game, mode=Mode.STAR)
    client.put_state(match, 1, state=state(num_units=30))
    client.open_session("red", match, sight=["!/secrets/blue"])
    client.open_session("blue", match, sight=["!/secrets/red"], history_turns=1)
    for turn in range(1, num_turns + 1):
        session = ("red", "blue")[turn % 2]
        if turn > 1:
            # Near the beginning: `prefix` loses what stands behind it.
            client.put_state(match, turn, patch=[{"op": "replace", "path": "/units/3/hp", "value": turn}])
        if turn == 3:
            client.put_block("blue", "plan", "Feint to the north.").result(30)
        decide = Decide(how="sample", temperature=2.0, seed=turn)
        told = {"observation": "A noise.", "actions": ACTIONS, "decide": decide}
        client.turn(session, turn, frame=turn, **told)  # type: ignore[arg-type]
        done = Action("go south") if turn == 4 else None
        client.apply_turn(session, turn, ok=turn != 5, message="Mud." if turn == 5 else None, action=done)


def write_long_duel(file: Path, num_turns: int) -> Path:
    """A recording of as many turns; a unit changes before each, and the game does what it was told."""
    header = {"created": "", "protocol": "hotseat.v1", "server": "", "match": "m", "game": "duel", "mode": "star"}
    with file.open("wb") as out:
        out.write(seal({"format": FORMAT, "version": VERSION, **header}))
        for seq, message in enumerate(_long_duel(num_turns), 1):
            direction = "s2c" if message["type"] == "turn.result" else "c2s"
            line = {"t_ns": seq, "seq": seq, "dir": direction, "conn": "c", "kind": message["type"]}
            out.write(seal({**line, "payload": json.dumps(message)}))
    return file


def _long_duel(num_turns: int) -> Iterator[dict[str, Any]]:
    hold, match, session = {"id": "hold"}, {"match": "m"}, {"session": "s"}
    yield {"type": "match.open", **match, "game": "duel"}
    yield {"type": "match.state", **match, "frame": 0, "state": state(8)}
    yield {"type": "session.open", **session, **match}
    for number in range(1, num_turns + 1):
        patch = [{"op": "replace", "path": "/units/3/hp", "value": number % 50}]
        yield {"type": "match.state", **match, "frame": number, "patch": patch}
        turn = {**session, "turn_id": number}
        asked = {"frame": number, "observation": "A noise.", "actions": [hold, {"id": "go north"}]}
        yield {"type": "turn", **turn, **asked}
        yield {"type": "turn.result", **turn, "outcome": "ok", "action": hold}
        yield {"type": "turn.applied", **turn, "ok": True}
