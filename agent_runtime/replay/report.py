"""What a replay measured, mode by mode: times, tokens, and how the answers compare."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO

from agent_runtime.replay.figures import LEAST_FOR_INTERVAL, Ratio, Times, ratio_of_means
from agent_runtime.replay.samples import TurnSample as TurnSample
from agent_runtime.replay.samples import column, paired
from agent_runtime.replay.strips import Strips
from agent_runtime.replay.traffic import Traffic
from agent_runtime.turn import Mode

REPORT_FORMAT = "hotseat.replay"
# 2: `ttft_ms` and `ratios` leave out cold turns, which are in `cold`; single turns are in `turns`.
REPORT_VERSION = 2
# What the time of every mode is set against.
RIVALS = (Mode.FULL, Mode.PREFIX)

_TURN_FIELDS = tuple(each.name for each in fields(TurnSample))


@dataclass(frozen=True, slots=True)
class ColdTurns:
    """Turns that were cold starts (`samples.is_cold`): they are in no other time and in no ratio."""

    turns: int
    ttft_ms: Times | None
    engine_ms: Times | None


@dataclass(frozen=True, slots=True)
class ModeReport:
    """All turns of one lane. Token counts and forwards are means a turn; the rows of background work are apart, and
    None where they are not known: a server does not tell. `traffic` is there for a lane over the wire.

    All times are those of turns that were not cold. `ratios` holds this mode's mean time over that of other lanes, by
    their labels, on the turns that both finished and neither began cold.
    """

    label: str
    mode: Mode
    turns: int
    outcomes: Mapping[str, int]
    ttft_ms: Times | None
    tokens_prompt: float | None
    tokens_computed: float | None
    tokens_cached: float | None
    forwards: float | None
    background_rows: int | None
    background_forwards: int | None
    as_recorded: float | None
    same_best: float | None
    logprob_off_max: float | None
    total_variation_mean: float | None
    total_variation_max: float | None
    ratios: Mapping[str, Ratio]
    engine_ms: Times | None
    queue_ms: Times | None
    late_ms: Times | None
    replayer_ms: Times | None
    cold: ColdTurns
    legal_mass_median: float | None
    legal_mass_min: float | None
    deadline_miss_rate: float | None
    samples: Sequence[TurnSample]
    traffic: Traffic | None = None


@dataclass(frozen=True, slots=True)
class ConstantAction:
    """The one action that was recorded most often, and its share: what an agent that reads nothing agrees in."""

    action: str
    agreement: float


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """A recording, played again in several modes. `refused` counts the frames that the runtime did not take now.

    `recording_digest` names the recording by its contents, `digests` what the decisions of this replay depend on,
    `settings` how it was played. Without `strips` there is nothing to draw of single prompts. `ended` says what ended
    the replay before the recording did.
    """

    recording: Path
    game: str | None
    recorded_mode: str | None
    model: str
    block_tuned: bool
    modes: tuple[ModeReport, ...]
    refused: int
    warnings: tuple[str, ...]
    environment: Mapping[str, Any]
    recording_digest: str = ""
    constant_action: ConstantAction | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    strips: Strips | None = None
    ended: str | None = None

    def mode(self, label: str) -> ModeReport | None:
        """Return the report of a lane, None if it was not replayed."""
        return next((mode for mode in self.modes if mode.label == label), None)

    def as_json(self) -> dict[str, Any]:
        """Return the report as `hotseat replay --json --no-turns` prints it."""
        return {
            "format": REPORT_FORMAT,
            "version": REPORT_VERSION,
            "recording": str(self.recording),
            "recording_digest": self.recording_digest,
            "game": self.game,
            "recorded_mode": self.recorded_mode,
            "model": self.model,
            "block_tuned": self.block_tuned,
            "modes": [_mode_json(mode) for mode in self.modes],
            "constant_action": None if self.constant_action is None else _rounded(asdict(self.constant_action)),
            "ended": self.ended,
            "refused": self.refused,
            "warnings": list(self.warnings),
            "remarks": list(remarks(self)),
            "digests": dict(self.digests),
            "settings": dict(self.settings),
            "environment": dict(self.environment),
        }

    def write_json(self, out: TextIO, *, turns: bool = True) -> None:
        """Write the report as JSON, with every single turn as a line of its own unless `turns` is False."""
        text = json.dumps(self.as_json(), indent=1)
        if not turns:
            out.write(f"{text}\n")
            return
        out.write(text.removesuffix("\n}") + ',\n "turns": [')
        separator = "\n  "
        for mode in self.modes:
            for sample in mode.samples:
                out.write(separator + json.dumps(turn_json(mode.label, sample)))
                separator = ",\n  "
        out.write("\n ]\n}\n")


def lane_labels(modes: Sequence[str]) -> tuple[str, ...]:
    """Return what the lanes of these modes are called; a mode's second lane is `star (2)`."""
    seen: Counter[str] = Counter()
    labels = []
    for mode in modes:
        seen[mode] += 1
        labels.append(str(mode) if seen[mode] == 1 else f"{mode} ({seen[mode]})")
    return tuple(labels)


