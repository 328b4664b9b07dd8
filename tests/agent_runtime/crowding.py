"""Three matches of which a small pool holds two at a time: who is evicted, who is refused, and who is unharmed."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.runtime import AgentRuntime
from agent_runtime.turn import Mode, Outcome, TurnResult
from tests.agent_runtime.worlds import (
    account,
    ask,
    logprobs,
    open_duel,
    play,
    runtime,
    standing_still,
    state,
    wait_until,
    write_game,
)

NAMES = ("first", "second", "third")
# One prompt, as a share of the pool, rules and secrets included, which all matches share: two fit, three do not.
_SHARE = 0.46


def check_crowd(loaded: LoadedModel, games: Path, *, tolerance: float = 1e-4) -> None:
    """Play three matches in a pool of 1 MiB beside one where all fit, and compare what they come to."""
    write_game(games)
    with runtime(loaded, games, pool_mib=16) as ample, runtime(loaded, games, pool_mib=1) as small:
        num_units = _num_units(ample, small.served_model().cache.pool.num_slots)
        for made in (ample, small):
            _open(made, num_units)
        expected = {(name, turn): logprobs(play(ample, turn, session=name)) for turn in (1, 2) for name in NAMES}

        def assert_unharmed(name: str, turn: int, result: TurnResult) -> None:
            assert result.outcome is Outcome.OK, result.message
            assert logprobs(result) == pytest.approx(expected[name, turn], abs=tolerance)

        # One after the other all find room: what was used longest ago goes, and is encoded again when it is asked for.
        for name in NAMES:
            result = play(small, 1, session=name)
            assert_unharmed(name, 1, result)
            assert account(result).encoded > 0
        # All at once they do not: the last to come is told, and those before it answer as if they were alone.
        *served, refused = _at_once(small, 2)
        for name, result in zip(NAMES, served, strict=False):
            assert_unharmed(name, 2, result)
        assert refused.outcome is Outcome.OVERLOADED, refused
        assert refused.action is None
        assert "--pool-mib" in str(refused.message)
        # A turn that found no room may be asked again, under its own number.
        assert_unharmed(NAMES[-1], 2, play(small, 2, session=NAMES[-1]))


def _open(made: AgentRuntime, num_units: int) -> None:
    """Open a match and a session of each name; no block of one is one of another's but the rules."""
    for number, name in enumerate(NAMES):
        open_duel(made, Mode.STAR, match=name, sessions=(name,))
        made.put_state(name, 0, state=_state(num_units, number))
    made.served_model().prefetcher.finish(60)


def _state(num_units: int, number: int) -> dict[str, Any]:
    return state(num_units, **{f"u{unit}": 1000 * (number + 1) + unit for unit in range(num_units)})


def _num_units(ample: AgentRuntime, num_slots: int) -> int:
    """Return how many units a match has that fills its share of a pool, by the tokens that one takes."""
    open_duel(ample, Mode.STAR, match="measure", sessions=("measure",))
    tokens = []
    for frame, units in enumerate((1, 11)):
        ample.put_state("measure", frame, state=_state(units, len(NAMES)))
        tokens.append(account(play(ample, frame, frame, "measure")).tokens_prompt)
    return int((_SHARE * num_slots - tokens[0]) / ((tokens[1] - tokens[0]) / 10))


def _at_once(made: AgentRuntime, turn: int) -> Sequence[TurnResult]:
    """Ask all sessions before the engine looks, in the order of their names."""
    engine = made.served_model().engine
    with ThreadPoolExecutor(len(NAMES)) as threads:
        with standing_still(engine):
            running, before = [], engine.num_waiting
            for name in NAMES:
                running.append(threads.submit(made.begin_turn(ask(turn, session=name)).run))
                wait_until(lambda: engine.num_waiting >= before + len(running))
        return [each.result(120) for each in running]
