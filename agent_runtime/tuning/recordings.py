"""Recorded turns as tuning data: nobody has said what was right, but full mode's own decisions can be learned.

Every turn is prepared again by a runtime, from the recorded states, blocks and history, and not played: its prompt is
token for token what a server would have computed, and its listed actions are what is decided among.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.errors import HotseatError
from agent_runtime.replay.recording_format import read_recording
from agent_runtime.replay.replayer import put_into
from agent_runtime.replay.steps import RecordedSteps, RecordedTurn
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import serve_model
from agent_runtime.tuning.agreement import Turns
from agent_runtime.tuning.errors import NotTrainable
from agent_runtime.tuning.rows import TokenAsk, TokenSample
from agent_runtime.turn import Mode

_log = logging.getLogger(__name__)

# Nothing is computed: the pool only has to be there.
_POOL_MIB = 1


def recorded_turns(
    loaded: LoadedModel, recordings: Sequence[Path], games: Sequence[Path] = (), held_out: float = 0.2
) -> Turns:
    """Return the turns of recordings whose actions were listed; about `held_out` of the sessions are kept apart.

    Which ones depends on their names alone. Raises NotTrainable, RecordingError, and what a runtime refuses.
    """
    by_session: dict[str, list[TokenSample]] = {}
    for path in recordings:
        for session, sample in _turns_of(loaded, path, games):
            by_session.setdefault(f"{path.name}/{session}", []).append(sample)
    if len(by_session) < 2:
        raise NotTrainable(
            f"{len(by_session)} recorded sessions have turns with listed actions, and at least two are needed: some "
            "are held out. Record more matches (hotseat serve --record)."
        )
    ordered = sorted(by_session, key=lambda name: hashlib.blake2b(name.encode()).digest())
    num_held_out = min(max(round(held_out * len(ordered)), 1), len(ordered) - 1)
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(by_session):
        digest.update(repr((name, by_session[name])).encode())
    return Turns(
        train=tuple(sample for name in ordered[num_held_out:] for sample in by_session[name]),
        held_out=tuple(sample for name in ordered[:num_held_out] for sample in by_session[name]),
        digest=digest.hexdigest(),
    )


def recordings_in(folder: Path) -> list[Path]:
    """Return the recordings of matches in a folder. Raises NotTrainable if there are none."""
    found = sorted(folder.glob("match-*.jsonl"))
    if not found:
        raise NotTrainable(f"{folder} has no recordings (match-*.jsonl). Name the folder given to --record.")
    return found


def _turns_of(loaded: LoadedModel, path: Path, games: Sequence[Path]) -> Iterator[tuple[str, TokenSample]]:
    """Yield the session and the sample of every turn that decides among listed actions with nothing left to decode."""
    served = serve_model("default", loaded, MemoryStore(), pool_mib=_POOL_MIB, max_rows=1, probed=False)
    runtime = AgentRuntime({"default": served}, games=games, prefetches=False)
    refused: list[HotseatError] = []
    try:
        for step in (each.step for each in RecordedSteps(read_recording(path))):
            try:
                if not isinstance(step, RecordedTurn):
                    put_into(runtime, Mode.FULL, step)
                    continue
                turn = runtime.begin_turn(step.request)
            except HotseatError as error:  # the recorded server may have known a game or a persona that is gone
                refused.append(error)
                continue
            if not turn.answers.decodes and len(turn.answers.candidates) > 1:
                answers = tuple(each.ids for each in turn.answers.candidates)
                divisors = turn.answers.divisors(length_normalised=turn.length_normalised)
                ask = TokenAsk(turn.prompt.observation, answers, divisors)
                yield step.request.session, TokenSample(tuple(block.ids for block in turn.prompt.blocks), (ask,))
    finally:
        runtime.close()
    if refused:
        _log.warning("%s: %d steps are refused here and left out; the first: %s", path, len(refused), refused[0])
