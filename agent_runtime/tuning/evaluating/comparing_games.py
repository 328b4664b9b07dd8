"""Models and their modes side by side in the same matches of a game, each difference taken match by match.

A line is a contest: a game with its options against an opponent. Match n has the same seed, seat and draws wherever it
is played, so that models of several evaluations are paired over the matches that both have played. That it is the same
match shows in who plays at random: where that player did not gain the same, the game or its opponent has changed, and
the contest has a line of its own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_runtime.tuning.evaluating.columns import Column, Pair, difference_name
from agent_runtime.tuning.evaluating.gains import RANDOM, Gains, is_model

# What a line tells of a player besides its gains.
_TOLD = ("won", "drawn", "lost", "action", "agreement", "legal_mass", "legal_anyway")


@dataclass(frozen=True, slots=True)
class _Played:
    """A contest as one model has played it."""

    game: Mapping[str, Any]
    gains: Mapping[str, Gains]

    @property
    def key(self) -> str:
        """Return what is played against whom."""
        said = [self.game[name] for name in ("game", "options", "opponent", "wander", "seats", "measure")]
        return json.dumps(said, sort_keys=True)

    def is_of(self, other: "_Played") -> bool:
        """Whether both are of the same matches, as far as both have played them."""
        return self.key == other.key and self.gains[RANDOM].is_of(other.gains[RANDOM])


_Line = dict[str, _Played]


def compare_games(
    models: Mapping[str, Mapping[str, Any]], columns: Sequence[Column], pairs: Sequence[Pair]
) -> list[dict[str, Any]]:
    """Return a line for each contest, as the JSON comparison has it; `models` are reports by name."""
    lines: list[_Line] = []
    for model, report in models.items():
        for game in report.get("games", ()):
            played = _Played(game, Gains.of_game(game))
            line = next((line for line in lines if model not in line and all(map(played.is_of, line.values()))), None)
            if line is None:
                lines.append({model: played})
            else:
                line[model] = played
    return [_line(line, columns, pairs) for line in lines]


def _line(line: _Line, columns: Sequence[Column], pairs: Sequence[Pair]) -> dict[str, Any]:
    most = max(line.values(), key=lambda played: int(played.game["matches"]))
    alone = [name for name in most.gains if not is_model(name)]
    in_it = [each for each in columns if each.model in line and each.condition in line[each.model].gains]
    gains = {each: line[each.model].gains[each.condition] for each in in_it}
    return {
        **{name: most.game[name] for name in ("game", "options", "opponent", "wander", "seats", "matches", "measure")},
        "players": {each.name: _player(line[each.model].game, each.condition) for each in in_it},
        "alone": {name: _player(most.game, name) for name in alone},
        "differences": {
            difference_name(one, other): gains[one].above(gains[other])
            for one, other in pairs
            if one in gains and other in gains
        },
        "above": {each.name: {name: gains[each].above(most.gains[name]) for name in alone} for each in in_it},
    }


def _player(game: Mapping[str, Any], name: str) -> dict[str, Any]:
    player = game["players"][name]
    return {
        "matches": game["matches"],
        "score": player["score"],
        "reward": player["reward"],
        **{told: player[told] for told in _TOLD if told in player},
    }
