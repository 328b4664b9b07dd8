"""The figures of a replay's report by the names that `--fail-if` takes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from agent_runtime.replay.conditions import Metrics
from agent_runtime.replay.figures import LEAST_FOR_INTERVAL, PERCENTILES, Ratio, Times, turns_needed
from agent_runtime.replay.report import ModeReport, ReplayReport, lane_labels, rival_labels
from agent_runtime.turn import Mode

_Figure = Callable[[ModeReport], float | None]

_TIMES: Mapping[str, Callable[[ModeReport], Times | None]] = MappingProxyType(
    {
        "ttft": lambda mode: mode.ttft_ms,
        "engine": lambda mode: mode.engine_ms,
        "queue": lambda mode: mode.queue_ms,
        "late": lambda mode: mode.late_ms,
        "replayer": lambda mode: mode.replayer_ms,
    }
)
_FIGURES: Mapping[str, _Figure] = MappingProxyType(
    {
        "turns": lambda mode: mode.turns,
        "ok_rate": lambda mode: mode.outcomes.get("ok", 0) / mode.turns if mode.turns else None,
        "agreement": lambda mode: mode.as_recorded,
        "same_best": lambda mode: mode.same_best,
        "logprob_off_max": lambda mode: mode.logprob_off_max,
        "total_variation_mean": lambda mode: mode.total_variation_mean,
        "total_variation_max": lambda mode: mode.total_variation_max,
        "legal_mass_median": lambda mode: mode.legal_mass_median,
        "legal_mass_min": lambda mode: mode.legal_mass_min,
        "deadline_miss_rate": lambda mode: mode.deadline_miss_rate,
        "tokens_prompt": lambda mode: mode.tokens_prompt,
        "tokens_computed": lambda mode: mode.tokens_computed,
        "tokens_cached": lambda mode: mode.tokens_cached,
        "forwards": lambda mode: mode.forwards,
        "background_rows": lambda mode: mode.background_rows,
        "turns_per_s": lambda mode: mode.traffic.turns_per_s if mode.traffic else None,
        "unanswered": lambda mode: mode.traffic.unanswered if mode.traffic else None,
        "under_way_max": lambda mode: mode.traffic.under_way_max if mode.traffic else None,
        "wire_mean_ms": lambda mode: mode.traffic.shares_ms.wire if mode.traffic and mode.traffic.shares_ms else None,
        "cold_turns": lambda mode: mode.cold.turns,
        "cold_ttft_mean_ms": lambda mode: mode.cold.ttft_ms.mean if mode.cold.ttft_ms else None,
        "cold_ttft_max_ms": lambda mode: mode.cold.ttft_ms.max if mode.cold.ttft_ms else None,
    }
)
_WHY_NOT: Mapping[str, str] = MappingProxyType(
    {
        "agreement": "no turn has a recorded action",
        "same_best": "it is set against mode full, which was not replayed",
        "logprob_off_max": "it is set against mode full, which was not replayed",
        "total_variation_mean": "it is set against mode full, which was not replayed",
        "total_variation_max": "it is set against mode full, which was not replayed",
        "deadline_miss_rate": "no turn had a deadline",
        "background_rows": "a server does not tell it",
        "turns_per_s": "nothing went over a wire: that is for --url",
        "unanswered": "nothing went over a wire: that is for --url",
        "under_way_max": "nothing went over a wire: that is for --url",
        "wire_mean_ms": "nothing went over a wire: that is for --url",
        "cold_ttft_mean_ms": "no turn was a cold start",
        "cold_ttft_max_ms": "no turn was a cold start",
    }
)


def metrics_of(report: ReplayReport) -> Metrics:
    """Return the metrics of a report."""
    lanes, missing = {}, {}
    for mode in report.modes:
        lane = metric_label(mode.label)
        lanes[lane] = _figures(mode)
        for name, value in lanes[lane].items():
            if value is None:
                missing[f"{lane}.{name}"] = _why_not(mode, name)
    general = dict(_general(report))
    for name, value in general.items():
        if value is None and name.startswith("ratio."):
            missing[name] = f"the two share fewer than {LEAST_FOR_INTERVAL} turns that were no cold starts"
    return Metrics(general, lanes, missing)


def metrics_to_come(modes: Sequence[Mode]) -> Metrics:
    """Return the metrics that a replay in these modes will have, all without a value: their names can be checked."""
    rivals = rival_labels(modes)
    ratios = (_ratio_names(label, rival) for label in lane_labels(modes) for rival in rivals if rival != label)
    general = (*_GENERAL, *(name for names in ratios for name in names))
    return Metrics(dict.fromkeys(general), {metric_label(label): _figures(None) for label in lane_labels(modes)})


def metric_label(label: str) -> str:
    """Return a lane's label as conditions write it: `star (2)` is `star_2`."""
    return label.replace(" (", "_").replace(")", "")


def _figures(mode: ModeReport | None) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    for name, times_of in _TIMES.items():
        times = times_of(mode) if mode else None
        for part in ("mean", *PERCENTILES, "max"):
            figures[f"{name}_{part}_ms"] = getattr(times, part) if times else None
    return {**figures, **{name: figure(mode) if mode else None for name, figure in _FIGURES.items()}}


_GENERAL = ("refused", "warnings", "constant_agreement")


def _general(report: ReplayReport) -> Iterator[tuple[str, float | None]]:
    constant = report.constant_action
    values = (report.refused, len(report.warnings), constant.agreement if constant else None)
    yield from zip(_GENERAL, values, strict=True)
    rivals = rival_labels([mode.mode for mode in report.modes])
    for mode in report.modes:
        for rival in rivals:
            if rival != mode.label:
                ratio = mode.ratios.get(rival) or Ratio(0, None, None, 0)
                value = ratio.value if ratio.turns else None
                yield from zip(_ratio_names(mode.label, rival), (value, ratio.low, ratio.high), strict=True)


def _ratio_names(label: str, rival: str) -> tuple[str, str, str]:
    name = f"ratio.{metric_label(label)}_over_{metric_label(rival)}"
    return name, f"{name}_low", f"{name}_high"


def _why_not(mode: ModeReport, name: str) -> str:
    what, _, part = name.removesuffix("_ms").rpartition("_")
    if what == "late" or (what in _TIMES and _TIMES[what](mode) is None):
        return "no turn was due at a time of its own" if what == "late" else "no turn that was timed was warm"
    if part in PERCENTILES:
        return f"{part} needs {turns_needed(part)} turns that were no cold starts, and {mode.label} has fewer"
    return _WHY_NOT.get(name, "it was not measured")
