"""Plays a recording again, in process, in several modes at once: `hotseat replay`.

What the client sent goes in as it was received, into one lane per mode. The lanes play each turn one after the other,
in an order drawn anew, and everything else that a frame sets off (opened sessions, history) is waited for before the
next frame, so that no lane computes while another is measured. History takes the recorded actions: so every lane sees
the same token ids at every turn, which is checked. Deadlines and cancellations are not replayed; every turn is played
to its end.
"""

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.environment import environment
from agent_runtime.errors import HotseatError
from agent_runtime.replay.errors import NothingToReplay, PromptsDiffer
from agent_runtime.replay.lanes import Lane, open_lanes
from agent_runtime.replay.recording_format import Recording, read_recording
from agent_runtime.replay.report import RIVALS, ReplayReport, TurnSample, report_mode
from agent_runtime.replay.steps import RecordedTurn, Step, steps_of
from agent_runtime.server.runtime import CloseMatch, CloseSession, PutBlock, PutState
from agent_runtime.turn import MatchSpec, Mode, Score, SessionSpec, TurnApplied, TurnResult

DEFAULT_MODES = (Mode.FULL, Mode.PREFIX, Mode.STAR)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How to replay. A mode named twice shows the noise; `pool_mib` is each lane's; `seed` draws the lanes' order.

    Without `verify` a recording is taken whose lines were changed on purpose.
    """

    modes: tuple[Mode, ...] = DEFAULT_MODES
    games: tuple[Path, ...] = ()
    pool_mib: int = 512
    seed: int = 0
    verify: bool = True


@dataclass(slots=True)
class _Tally:
    """What a replay has seen so far. `num_other_length`: turns whose prompt was longer or shorter when recorded."""

    samples: dict[str, list[TurnSample]]
    refused: list[str] = field(default_factory=list)
    num_other_length: int = 0


def replay(
    recording: Path,
    loaded: LoadedModel,
    options: ReplayOptions = ReplayOptions(),
    progress: Progress = lambda done, turns: None,
) -> ReplayReport:
    """Replay a recording; `progress` hears how many turns are done, of how many.

    Raises what reading a recording raises, OtherProtocol, NothingToReplay, PromptsDiffer, and UnknownName for a game
    that is neither built in nor in `options.games`.
    """
    read = read_recording(recording, verify=options.verify)
    steps = list(steps_of(read))
    num_turns = sum(isinstance(step, RecordedTurn) for step in steps)
    if num_turns == 0:
        raise NothingToReplay(recording)
    progress(0, num_turns)
    order = random.Random(options.seed)
    with open_lanes(loaded, options.modes, games=options.games, pool_mib=options.pool_mib) as lanes:
        tally = _Tally({lane.label: [] for lane in lanes})
        done = 0
        for step in steps:
            shuffled = order.sample(lanes, len(lanes))
            if isinstance(step, RecordedTurn):
                _play(lanes, shuffled, step, tally)
                done += 1
                progress(done, num_turns)
            else:
                _put(shuffled, step, tally)
            for lane in lanes:
                lane.settle()
        return _report(read, loaded, lanes, tally)


def _put(lanes: Sequence[Lane], step: Step, tally: _Tally) -> None:
    """Put one frame that is no turn into every lane. One that is refused is refused in all: their states are equal."""
    refusals = []
    for lane in lanes:
        try:
            _put_into(lane, step)
        except HotseatError as error:
            if isinstance(step, MatchSpec):
                raise
            refusals.append(str(error))
    assert len(refusals) in (0, len(lanes)), "lanes are in different states"
    tally.refused += refusals[:1]


def _put_into(lane: Lane, step: Step) -> None:
    runtime = lane.runtime
    match step:
        case MatchSpec():
            runtime.open_match(replace(step, model=None, mode=lane.mode))
        case PutState():
            runtime.put_state(step.match, step.frame, state=step.state, patch=step.patch)
        case SessionSpec():
            runtime.open_session(step)
        case PutBlock():
            runtime.put_block(step.session, step.name, step.text)
        case TurnApplied():
            runtime.apply_turn(step)
        case CloseSession():
            runtime.close_session(step.session)
        case CloseMatch():
            runtime.close_match(step.match)


def _play(lanes: Sequence[Lane], shuffled: Sequence[Lane], step: RecordedTurn, tally: _Tally) -> None:
    """Play one turn in every lane, one after the other."""
    results: dict[str, TurnResult] = {}
    prompts: dict[str, tuple[int, ...]] = {}
    refusals = []
    for lane in shuffled:
        try:
            turn = lane.runtime.begin_turn(step.request)
        except HotseatError as error:
            refusals.append(str(error))
            continue
        results[lane.label] = turn.run()
        prompts[lane.label] = tuple(token for block in turn.prompt.blocks for token in block.ids)
        prompts[lane.label] += turn.prompt.observation
    if len(set(prompts.values())) + bool(refusals) > 1:
        raise PromptsDiffer(step.request.session, step.request.turn_id, _odd_ones(lanes, prompts))
    if refusals:
        tally.refused.append(refusals[0])
        return
    num_tokens = len(prompts[lanes[0].label])
    tally.num_other_length += step.num_tokens is not None and step.num_tokens != num_tokens
    full = next((results[lane.label] for lane in lanes if lane.mode is Mode.FULL), None)
    for lane in lanes:
        tally.samples[lane.label].append(_sample(results[lane.label], step, full))


def _odd_ones(lanes: Sequence[Lane], prompts: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """Return the lanes whose prompt is not the one that most have; one that refused the turn has none."""
    most = statistics.mode(prompts.values())
    return tuple(lane.label for lane in lanes if prompts.get(lane.label) != most)


def _sample(result: TurnResult, step: RecordedTurn, full: TurnResult | None) -> TurnSample:
    account = result.account
    sample = TurnSample(
        session=result.session,
        turn_id=result.turn_id,
        outcome=result.outcome,
        as_recorded=None if step.action is None else result.action == step.action,
    )
    if account is not None:
        sample = replace(
            sample,
            ttft_ms=account.ttft_ms,
            tokens_prompt=account.tokens_prompt,
            tokens_computed=account.tokens_computed,
            tokens_cached=account.tokens_cached,
            forwards=account.forwards,
        )
    if full is None or not full.scores or not result.scores:
        return sample
    pairs = list(zip(result.scores, full.scores, strict=True))
    return replace(
        sample,
        same_best=_best(result.scores) == _best(full.scores),
        logprob_off=max(abs(mine.logprob - other.logprob) for mine, other in pairs),
        total_variation=0.5 * sum(abs(mine.p - other.p) for mine, other in pairs),
    )


def _best(scores: Sequence[Score]) -> int:
    return max(range(len(scores)), key=lambda index: scores[index].p)


def _report(read: Recording, loaded: LoadedModel, lanes: Sequence[Lane], tally: _Tally) -> ReplayReport:
    header = read.parts[0].header
    modes = [lane.mode for lane in lanes]
    repeated = [mode for mode in dict.fromkeys(modes) if modes.count(mode) > 1 and mode not in RIVALS]
    rivals = {str(mode): tally.samples[mode] for mode in (*RIVALS, *repeated) if mode in modes}
    return ReplayReport(
        recording=read.path,
        game=header.game,
        recorded_mode=header.mode,
        model=loaded.name,
        block_tuned=loaded.block_tuned,
        modes=tuple(
            report_mode(
                lane.label,
                lane.mode,
                tally.samples[lane.label],
                {label: samples for label, samples in rivals.items() if label != lane.label},
                background_rows=lane.served.prefetcher.ledger.rows,
                background_forwards=lane.served.prefetcher.ledger.forwards,
            )
            for lane in lanes
        ),
        refused=len(tally.refused),
        warnings=_warnings(read, loaded, tally),
        environment=environment(loaded.name, loaded.digest),
    )


def _warnings(read: Recording, loaded: LoadedModel, tally: _Tally) -> tuple[str, ...]:
    told = []
    recorded = {(part.header.digests or {}).get("weights", loaded.digest) for part in read.parts}
    if recorded != {loaded.digest}:
        told.append("It was recorded with other weights: the actions need not be those of the recording.")
    if tally.num_other_length:
        told.append(
            f"The prompts of {tally.num_other_length} turns had another length when they were recorded: the tokenizer "
            "or the game's templates have changed since."
        )
    if tally.refused:
        told.append(f"{len(tally.refused)} frames are refused now that were not then; the first: {tally.refused[0]}")
    return tuple(told)