def rival_labels(modes: Sequence[Mode]) -> tuple[str, ...]:
    """Return the lanes that the times of all others are set against: `full`, `prefix`, and every mode named twice."""
    repeated = [mode for mode in dict.fromkeys(modes) if modes.count(mode) > 1 and mode not in RIVALS]
    return tuple(str(mode) for mode in (*RIVALS, *repeated) if mode in modes)


def report_mode(
    label: str,
    mode: Mode,
    samples: Sequence[TurnSample],
    rivals: Mapping[str, Sequence[TurnSample]],
    *,
    background_rows: int | None,
    background_forwards: int | None,
    traffic: Traffic | None = None,
) -> ModeReport:
    """Sum up one lane's turns. `rivals` are the lanes to set its times against, by their label."""
    variations = _known(column(samples, "total_variation"))
    masses = _known(column(samples, "legal_mass"))
    met = _mean(column(samples, "deadline_met"))
    return ModeReport(
        label=label,
        mode=mode,
        turns=len(samples),
        outcomes=dict(Counter(map(str, column(samples, "outcome")))),
        ttft_ms=_times(samples, "ttft_ms"),
        tokens_prompt=_mean(column(samples, "tokens_prompt")),
        tokens_computed=_mean(column(samples, "tokens_computed")),
        tokens_cached=_mean(column(samples, "tokens_cached")),
        forwards=_mean(column(samples, "forwards")),
        background_rows=background_rows,
        background_forwards=background_forwards,
        as_recorded=_mean(column(samples, "as_recorded")),
        same_best=_mean(column(samples, "same_best")),
        logprob_off_max=max(_known(column(samples, "logprob_off")), default=None),
        total_variation_mean=_mean(variations),
        total_variation_max=max(variations, default=None),
        ratios={
            rival: ratio for rival, others in rivals.items() if (ratio := paired_ratio(samples, others)) is not None
        },
        engine_ms=_times(samples, "engine_ms"),
        queue_ms=_times(samples, "queue_ms"),
        late_ms=_times(samples, "late_ms"),
        replayer_ms=_times(samples, "replayer_ms"),
        cold=ColdTurns(
            turns=sum(column(samples, "cold")),
            ttft_ms=_times(samples, "ttft_ms", cold=True),
            engine_ms=_times(samples, "engine_ms", cold=True),
        ),
        legal_mass_median=statistics.median(masses) if masses else None,
        legal_mass_min=min(masses, default=None),
        deadline_miss_rate=None if met is None else 1 - met,
        samples=samples,
        traffic=traffic,
    )


def constant_action(recorded: Mapping[str, int]) -> ConstantAction | None:
    """Return the action that was recorded most often, of those counted by their `action_text`; None if there is none.

    Of equally frequent ones the first counts.
    """
    if not recorded:
        return None
    action = max(recorded, key=recorded.__getitem__)
    return ConstantAction(action, recorded[action] / sum(recorded.values()))


