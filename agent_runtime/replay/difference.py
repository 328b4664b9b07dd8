"""Two replays of one recording compared: A was first, B is held against it.

Counts do not depend on the machine, so they must agree turn by turn: how each turn ended, its tokens, its forwards, its
likeliest action. Times are compared as ratios over the same turns, B over A. The two were measured at different times,
perhaps on different machines, and no interval knows of that; so for modes with a rival in the same replay (`full`,
`prefix`) the change of their ratio is told too: what slowed down a whole run is not in it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from agent_runtime.replay.conditions import Metrics
from agent_runtime.replay.errors import NotComparable
from agent_runtime.replay.figures import LEAST_FOR_INTERVAL, Ratio, ratio_of_means
from agent_runtime.replay.metrics import metric_label
from agent_runtime.replay.report import RIVALS
from agent_runtime.replay.samples import TurnSample
from agent_runtime.replay.saved_report import SavedMode, SavedReport
from agent_runtime.turn import Json

DIFF_FORMAT = "hotseat.replay.diff"
DIFF_VERSION = 1

COUNTS = ("outcome", "tokens_prompt", "tokens_computed", "tokens_cached", "forwards", "best")

# A turn's copy, session and turn_id, and how often they were used before.
_Name = tuple[int, str, int, int]


@dataclass(frozen=True, slots=True)
class LaneDifference:
    """One mode in both reports. `differing` says for each count in how many turns it differs, `first` names one.

    Without single turns in both reports, counts are compared as means, and ratios have no interval.
    """

    label: str
    a: SavedMode
    b: SavedMode
    turns: int
    lacking: int
    differing: Mapping[str, int]
    first: str | None
    ttft: Ratio | None
    engine: Ratio | None


@dataclass(frozen=True, slots=True)
class RatioChange:
    """A ratio within a replay, in A and in B, and B's over A's."""

    label: str
    rival: str
    change: Ratio


@dataclass(frozen=True, slots=True)
class Difference:
    """B against A. `origins` says in sentences in what they are not replays of the same thing in the same way.

    `must_agree` says whether every count has to be the same: same recording, same model and texts, in process.
    """

    a: SavedReport
    b: SavedReport
    origins: tuple[str, ...]
    must_agree: bool
    lanes: tuple[LaneDifference, ...]
    changes: tuple[RatioChange, ...]

    @property
    def counts_agree(self) -> bool:
        """Return whether every count of every turn is the same in both."""
        return not any(lane.differing or lane.lacking for lane in self.lanes)

    def as_json(self) -> dict[str, Json]:
        """Return it as `hotseat replay diff --json` prints it."""
        return {
            "format": DIFF_FORMAT,
            "version": DIFF_VERSION,
            "a": str(self.a.path),
            "b": str(self.b.path),
            "origins": list(self.origins),
            "must_agree": self.must_agree,
            "counts_agree": self.counts_agree,
            "modes": [_lane_json(lane) for lane in self.lanes],
            "ratio_changes": {f"{each.label} over {each.rival}": asdict(each.change) for each in self.changes},
            "findings": list(findings(self)),
        }


def compare(a: SavedReport, b: SavedReport) -> Difference:
    """Compare two reports. Raises NotComparable unless they are of one recording."""
    if a.recording_digest != b.recording_digest:
        raise NotComparable((a.path, a.recording, a.game), (b.path, b.recording, b.game))
    same_origin = a.digests == b.digests and a.model == b.model
    lanes = tuple(_compare_lane(label, a, b) for label in a.modes if label in b.modes)
    return Difference(
        a=a,
        b=b,
        origins=tuple(_origins(a, b)),
        must_agree=same_origin and "url" not in a.settings and "url" not in b.settings,
        lanes=lanes,
        changes=tuple(_changes(a, b)),
    )


def _origins(a: SavedReport, b: SavedReport) -> Iterator[str]:
    if a.model != b.model:
        yield f"A was replayed with {a.model}, B with {b.model}."
    differing = sorted(key for key in a.digests.keys() | b.digests.keys() if a.digests.get(key) != b.digests.get(key))
    if differing:
        yield f"What decisions depend on is not the same: {', '.join(differing)}."
    for what, mine, other in (("settings", a.settings, b.settings), ("environment", a.environment, b.environment)):
        for key in sorted(mine.keys() | other.keys()):
            if mine.get(key) != other.get(key) and key not in ("weights_digest", "model"):
                yield f"The {what} differ in {key}: {mine.get(key)} in A, {other.get(key)} in B."
    for one, two, where in ((a, b, "A"), (b, a, "B")):
        if alone := [label for label in one.modes if label not in two.modes]:
            yield f"Only {where} has {', '.join(alone)}."


def _compare_lane(label: str, a: SavedReport, b: SavedReport) -> LaneDifference:
    mine, other = a.modes[label], b.modes[label]
    if a.turns is None or b.turns is None:
        differing = {name: 1 for name in COUNTS if hasattr(mine, name) and getattr(mine, name) != getattr(other, name)}
        first = ", ".join(f"{name} {getattr(mine, name)} in A, {getattr(other, name)} in B" for name in differing)
        times = [(each.get("mean"), than.get("mean")) for each, than in _times(mine, other)]
        ttft, engine = (Ratio(than / each, None, None, 0) if each and than else None for each, than in times)
        lacking = abs(mine.turns - other.turns)
        return LaneDifference(label, mine, other, 0, lacking, differing, first or None, ttft, engine)
    turns_a, turns_b = _by_name(a.turns.get(label, ())), _by_name(b.turns.get(label, ()))
    pairs = [(turn, turns_b[name]) for name, turn in turns_a.items() if name in turns_b]
    counts = {name: sum(getattr(one, name) != getattr(two, name) for one, two in pairs) for name in COUNTS}
    return LaneDifference(
        label=label,
        a=mine,
        b=other,
        turns=len(pairs),
        lacking=len(turns_a.keys() ^ turns_b.keys()),
        differing={name: number for name, number in counts.items() if number},
        first=next(_different(pairs), None),
        ttft=_ratio(pairs, "ttft_ms"),
        engine=_ratio(pairs, "engine_ms"),
    )


def _times(mine: SavedMode, other: SavedMode) -> Iterator[tuple[Mapping[str, float], Mapping[str, float]]]:
    yield mine.ttft_ms, other.ttft_ms
    yield mine.engine_ms, other.engine_ms


def _by_name(turns: Iterable[TurnSample]) -> dict[_Name, TurnSample]:
    seen: Counter[tuple[int, str, int]] = Counter()
    named: dict[_Name, TurnSample] = {}
    for turn in turns:
        name = (turn.copy, turn.session, turn.turn_id)
        named[*name, seen[name]] = turn
        seen[name] += 1
    return named


def _different(pairs: Iterable[tuple[TurnSample, TurnSample]]) -> Iterator[str]:
    for one, two in pairs:
        for name in COUNTS:
            if getattr(one, name) != getattr(two, name):
                of_copy = f" of copy {one.copy}" if one.copy else ""
                yield (
                    f"turn {one.turn_id} of session {one.session!r}{of_copy}, {name} {getattr(one, name)} in A, "
                    f"{getattr(two, name)} in B"
                )


def _ratio(pairs: Iterable[tuple[TurnSample, TurnSample]], name: str) -> Ratio | None:
    known = [
        (getattr(two, name), getattr(one, name))
        for one, two in pairs
        if not one.cold and not two.cold and getattr(one, name) is not None and getattr(two, name) is not None
    ]
    return ratio_of_means([[each for each, _ in known]], [[each for _, each in known]])


def _changes(a: SavedReport, b: SavedReport) -> Iterator[RatioChange]:
    """Yield how the ratio of each mode over its rivals changed, on the turns that all four lanes timed."""
    if a.turns is None or b.turns is None:
        return
    both = [label for label in a.modes if label in b.modes]
    in_a, in_b = ({label: _warm(turns.get(label, ())) for label in both} for turns in (a.turns, b.turns))
    told: set[frozenset[str]] = set()
    for rival in (str(mode) for mode in RIVALS if mode in both):
        for label in both:
            pair = frozenset((label, rival))
            if len(pair) == 1 or pair in told:
                continue
            told.add(pair)
            above, below = (in_b[label], in_a[rival]), (in_a[label], in_b[rival])
            names = [name for name in in_a[label] if all(name in times for times in (*above, *below))]
            change = ratio_of_means(
                [[times[name] for name in names] for times in above],
                [[times[name] for name in names] for times in below],
            )
            if change is not None:
                yield RatioChange(label, rival, change)


def _warm(turns: Iterable[TurnSample]) -> dict[_Name, float]:
    return {name: turn.ttft_ms for name, turn in _by_name(turns).items() if turn.ttft_ms is not None and not turn.cold}


def findings(difference: Difference) -> Iterator[str]:
    """Yield in sentences what is the same, what is not, and what cannot be told."""
    for lane in difference.lanes:
        yield _on_counts(lane, difference.must_agree)
    for lane in difference.lanes:
        if lane.ttft is not None:
            yield f"{lane.label}: TTFT in B is {_on_ratio(lane.ttft)}"
    for each in difference.changes:
        yield f"{each.label} over {each.rival} in B is {_on_ratio(each.change)}"
    if not difference.lanes:
        yield "No mode is in both reports, so nothing is compared."


def _on_counts(lane: LaneDifference, must_agree: bool) -> str:
    if not lane.differing and not lane.lacking:
        of = f"all {lane.turns} turns" if lane.turns else "the means over all turns (single turns are not in both)"
        return f"{lane.label}: every count is the same in {of}."
    fault = " They depend on nothing that differs, so one of the two is wrong." if must_agree else ""
    lacking = f" {lane.lacking} turns are in one of them only." if lane.lacking else ""
    if not lane.differing:
        return f"{lane.label}:{lacking}{fault}"
    listed = ", ".join(f"{name} in {number}" if lane.turns else name for name, number in lane.differing.items())
    of = f" of {lane.turns} turns" if lane.turns else " differ as means"
    return f"{lane.label}: {listed}{of}; the first: {lane.first}.{lacking}{fault}"


def _on_ratio(ratio: Ratio) -> str:
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.3g} x that in A; without {LEAST_FOR_INTERVAL} turns in both there is no interval."
    what = f"{ratio.value:.3g} x that in A ({ratio.low:.3g} to {ratio.high:.3g}) over {ratio.turns} turns"
    if ratio.holds_one:
        return f"{what}: the interval contains 1, so no difference was measured."
    return f"{what}: {'a regression' if ratio.value > 1 else 'an improvement'}."


def metrics_of_difference(difference: Difference) -> Metrics:
    """Return what `--fail-if` may ask of a difference."""
    lanes = {metric_label(lane.label): dict(_lane_figures(lane)) for lane in difference.lanes}
    general: dict[str, float | None] = {"origins": len(difference.origins)}
    for each in difference.changes:
        name = f"ratio.{metric_label(each.label)}_over_{metric_label(each.rival)}_change"
        general |= {name: each.change.value, f"{name}_low": each.change.low, f"{name}_high": each.change.high}
    return Metrics(general, lanes)


def _lane_figures(lane: LaneDifference) -> Iterator[tuple[str, float | None]]:
    yield "differing_counts", sum(lane.differing.values()) + lane.lacking
    for name, ratio in (("ttft_ratio", lane.ttft), ("engine_ratio", lane.engine)):
        yield name, ratio.value if ratio else None
        yield f"{name}_low", ratio.low if ratio else None
        yield f"{name}_high", ratio.high if ratio else None
    for name, short in (("as_recorded", "agreement"), ("same_best", "same_best"), ("deadline_miss_rate",) * 2):
        before, after = getattr(lane.a, name), getattr(lane.b, name)
        yield f"{short}_change", None if before is None or after is None else after - before


def _lane_json(lane: LaneDifference) -> dict[str, Json]:
    return {
        "label": lane.label,
        "turns": lane.turns,
        "lacking": lane.lacking,
        "differing": dict(lane.differing),
        "first": lane.first,
        "ttft": asdict(lane.ttft) if lane.ttft else None,
        "engine": asdict(lane.engine) if lane.engine else None,
        "a": lane.a.model_dump(),
        "b": lane.b.model_dump(),
    }
