"""A frame and a turn through the runtime as the server drives it, message in to message out, with a clock between.

read_frame, read_turn   JSON and its validation
cut                     the state cut into blocks, as far as it changed
prompt                  observation, tokens, keys
hand_over               the store asked for what is not resident, and the account closed
queue                   until the engine's thread begins
forward                 the model, as long as its calls take: a GPU may still compute when they return
decision                the engine's thread around that: blocks placed, work laid out, scores read
keep                    the result remembered, the session written
write_result            the answer's JSON
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from agent_runtime.runtime import AgentRuntime
from agent_runtime.server.answers import result_message
from agent_runtime.server.client_messages import MatchState, Turn
from agent_runtime.server.messages import client_message, read_json
from agent_runtime.turn import Account, TurnResult

# What the engine does of a turn.
ENGINE_STAGES = ("queue", "forward", "decision")


@dataclass(frozen=True, slots=True)
class HostTurn:
    """What came out, its account, and what each stage took, in milliseconds; all stages add up to the whole turn."""

    result: TurnResult
    account: Account
    stages_ms: dict[str, float]

    @property
    def total_ms(self) -> float:
        """Return what the whole turn took."""
        return sum(self.stages_ms.values())

    @property
    def overhead_ms(self) -> float:
        """Return what it took besides the engine."""
        return sum(ms for name, ms in self.stages_ms.items() if name not in ENGINE_STAGES)


def play(runtime: AgentRuntime, frame_text: str, turn_text: str) -> HostTurn:
    """Play a `match.state` and a `turn`, both as they come over a socket."""
    clock = [time.perf_counter()]

    def lap() -> None:
        clock.append(time.perf_counter())

    frame = client_message(read_json(frame_text))
    lap()
    assert isinstance(frame, MatchState)
    runtime.put_state(frame.match, frame.frame, state=frame.state, patch=frame.patch)
    lap()
    asked = client_message(read_json(turn_text))
    lap()
    assert isinstance(asked, Turn)
    begun = runtime.begin_turn(asked.request(), arrived=clock[-1])
    lap()
    result = begun.run()
    lap()
    result_message(result, None).encode()
    lap()
    read_frame, cut, read_turn, prompt, run, write_result = (
        1e3 * (after - before) for before, after in zip(clock, clock[1:], strict=False)
    )
    account = result.account
    assert account is not None, f"a benchmark turn failed: {result.message}"
    stages = {
        "read_frame": read_frame,
        "cut": cut,
        "read_turn": read_turn,
        "prompt": prompt,
        "hand_over": account.overhead_ms - prompt,
        "queue": account.queue_ms,
        "forward": account.engine_ms,
        "decision": account.total_ms - account.overhead_ms - account.queue_ms - account.engine_ms,
        "keep": run + prompt - account.total_ms,
        "write_result": write_result,
    }
    return HostTurn(result, account, stages)


def stages_ms(turns: Sequence[HostTurn]) -> dict[str, float]:
    """Return the median of every stage."""
    return {name: round(statistics.median(turn.stages_ms[name] for turn in turns), 3) for name in turns[0].stages_ms}
