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
    """Return the turns of recordings whose actions were listed; about `held_out` of the matches are kept apart.

    Sessions of a match see the same states, so they are kept apart only where one match alone has such turns. Which
    ones are depends on their names alone. Of what is kept apart, turns that are token for token among the others are
    left out. Raises NotTrainable, RecordingError, and what a runtime refuses.
    """
    by_session: dict[tuple[str, str], list[TokenSample]] = {}
    for path in recordings:
        for session, sample in _turns_of(loaded, path, games):
            by_session.setdefault((path.name, session), []).append(sample)
    if len(by_session) < 2:
        raise NotTrainable(
            f"{len(by_session)} recorded sessions have turns with listed actions, and at least two are needed: some "
            "are held out. Record more matches (hotseat serve --record)."
        )
    has_matches = len({match for match, _ in by_session}) > 1
    by_group: dict[str, list[TokenSample]] = {}
    for (match, session), samples in by_session.items():
        by_group.setdefault(match if has_matches else f"{match}/{session}", []).extend(samples)
    ordered = sorted(by_group, key=lambda name: hashlib.blake2b(name.encode()).digest())
    num_held_out = min(max(round(held_out * len(ordered)), 1), len(ordered) - 1)
    train = tuple(sample for name in ordered[num_held_out:] for sample in by_group[name])
    apart = [sample for name in ordered[:num_held_out] for sample in by_group[name]]
    learned = set(train)
    fresh = tuple(sample for sample in apart if sample not in learned)
    if not fresh:
        raise NotTrainable(
            f"all {len(apart)} held-out turns are token for token among those that are learned from, and nothing could "
            "be measured on them. Record other matches (hotseat serve --record)."
        )
    digest = hashlib.blake2b(repr((len(train), len(fresh))).encode(), digest_size=16)
    for sample in (*train, *fresh):
        digest.update(repr(sample).encode())
    return Turns(train, fresh, digest.hexdigest(), repeated=len(apart) - len(fresh))


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
