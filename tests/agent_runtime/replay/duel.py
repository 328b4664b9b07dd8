"""A duel that is played over a real socket and recorded."""

from pathlib import Path

from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.replay.recording import MatchRecorder
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import serve_model
from agent_runtime.server import Client, ServerConfig, serve_in_background
from agent_runtime.turn import Action, Decide, Mode
from tests.agent_runtime.worlds import ACTIONS, state

NUM_TURNS = 6


def record_duel(folder: Path, games: Path, loaded: LoadedModel, num_turns: int = NUM_TURNS) -> Path:
    """Turns of two sessions: patches, a private block, sampled actions, one that failed, one that was overruled."""
    served = serve_model("default", loaded, MemoryStore(), pool_mib=16, max_rows=512, probed=False)
    made = AgentRuntime({"default": served}, games=[games])
    recorder = MatchRecorder(folder, digests=made.digests)
    with serve_in_background(made, ServerConfig(port=0), recorder=recorder) as url, Client(url) as client:
        _play(client, num_turns)
    (file,) = folder.glob("match-*.jsonl")
    return file


def _play(client: Client, num_turns: int) -> None:
    client.open_match("m", "duel", mode=Mode.STAR)
    client.put_state("m", 1, state=state(num_units=30))
    client.open_session("red", "m", sight=["!/secrets/blue"])
    client.open_session("blue", "m", sight=["!/secrets/red"], history_turns=1)
    for turn in range(1, num_turns + 1):
        session = ("red", "blue")[turn % 2]
        if turn > 1:
            # Near the beginning: `prefix` loses what stands behind it.
            client.put_state("m", turn, patch=[{"op": "replace", "path": "/units/3/hp", "value": turn}])
        if turn == 3:
            client.put_block("blue", "plan", "Feint to the north.").result(30)
        decide = Decide(how="sample", temperature=2.0, seed=turn)
        told = {"observation": "A noise.", "actions": ACTIONS, "decide": decide}
        client.turn(session, turn, frame=turn, **told)  # type: ignore[arg-type]
        done = Action("go south") if turn == 4 else None
        client.apply_turn(session, turn, ok=turn != 5, message="Mud." if turn == 5 else None, action=done)
