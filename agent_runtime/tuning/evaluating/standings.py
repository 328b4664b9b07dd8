"""How players stand who have played the same matches: scores with intervals, and differences match by match.

A match is won, drawn or lost by the sign of what the player's seat gained; one that is played alone is won by success.
That is the score. What a game is played for is its score, or else its reward, as in games for chips, where who wins
most often need not gain most: the game says which, and by that measure the best constant is the best.
A cluster is a seed: its matches, one a seat, have the same cards. Everything is kept as sums, whatever the number of
matches.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from agent_runtime.tuning.evaluating.findings import Clusters
from agent_runtime.tuning.evaluating.playing import Played

RANDOM, EXPERT = "random", "expert"
Measure = Literal["score", "reward"]
BEST_CONSTANT = "best constant"
# Who always gives the same answer.
CONSTANT = "constant:"
_SUCCESS: Mapping[str, float] = {"textworld": 0.999}
"""What has to be gained by who plays alone, where it is not just anything: TextWorld pays for steps on the way."""


def points(played: Played, game: str, is_alone: bool) -> float:
    """Return 1 for a match that was won, 0.5 for a draw, 0 for a loss."""
    if is_alone:
        return float(played.reward > _SUCCESS.get(game, 0.0))
    return 0.5 + 0.5 * ((played.reward > 0) - (played.reward < 0))


def best_by(measure: Measure) -> str:
    """Return what the best constant by a measure is called that is not the game's own."""
    return f"{BEST_CONSTANT} by {measure}"


@dataclass(slots=True)
class Standing:
    """What one player has come to."""

    score: Clusters = field(default_factory=Clusters)
    reward: Clusters = field(default_factory=Clusters)
    agreement: Clusters = field(default_factory=Clusters)
    results: dict[float, int] = field(default_factory=lambda: {1.0: 0, 0.5: 0, 0.0: 0})
    decisions: int = 0
    legal_mass: float = 0.0
    legal_anyway: int = 0
    seconds: float = 0.0

    def by(self, measure: Measure) -> tuple[float, float]:
        """Return the mean by a measure, and by the other for those that are equal."""
        means = (self.score.mean, self.reward.mean)
        return means if measure == "score" else means[::-1]

    def report(self, *, is_model: bool) -> dict[str, Any]:
        """Return it as the JSON report has it."""
        report: dict[str, Any] = {
            "score": self.score.in_points().report(),
            **dict(zip(("won", "drawn", "lost"), self.results.values(), strict=True)),
            "reward": self.reward.report(),
            "decisions": self.decisions,
        }
        if is_model and self.decisions:
            report["decisions_per_s"] = round(self.decisions / self.seconds, 2) if self.seconds else None
            report["legal_mass"] = self.legal_mass / self.decisions
            report["legal_anyway"] = round(100 * self.legal_anyway / self.decisions, 2)
        if self.agreement.num_values:
            report["agreement"] = self.agreement.in_points().report()
        return report


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much one player is above another in the same matches."""

    score: Clusters = field(default_factory=Clusters)
    reward: Clusters = field(default_factory=Clusters)

    def report(self) -> dict[str, Any]:
        """Return it as the JSON report has it."""
        return {"score": self.score.in_points().report(), "reward": self.reward.report()}


class Standings:
    """All players of the same matches. The first of `models` is the measure of the others."""

    def __init__(
        self, game: str, is_alone: bool, models: Sequence[str], others: Sequence[str], measure: Measure = "score"
    ) -> None:
        self.measure = measure
        self.models = tuple(models)
        self.players = {name: Standing() for name in (*models, *others)}
        self._game = game
        self._is_alone = is_alone
        pairs = [(models[0], name) for name in models[1:]]
        pairs += [(name, other) for name in models for other in others]
        self._differences = {pair: Difference() for pair in pairs}

    def add(self, seed: Mapping[str, Sequence[Played]]) -> None:
        """Take all matches of one seed, by player, in the same order of seats."""
        scores: dict[str, list[float]] = {}
        for name, matches in seed.items():
            standing = self.players[name]
            scores[name] = [points(each, self._game, self._is_alone) for each in matches]
            standing.score.add(sum(scores[name]), len(matches))
            standing.reward.add(sum(each.reward for each in matches), len(matches))
            standing.agreement.add(sum(each.agreed for each in matches), sum(each.judged for each in matches))
            standing.decisions += sum(each.decisions for each in matches)
            standing.legal_mass += sum(each.legal_mass for each in matches)
            standing.legal_anyway += sum(each.legal_anyway for each in matches)
            for result in scores[name]:
                standing.results[result] += 1
        for (above, below), difference in self._differences.items():
            assert [each.pair for each in seed[above]] == [each.pair for each in seed[below]]
            count = len(scores[above])
            difference.score.add(sum(scores[above]) - sum(scores[below]), count)
            gained = [sum(each.reward for each in seed[name]) for name in (above, below)]
            difference.reward.add(gained[0] - gained[1], count)

    def report(self) -> dict[str, Any]:
        """Return it as the JSON report has it."""
        first, *others = self.models
        constants = {name: each for name, each in self.players.items() if name.startswith(CONSTANT)}
        other: Measure = "score" if self.measure == "reward" else "reward"
        best = {
            label: max(constants, key=lambda name: constants[name].by(measure))
            for label, measure in ((BEST_CONSTANT, self.measure), (best_by(other), other))
        }
        shown = {name: name for name in self.players if name not in constants} | best
        players = {label: self.players[name].report(is_model=name in self.models) for label, name in shown.items()}
        for label in best:
            players[label]["action"] = shown[label].removeprefix(CONSTANT)
        baselines = {label: name for label, name in shown.items() if name not in self.models}
        return {
            "measure": self.measure,
            "players": players,
            "constants": {
                name.removeprefix(CONSTANT): {
                    "score": round(100 * each.score.mean, 3),
                    "reward": round(each.reward.mean, 5),
                }
                for name, each in constants.items()
            },
            "cost": {name: self._differences[first, name].report() for name in others},
            "above": {
                name: {label: self._differences[name, other].report() for label, other in baselines.items()}
                for name in self.models
            },
        }


def by_seed(played: Mapping[str, Iterable[Played]]) -> list[dict[str, list[Played]]]:
    """Return matches by seed and then by player, seeds and seats in the order of their pairs."""
    found: dict[int, dict[str, list[Played]]] = {}
    for name, matches in played.items():
        for each in sorted(matches, key=lambda each: each.pair.number):
            found.setdefault(each.pair.seed, {}).setdefault(name, []).append(each)
    return list(found.values())
