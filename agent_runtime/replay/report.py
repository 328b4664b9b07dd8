"""What a replay measured, mode by mode: times, tokens, and how the answers compare."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent_runtime.turn import Mode, Outcome

REPORT_FORMAT = "hotseat.replay"
REPORT_VERSION = 1
# What the time of every mode is set against.
RIVALS = (Mode.FULL, Mode.PREFIX)
# A percentile that fewer turns lie beyond is mostly luck.
_LEAST_BEYOND = 10


@dataclass(frozen=True, slots=True)
class Times:
    """A distribution of milliseconds. A percentile is None where fewer than ten turns lie beyond it."""

    mean: float
    p50: float | None
    p95: float | None
    max: float

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> "Times | None":
        """Return the distribution of some times, None if there are none."""
        if not times_ms:
            return None
        ordered = sorted(times_ms)
        return cls(statistics.fmean(ordered), percentile(ordered, 0.5), percentile(ordered, 0.95), ordered[-1])


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the smallest value that `share` of all do not exceed, None if fewer than ten exceed it by rank."""
    rank = math.ceil(share * len(ordered))
    return ordered[rank - 1] if rank and len(ordered) - rank >= _LEAST_BEYOND else None


@dataclass(frozen=True, slots=True)
class TurnSample:
    """One turn in one mode. Figures of the account are None if it has none; comparisons, if there was nothing to
    compare with: a recorded action, and the same turn in mode `full`.

    `same_best` says whether the likeliest action is full's, `logprob_off` is the largest difference of a legal action's
    log-probability from full's (nats), `total_variation` half the sum of the differences of the shares.

    `ttft_ms` runs from the last byte of the turn's frame to the decision or first token; `engine_ms` is what of it the
    engine's forwards took, `queue_ms` what the turn waited for them. `cold` marks the first turn of a session since it
    was opened: what it sees may still have to be encoded or loaded. That is the recording's own, so that a turn is cold
    in all modes or in none, and pairs stay pairs; blocks that merely changed are a turn's everyday work and not cold.

    `due_ms` says when the turn was due in an open loop, since the replay began, and `late_ms` how much later it was
    sent: no wait for an earlier answer is left out. `deadline_met` is None without a deadline. `copy` numbers the
    copies of a recording that are played at once.
    """

    session: str
    turn_id: int
    outcome: Outcome
    ttft_ms: float | None = None
    tokens_prompt: int | None = None
    tokens_computed: int | None = None
    tokens_cached: int | None = None
    forwards: int | None = None
    as_recorded: bool | None = None
    same_best: bool | None = None
    logprob_off: float | None = None
    total_variation: float | None = None
    engine_ms: float | None = None
    queue_ms: float | None = None
    cold: bool = False
    due_ms: float | None = None
    late_ms: float | None = None
    deadline_met: bool | None = None
    copy: int = 0


@dataclass(frozen=True, slots=True)
class ModeReport:
    """All turns of one lane. Token counts and forwards are means a turn; the rows of background work are apart.

    `ratios` holds this mode's mean time over that of other lanes, by their labels, on the turns that both finished.
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
    background_rows: int
    background_forwards: int
    as_recorded: float | None
    same_best: float | None
    logprob_off_max: float | None
    total_variation_mean: float | None
    total_variation_max: float | None
    ratios: Mapping[str, float]
    samples: tuple[TurnSample, ...]


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """A recording, played again in several modes. `refused` counts the frames that the runtime did not take now."""

    recording: Path
    game: str | None
    recorded_mode: str | None
    model: str
    block_tuned: bool
    modes: tuple[ModeReport, ...]
    refused: int
    warnings: tuple[str, ...]
    environment: Mapping[str, Any]

    def mode(self, label: str) -> ModeReport | None:
        """Return the report of a lane, None if it was not replayed."""
        return next((mode for mode in self.modes if mode.label == label), None)

    def as_json(self) -> dict[str, Any]:
        """Return the report as `hotseat replay --json` prints it; single turns are left out."""
        modes = []
        for mode in self.modes:
            told = {key: value for key, value in asdict(mode).items() if key != "samples"}
            told["ttft_ms"] = {key: value for key, value in (told["ttft_ms"] or {}).items() if value is not None}
            modes.append({key: _rounded(value) for key, value in told.items()})
        return {
            "format": REPORT_FORMAT,
            "version": REPORT_VERSION,
            "recording": str(self.recording),
            "game": self.game,
            "recorded_mode": self.recorded_mode,
            "model": self.model,
            "block_tuned": self.block_tuned,
            "modes": modes,
            "refused": self.refused,
            "warnings": list(self.warnings),
            "environment": dict(self.environment),
        }


def report_mode(
    label: str,
    mode: Mode,
    samples: Sequence[TurnSample],
    rivals: Mapping[str, Sequence[TurnSample]],
    *,
    background_rows: int,
    background_forwards: int,
) -> ModeReport:
    """Sum up one lane's turns. `rivals` are the lanes to set its times against, by their label, turn for turn."""
    variations = _known(sample.total_variation for sample in samples)
    return ModeReport(
        label=label,
        mode=mode,
        turns=len(samples),
        outcomes=dict(Counter(str(sample.outcome) for sample in samples)),
        ttft_ms=Times.of(_known(sample.ttft_ms for sample in samples)),
        tokens_prompt=_mean(sample.tokens_prompt for sample in samples),
        tokens_computed=_mean(sample.tokens_computed for sample in samples),
        tokens_cached=_mean(sample.tokens_cached for sample in samples),
        forwards=_mean(sample.forwards for sample in samples),
        background_rows=background_rows,
        background_forwards=background_forwards,
        as_recorded=_mean(sample.as_recorded for sample in samples),
        same_best=_mean(sample.same_best for sample in samples),
        logprob_off_max=max(_known(sample.logprob_off for sample in samples), default=None),
        total_variation_mean=_mean(variations),
        total_variation_max=max(variations, default=None),
        ratios={
            rival: ratio for rival, others in rivals.items() if (ratio := paired_ratio(samples, others)) is not None
        },
        samples=tuple(samples),
    )


def paired_ratio(samples: Sequence[TurnSample], others: Sequence[TurnSample]) -> float | None:
    """Return the ratio of the mean times, over the turns that have one in both."""
    pairs = [
        (mine.ttft_ms, other.ttft_ms)
        for mine, other in zip(samples, others, strict=True)
        if mine.ttft_ms is not None and other.ttft_ms is not None
    ]
    return sum(mine for mine, _ in pairs) / sum(other for _, other in pairs) if pairs else None


def _known(values: Any) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Any) -> float | None:
    known = _known(values)
    return statistics.fmean(known) if known else None


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value
