"""How players stand who have played the same matches: scores with intervals, and differences match by match.

What a game is played for is its score, or else its reward, as in games for chips, where who wins most often need not
gain most: the game says which, and by that measure the best constant is the best.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_runtime.tuning.evaluating.findings import Clusters
from agent_runtime.tuning.evaluating.gains import BEST_CONSTANT, Counting, Gains, Measure, differences, texts_of
from agent_runtime.tuning.evaluating.playing import Played

# Who always gives the same answer.
CONSTANT = "constant:"


def best_by(measure: Measure) -> str:
    """Return what the best constant by a measure is called that is not the game's own."""
    return f"{BEST_CONSTANT} by {measure}"


@dataclass(slots=True)
class Standing:
    """What one player has come to."""

    rewards: list[float] = field(default_factory=list)
    agreement: Clusters = field(default_factory=Clusters)
    decisions: int = 0
    legal_mass: float = 0.0
    legal_anyway: int = 0
    seconds: float = 0.0

    def report(self, gains: Gains, *, is_model: bool) -> dict[str, Any]:
        """Return it as the JSON report has it."""
        by_measure = gains.report()
        report: dict[str, Any] = {
            "score": by_measure["score"],
            **gains.results,
            "reward": by_measure["reward"],
            "decisions": self.decisions,
        }
        if is_model and self.decisions:
            report["decisions_per_s"] = round(self.decisions / self.seconds, 2) if self.seconds else None
            report["legal_mass"] = self.legal_mass / self.decisions
            report["legal_anyway"] = round(100 * self.legal_anyway / self.decisions, 2)
        if self.agreement.num_values:
            report["agreement"] = self.agreement.in_points().report()
        return report


class Standings:
    """All players of the same matches. The first of `models` is the measure of the others."""

    def __init__(
        self, counting: Counting, models: Sequence[str], others: Sequence[str], measure: Measure = "score"
    ) -> None:
        self.measure = measure
        self.models = tuple(models)
        self.players = {name: Standing() for name in (*models, *others)}
        self._counting = counting

    def add(self, seed: Mapping[str, Sequence[Played]]) -> None:
        """Take all matches of one seed, by player, in the same order of seats; seeds in theirs."""
        pairs = [each.pair for each in next(iter(seed.values()))]
        for name, matches in seed.items():
            assert [each.pair for each in matches] == pairs
            standing = self.players[name]
            standing.rewards += [each.reward for each in matches]
            standing.agreement.add(sum(each.agreed for each in matches), sum(each.judged for each in matches))
            standing.decisions += sum(each.decisions for each in matches)
            standing.legal_mass += sum(each.legal_mass for each in matches)
            standing.legal_anyway += sum(each.legal_anyway for each in matches)

    def report(self) -> dict[str, Any]:
        """Return it as the JSON report has it."""
        gains = {name: Gains(self._counting, tuple(each.rewards)) for name, each in self.players.items()}
        constants = {name: each for name, each in gains.items() if name.startswith(CONSTANT)}
        other: Measure = "score" if self.measure == "reward" else "reward"
        best = {
            label: max(constants, key=lambda name: constants[name].means(measure))
            for label, measure in ((BEST_CONSTANT, self.measure), (best_by(other), other))
        }
        shown = {name: name for name in self.players if name not in constants} | best
        players = {
            label: self.players[name].report(gains[name], is_model=name in self.models) for label, name in shown.items()
        }
        for label in best:
            players[label]["action"] = shown[label].removeprefix(CONSTANT)
        kept = {label: gains[name] for label, name in shown.items()}
        return {
            "measure": self.measure,
            "players": players,
            "constants": {
                name.removeprefix(CONSTANT): {"score": round(100 * score, 3), "reward": round(reward, 5)}
                for name, each in constants.items()
                for score, reward in (each.means("score"),)
            },
            **differences(kept),
            "rewards": texts_of(kept),
        }


def by_seed(played: Mapping[str, Iterable[Played]]) -> list[dict[str, list[Played]]]:
    """Return matches by seed and then by player, seeds and seats in the order of their pairs."""
    found: dict[int, dict[str, list[Played]]] = {}
    for name, matches in played.items():
        for each in sorted(matches, key=lambda each: each.pair.number):
            found.setdefault(each.pair.seed, {}).setdefault(name, []).append(each)
    return list(found.values())
