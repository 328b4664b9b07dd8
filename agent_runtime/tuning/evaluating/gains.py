"""What a player's seat gained, match by match: its score and reward, and by how much it is above another's.

A match is won, drawn or lost by the sign of what the player's seat gained; one that is played alone is won by success.
That is the score. A cluster is a seed: its matches, one a seat, have the same cards. A report keeps every player's
gains in the order of the matches, and match n is of the same seed and seat in every contest of a game, however many
are played: so players who were measured apart are compared match by match, over those that both have played.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent_runtime.tuning.evaluating.findings import Clusters

RANDOM, EXPERT, BEST_CONSTANT = "random", "expert", "best constant"
Measure = Literal["score", "reward"]
_SUCCESS: Mapping[str, float] = {"textworld": 0.999}
"""What has to be gained by who plays alone, where it is not just anything: TextWorld pays for steps on the way."""


@dataclass(frozen=True, slots=True)
class Counting:
    """How matches of a game count; of each seed there is one for each of `num_seats`."""

    game: str
    is_alone: bool
    num_seats: int

    def points(self, reward: float) -> float:
        """Return 1 for a match that was won, 0.5 for a draw, 0 for a loss."""
        if self.is_alone:
            return float(reward > _SUCCESS.get(self.game, 0.0))
        return 0.5 + 0.5 * ((reward > 0) - (reward < 0))


@dataclass(frozen=True, slots=True)
class Gains:
    """What one player gained, by match."""

    counting: Counting
    rewards: tuple[float, ...]

    @classmethod
    def of_game(cls, game: Mapping[str, Any]) -> dict[str, "Gains"]:
        """Return the gains that a report of a contest keeps, by player.

        Raises ValueError if they are not of its matches, or do not add up to what it says of its players.
        """
        counting = Counting(game["game"], game["opponent"] is None, len(game["seats"]))
        found = {name: cls(counting, _numbers(text)) for name, text in game["rewards"].items()}
        if {*found} != {*game["players"]}:
            raise ValueError(f"the rewards of {game['game']} are not those of its players")
        for name, gains in found.items():
            if len(gains.rewards) != game["matches"]:
                raise ValueError(f"{name} has not as many rewards as {game['game']} has matches")
            said = {what: game["players"][name][what] for what in ("score", "reward")}
            if said != gains.report():
                raise ValueError(f"the rewards of {name} in {game['game']} do not add up to its score and reward")
        return found

    @property
    def text(self) -> str:
        """Return the rewards as one text, which takes a line whatever their number, and reads back as they are."""
        return " ".join(repr(float(each)).removesuffix(".0") for each in self.rewards)

    @property
    def points(self) -> list[float]:
        """Return the score of every match."""
        return [self.counting.points(each) for each in self.rewards]

    @property
    def results(self) -> dict[str, int]:
        """Return how many matches were won, drawn and lost."""
        points = self.points
        return {name: points.count(worth) for name, worth in (("won", 1.0), ("drawn", 0.5), ("lost", 0.0))}

    def means(self, measure: Measure) -> tuple[float, float]:
        """Return the mean by a measure, and by the other for those that are equal."""
        means = (self._clusters(self.points).mean, self._clusters(self.rewards).mean)
        return means if measure == "score" else means[::-1]

    def report(self) -> dict[str, Any]:
        """Return score and reward as the JSON report has them."""
        return self._reported(self.points, self.rewards, is_difference=False)

    def is_of(self, other: "Gains") -> bool:
        """Whether the same player, who draws alike in every contest, gained the same in the matches of both."""
        both = zip(self.rewards, other.rewards, strict=False)
        return self.counting == other.counting and all(one == another for one, another in both)

    def above(self, other: "Gains") -> dict[str, Any]:
        """Return by how much this player is above another, as the JSON report has it, over the matches of both."""
        points = [one - another for one, another in zip(self.points, other.points, strict=False)]
        rewards = [one - another for one, another in zip(self.rewards, other.rewards, strict=False)]
        return self._reported(points, rewards, is_difference=True)

    def _reported(self, points: Sequence[float], rewards: Sequence[float], *, is_difference: bool) -> dict[str, Any]:
        score = self._clusters(points).in_points(is_difference=is_difference)
        return {"score": score.report(), "reward": self._clusters(rewards).report()}

    def _clusters(self, values: Sequence[float]) -> Clusters:
        clusters, size = Clusters(), self.counting.num_seats
        for first in range(0, len(values), size):
            seed = values[first : first + size]
            clusters.add(sum(seed), len(seed))
        return clusters


def is_model(player: str) -> bool:
    """Whether a report's player is the model in one of its modes."""
    return player not in (RANDOM, EXPERT) and not player.startswith(BEST_CONSTANT)


def differences(gains: Mapping[str, Gains]) -> dict[str, Any]:
    """Return, as a report has it, what modes cost against the first, and how far each is above who has no model.

    `cost` is the first mode less the other one: above 0 where the other one is worse.
    """
    models, others = [name for name in gains if is_model(name)], [name for name in gains if not is_model(name)]
    return {
        "cost": {name: gains[models[0]].above(gains[name]) for name in models[1:]},
        "above": {name: {other: gains[name].above(gains[other]) for other in others} for name in models},
    }


def texts_of(gains: Mapping[str, Gains]) -> dict[str, str]:
    """Return the gains of all players as a report keeps them."""
    return {name: each.text for name, each in gains.items()}


def _numbers(text: str) -> tuple[float, ...]:
    numbers = tuple(map(float, text.split()))
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a reward is no finite number")
    return numbers