def paired_ratio(samples: Iterable[TurnSample], others: Iterable[TurnSample]) -> Ratio | None:
    """Return the ratio of the mean times, over the turns that have one in both and are cold in neither."""
    above, below = [], []
    for mine, other in paired(samples, others):
        if mine.ttft_ms is not None and other.ttft_ms is not None and not mine.cold and not other.cold:
            above.append(mine.ttft_ms)
            below.append(other.ttft_ms)
    return ratio_of_means([above], [below])


def remarks(report: ReplayReport) -> Iterator[str]:
    """Yield in sentences what the figures do and do not show."""
    if report.ended is not None:
        yield f"The recording was not played to its end: {report.ended}"
    said: set[frozenset[str]] = set()
    too_few = {ratio.turns for mode in report.modes for ratio in mode.ratios.values() if ratio.low is None}
    if too_few:
        yield (
            f"Ratios over fewer than {LEAST_FOR_INTERVAL} turns have no interval: what they show may be noise. Record "
            "a longer match."
        )
    for mode in report.modes:
        for rival, ratio in mode.ratios.items():
            pair = frozenset((mode.label, rival))
            if pair not in said and (sentence := _on_ratio(mode, report.mode(rival), ratio)) is not None:
                said.add(pair)
                yield sentence
    for mode in report.modes:
        constant = report.constant_action
        if constant is not None and mode.as_recorded is not None and mode.as_recorded <= constant.agreement:
            yield (
                f"{mode.label} chose the recorded action in {percent(mode.as_recorded)} of turns; always "
                f"{constant.action!r} would have in {percent(constant.agreement)}."
            )
    if any(mode.cold.turns for mode in report.modes):
        listed = ", ".join(f"{mode.label} {mode.cold.turns}" for mode in report.modes)
        yield f"Cold starts are in no other time and in no ratio: {listed}."


def _on_ratio(mode: ModeReport, rival: ModeReport | None, ratio: Ratio) -> str | None:
    if rival is None or ratio.low is None or ratio.high is None:
        return None
    what = f"{mode.label} over {rival.label} is {ratio.value:.3g} ({ratio.low:.3g} to {ratio.high:.3g})"
    if mode.mode is rival.mode:
        if ratio.holds_one:
            return f"{what}: the same mode twice. So much is the noise of this machine over these turns."
        return f"{what}, and it is the same mode twice: this machine is too noisy to believe any difference like that."
    if ratio.holds_one:
        return f"{what}: the interval contains 1, so no difference was measured."
    return None


def percent(share: float) -> str:
    """Return a share in words of a table."""
    return f"{100 * share:.0f} %"


def turn_json(label: str, sample: TurnSample) -> dict[str, Any]:
    """Return a turn as the report's JSON has it: what is unknown is left out."""
    told = {name: getattr(sample, name) for name in _TURN_FIELDS}
    return {"mode": label, **{name: _rounded(value) for name, value in told.items() if value is not None}}


def _mode_json(mode: ModeReport) -> dict[str, Any]:
    told: dict[str, Any] = {each.name: getattr(mode, each.name) for each in fields(mode) if each.name != "samples"}
    for name, value in told.items():
        if name.endswith("_ms"):
            told[name] = _times_json(value)
    cold = {"turns": mode.cold.turns, "ttft_ms": _times_json(mode.cold.ttft_ms)}
    told["cold"] = {**cold, "engine_ms": _times_json(mode.cold.engine_ms)}
    told["ratios"] = {rival: ratio.value for rival, ratio in mode.ratios.items()}
    told["ratio_intervals"] = {rival: asdict(ratio) for rival, ratio in mode.ratios.items()}
    told["mode"] = str(mode.mode)
    told["traffic"] = asdict(mode.traffic) if mode.traffic else None
    return {key: _rounded(value) for key, value in told.items()}


def _times_json(times: Times | None) -> dict[str, float]:
    return {key: value for key, value in asdict(times).items() if value is not None} if times else {}


def _times(samples: Sequence[TurnSample], name: str, *, cold: bool = False) -> Times | None:
    pairs = zip(column(samples, name), column(samples, "cold"), strict=True)
    return Times.of(_known(value for value, was_cold in pairs if was_cold is cold))


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return statistics.fmean(known) if known else None


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value
