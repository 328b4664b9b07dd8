"""Plays a recording again, in process, in several modes at once: `hotseat replay`.

What the client sent goes in as it was received, into one lane per mode. The lanes play each turn one after the other,
in an order drawn anew, and everything else that a frame sets off (opened sessions, history) is waited for before the
next frame, so that no lane computes while another is measured. History takes the recorded actions: so every lane sees
the same token ids at every turn, which is checked. Deadlines and cancellations are not replayed: every turn is played
to its end, and a deadline is only held against the time that it took. However long a recording is, what a turn leaves
behind is a `TurnSample` a lane.
"""

import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from agent_runtime.agent import PendingTurn
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.environment import environment
from agent_runtime.errors import HotseatError
from agent_runtime.replay.errors import NothingToReplay, PromptsDiffer
from agent_runtime.replay.lane_stores import LaneStores, open_lane_stores
from agent_runtime.replay.lanes import Lane, open_lanes
from agent_runtime.replay.origin import differences
from agent_runtime.replay.recording_format import Recording, read_recording
from agent_runtime.replay.report import ReplayReport, constant_action, report_mode, rival_labels
from agent_runtime.replay.samples import Samples, TurnSample, accounted, action_text, compared, is_cold
from agent_runtime.replay.steps import RecordedSteps, RecordedTurn, Step
from agent_runtime.replay.store_kind import StoreKind
from agent_runtime.replay.strips import Strips, strip_of
from agent_runtime.runtime import AgentRuntime
from agent_runtime.server.runtime import CloseMatch, CloseSession, PutBlock, PutState
from agent_runtime.turn import MatchSpec, Mode, Score, SessionSpec, TurnApplied, TurnResult

