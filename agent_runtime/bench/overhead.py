"""`hotseat bench overhead`: the runtime's own time a turn, with 300 blocks and 25,000 tokens of text.

Counted is what stands between a frame received and the engine's queue, and between the decision and a frame sent: the
frame's and the turn's JSON, validation, the state cut into blocks, prompt, tokens, keys, account, the answer's JSON.
What the engine's own thread does (`queue`, `forward`, `decision`) is shown and not counted. The model is a tiny random
one with the real tokenizer: its forward does not matter.
"""

import dataclasses
import json
import random
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from agent_runtime.bench.host_path import HostTurn, play, stages_ms
from agent_runtime.bench.prompts import GAME, Sentences, write_game
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.environment import environment
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import serve_model
from agent_runtime.token_blocks import KEY_FORMAT
from agent_runtime.turn import MatchSpec, Mode, SessionSpec
from kv_store import Store

_CONTEXT = 65536


def bench_overhead(
    loaded: LoadedModel, *, num_blocks: int = 300, block_tokens: int = 83, turns: int = 60, seed: int = 0
) -> dict[str, Any]:
    """Measure turns that change one block, by patch and by whole state; return times in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        tiny = _with_tiny_weights(loaded)
        store = Store(Path(folder) / "store", fingerprint=KEY_FORMAT)
        served = serve_model("bench", tiny, store, pool_mib=256, max_rows=512, probed=False)
        runtime = AgentRuntime({"bench": served}, games=[write_game(Path(folder))], store=store)
        try:
            sentences, rng = Sentences(loaded.text.count, seed), random.Random(seed)
            blocks = [{"id": f"b{i}", "text": sentences.sentence(block_tokens - 7)} for i in range(num_blocks)]
            seat = _Seat(runtime)
            seat.play(lambda: {"state": {"blocks": blocks}})
            cases: dict[str, list[HostTurn]] = {"patch": [], "whole": []}
            for _ in range(turns):
                for case, timings in cases.items():
                    place, text = rng.randrange(num_blocks), sentences.sentence(block_tokens - 7)
                    blocks[place] = {**blocks[place], "text": text}
                    patch = [{"op": "replace", "path": f"/blocks/{place}/text", "value": text}]
                    change = {"patch": patch} if case == "patch" else {"state": {"blocks": blocks}}
                    timings.append(seat.play(lambda change=change: change))  # type: ignore[misc]
        finally:
            runtime.close()
    return {
        "environment": environment(loaded),
        "blocks": num_blocks,
        "tokens": seat.num_tokens,
        "cases": [{"case": case, **_summary(timings)} for case, timings in cases.items()],
    }


def _summary(turns: list[HostTurn]) -> dict[str, Any]:
    stages = stages_ms(turns)
    totals = sorted(turn.overhead_ms for turn in turns)
    return {
        "overhead_ms": {"p50": round(statistics.median(totals), 3), "max": round(totals[-1], 3)},
        "stages_ms": stages,
    }


def _with_tiny_weights(loaded: LoadedModel) -> LoadedModel:
    config = LlamaConfig(
        vocab_size=loaded.num_logits,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=_CONTEXT,
    )
    return dataclasses.replace(
        loaded,
        model=LlamaForCausalLM(config).eval(),
        context_limit=_CONTEXT,
        num_layers=1,
        num_kv_heads=1,
        head_dim=16,
        kv_dtype=torch.float32,
        device=torch.device("cpu"),
    )


class _Seat:
    """One session, and the match it plays in."""

    def __init__(self, runtime: AgentRuntime) -> None:
        self._runtime = runtime
        self._frame = -1
        self.num_tokens = 0
        runtime.open_match(MatchSpec("bench", GAME, mode=Mode.STAR))
        runtime.open_session(SessionSpec("bench", "bench"))

    def play(self, change: Callable[[], dict[str, Any]]) -> HostTurn:
        """Play a frame and a turn about it."""
        self._frame += 1
        if self._frame:
            # What the last turn left to write is over before the next tick.
            self._runtime.flush("bench")
        state = json.dumps({"type": "match.state", "match": "bench", "frame": self._frame, **change()})
        turn = json.dumps(
            {
                "type": "turn",
                "session": "bench",
                "turn_id": self._frame,
                "frame": self._frame,
                "observation": f"A noise in the east, for the {self._frame}th time.",
                "actions": [{"id": "hold", "text": "stay here"}, {"id": "go", "text": "go there"}],
            }
        )
        played = play(self._runtime, state, turn)
        self.num_tokens = played.account.tokens_prompt
        return played