DEFAULT_MODES = (Mode.FULL, Mode.PREFIX, Mode.STAR)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How to replay. A mode named twice shows the noise; `pool_mib` is each lane's; `seed` draws the lanes' order.

    Without `verify` a recording is taken whose lines were changed on purpose. `store` says what blocks are kept in
    beside the pool; `deadline_ms` stands in for the recorded deadlines.
    """

    modes: tuple[Mode, ...] = DEFAULT_MODES
    games: tuple[Path, ...] = ()
    pool_mib: int = 512
    seed: int = 0
    verify: bool = True
    store: StoreKind = StoreKind.NONE
    deadline_ms: float | None = None


@dataclass(slots=True)
class _Tally:
    """What a replay has seen so far. `num_other_length`: turns whose prompt was longer or shorter when recorded."""

    samples: dict[str, Samples]
    strips: Strips
    recorded: Counter[str] = field(default_factory=Counter)
    num_turns: int = 0
    num_refused: int = 0
    first_refusal: str = ""
    num_other_length: int = 0

    def refuse(self, refusal: HotseatError) -> None:
        """Count a frame that the runtime did not take."""
        self.first_refusal = self.first_refusal or str(refusal)
        self.num_refused += 1


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
    steps = RecordedSteps(read)
    num_turns = steps.count_turns()
    if num_turns == 0:
        raise NothingToReplay(recording)
    progress(0, num_turns)
    order = random.Random(options.seed)
    open_over = partial(open_lanes, loaded, options.modes, games=options.games, pool_mib=options.pool_mib)
    with ExitStack() as stack:
        stores = stack.enter_context(open_lane_stores(options.store, len(options.modes)))
        if options.store is StoreKind.WARM:
            with open_over(stores=stores.to_fill) as lanes:
                _fill(lanes, steps, stores)
        lanes = stack.enter_context(open_over(stores=stores.of))
        tally = _Tally({lane.label: Samples() for lane in lanes}, Strips())
        done = 0
        for step in (each.step for each in steps):
            shuffled = order.sample(lanes, len(lanes))
            if isinstance(step, RecordedTurn):
                _play(
                    lanes,
                    shuffled,
                    step,
                    tally,
                    step.deadline_ms if options.deadline_ms is None else options.deadline_ms,
                )
                done += 1
                progress(done, num_turns)
            else:
                _put(shuffled, step, tally)
            for lane in lanes:
                lane.settle()
        return _report(read, loaded, options, lanes, tally)


def _fill(lanes: Sequence[Lane], steps: RecordedSteps, stores: LaneStores) -> None:
    """Play a recording for what it leaves in the stores; only the lanes of block modes leave anything."""
    keeping = [lane for lane in lanes if lane.mode in (Mode.STAR, Mode.ANCHORED)]
    for step in (each.step for each in steps):
        for lane in keeping:
            with suppress(HotseatError):  # what is refused now is refused again, and told then
                if isinstance(step, RecordedTurn):
                    lane.runtime.begin_turn(step.request).run()
                else:
                    put_into(lane.runtime, lane.mode, step)
            lane.settle()
    stores.flush()
    while any([lane.put_again() for lane in keeping]):  # a store's queue was full; now it is empty
        stores.flush()


def _put(lanes: Sequence[Lane], step: Step, tally: _Tally) -> None:
    """Put one frame that is no turn into every lane. One that is refused is refused in all: their states are equal."""
    refusals = []
    for lane in lanes:
        try:
            put_into(lane.runtime, lane.mode, step)
        except HotseatError as error:
            if isinstance(step, MatchSpec):
                raise
            refusals.append(error)
    assert len(refusals) in (0, len(lanes)), "lanes are in different states"
    if refusals:
        tally.refuse(refusals[0])


def put_into(runtime: AgentRuntime, mode: Mode, step: Step) -> None:
    """Do with a runtime what a step that is no turn says, its matches in `mode`. Raises what the runtime raises."""
    match step:
        case MatchSpec():
            runtime.open_match(replace(step, model=None, mode=mode))
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


def _play(
    lanes: Sequence[Lane], shuffled: Sequence[Lane], step: RecordedTurn, tally: _Tally, deadline_ms: float | None
) -> None:
    """Play one turn in every lane, one after the other."""
    played: dict[str, _Played] = {}
    prompts: dict[str, tuple[int, ...]] = {}
    refusals = []
    for lane in shuffled:
        began = time.perf_counter()
        try:
            turn = lane.runtime.begin_turn(step.request)
        except HotseatError as error:
            refusals.append(error)
            continue
        result = turn.run()
        played[lane.label] = _Played(turn, result, 1e3 * (time.perf_counter() - began))
        prompts[lane.label] = tuple(token for block in turn.prompt.blocks for token in block.ids)
        prompts[lane.label] += turn.prompt.observation
    if len(set(prompts.values())) + bool(refusals) > 1:
        raise PromptsDiffer(step.request.session, step.request.turn_id, _odd_ones(lanes, prompts))
    if refusals:
        tally.refuse(refusals[0])
        return
    num_tokens = len(prompts[lanes[0].label])
    tally.num_other_length += step.num_tokens is not None and step.num_tokens != num_tokens
    if step.action is not None:
        tally.recorded[action_text(step.action.id, step.action.args)] += 1
    full = next((played[lane.label].result.scores for lane in lanes if lane.mode is Mode.FULL), ())
    for lane in lanes:
        each = played[lane.label]
        tally.samples[lane.label].append(_sample(each, step, full, deadline_ms))
        if each.result.account is not None:
            tally.strips.keep(lane.label, tally.num_turns, strip_of(each.turn.prompt, each.result.account))
    tally.num_turns += 1


@dataclass(frozen=True, slots=True)
class _Played:
    """A turn that was played in one lane. `took_ms` is measured around everything."""

    turn: PendingTurn
    result: TurnResult
    took_ms: float


def _odd_ones(lanes: Sequence[Lane], prompts: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """Return the lanes whose prompt is not the one that most have; one that refused the turn has none."""
    most = statistics.mode(prompts.values())
    return tuple(lane.label for lane in lanes if prompts.get(lane.label) != most)


def _sample(played: _Played, step: RecordedTurn, full: Sequence[Score], deadline_ms: float | None) -> TurnSample:
    result = played.result
    sample = TurnSample(
        session=result.session,
        turn_id=result.turn_id,
        outcome=result.outcome,
        as_recorded=None if step.action is None else result.action == step.action,
        legal_mass=result.legal_mass,
    )
    if (account := result.account) is not None:
        sample = replace(
            accounted(sample, account),
            cold=is_cold(account, step.is_first),
            deadline_met=None if deadline_ms is None else account.total_ms <= deadline_ms,
            replayer_ms=played.took_ms - account.total_ms,
        )
    elif deadline_ms is not None:
        sample = replace(sample, deadline_met=False)
    return compared(sample, result.scores, full)


def _report(
    read: Recording, loaded: LoadedModel, options: ReplayOptions, lanes: Sequence[Lane], tally: _Tally
) -> ReplayReport:
    header = read.parts[0].header
    modes = [lane.mode for lane in lanes]
    rivals = {label: tally.samples[label] for label in rival_labels(modes)}
    runtime = lanes[0].runtime
    digests = runtime.digests("default", header.game) if header.game else {}
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
        refused=tally.num_refused,
        warnings=(*differences(read, digests, modes), *_warnings(tally)),
        environment=environment(loaded),
        recording_digest=read.digest,
        constant_action=constant_action(tally.recorded),
        digests=digests,
        settings={
            "pool_mib": options.pool_mib,
            "seed": options.seed,
            "store": str(options.store),
            "deadline_ms": options.deadline_ms,
        },
        strips=tally.strips,
    )


def _warnings(tally: _Tally) -> Iterator[str]:
    if tally.num_other_length:
        yield (
            f"The prompts of {tally.num_other_length} turns had another length when they were recorded: the tokenizer "
            "or the game's templates have changed since."
        )
    if tally.num_refused:
        yield f"{tally.num_refused} frames are refused now that were not then; the first: {tally.first_refusal}"
