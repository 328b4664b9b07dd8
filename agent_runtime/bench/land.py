"""Frames of a gamecore match, as its game would send them: a synthetic state, of which each frame changes a little.

Every frame gives some units another strength, which they never had before, and goes on to the next day; an agent is
then asked what one of the units does. So as many blocks have changed as units, and nothing that is asked was asked
before.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Any

from agent_runtime.engine.bench.errors import BadOption
from agent_runtime.tuning.data.gamecore.land import SMALLEST_LAND, make_land
from agent_runtime.tuning.data.gamecore.recipe import MOST_BLOCKS
from agent_runtime.tuning.data.generating import FOLDERS
from agent_runtime.turn import ActionOption, TurnRequest

GAME = "gamecore"
GAME_FOLDER = FOLDERS / GAME
# How long blocks may be: shorter ones say less than a record has to, and no record has more to say.
LEAST_TOKENS, MOST_TOKENS = 30, 120
# Above what any unit of a new land has.
_FIRST_HP = 100
# How many actions are listed, where nobody says how many and there are as many.
_ACTIONS = 16
# What is written in place of a listed action: digits, each of them a token that is chosen, and all else is forced.
NUM_WRITTEN = 16
WRITTEN: Mapping[str, Any] = MappingProxyType(
    {
        "id": "foresee",
        "schema": {
            "type": "object",
            "properties": {
                "days": {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0, "maximum": 9},
                    "minItems": NUM_WRITTEN,
                    "maxItems": NUM_WRITTEN,
                }
            },
            "required": ["days"],
        },
    }
)


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame and the question about it. `patch` leads here from the frame before."""

    frame: int
    state: dict[str, Any]
    patch: list[dict[str, Any]]
    observation: str
    actions: tuple[str, ...]

    def frame_text(self, match: str, *, whole: bool) -> str:
        """Return the frame as a message of the protocol."""
        change = {"state": self.state} if whole else {"patch": self.patch}
        return json.dumps({"type": "match.state", "match": match, "frame": self.frame, **change})

    def turn_text(self, session: str, *, writes: bool = False) -> str:
        """Return the question as a message of the protocol; `writes`: with parameters to be sampled as the answer."""
        actions = [dict(WRITTEN)] if writes else [{"id": action} for action in self.actions]
        asked = {"session": session, "turn_id": self.frame, "frame": self.frame, "observation": self.observation}
        decide = {"decide": {"how": "sample", "seed": self.frame}} if writes else {}
        return json.dumps({"type": "turn", **asked, **decide, "actions": actions})

    def request(self, session: str) -> TurnRequest:
        """Return the question as the runtime takes it."""
        actions = tuple(ActionOption(action) for action in self.actions)
        return TurnRequest(session, self.frame, self.frame, self.observation, actions)


class PlayedLand:
    """A land whose frames follow each other, each determined by the seed and its number."""

    def __init__(
        self, num_blocks: int, block_tokens: int, num_actions: int | None, num_changed: int, seed: int = 0
    ) -> None:
        """Make a land of `num_blocks` blocks, the rules' two among them. Raises BadOption for numbers out of range."""
        _check("--blocks", num_blocks, SMALLEST_LAND, MOST_BLOCKS)
        _check("--block-tokens", block_tokens, LEAST_TOKENS, MOST_TOKENS)
        self._random = Random(seed)
        land = make_land(self._random, "train", num_blocks, block_tokens)
        self.state: dict[str, Any] = land.state
        self._units: list[dict[str, Any]] = self.state["units"]
        _check("--changed", num_changed, 0, len(self._units))
        self._changed = num_changed
        self._possible = self._all_actions()
        self.num_actions = min(_ACTIONS, len(self._possible)) if num_actions is None else num_actions
        _check("--actions", self.num_actions, 2, len(self._possible))
        self._frame = -1

    def next(self) -> Moment:
        """Change the state, and return what is sent of it."""
        self._frame += 1
        patch: list[dict[str, Any]] = []
        if self._frame:
            self.state["clock"]["day"] += 1
            patch.append({"op": "replace", "path": "/clock/day", "value": self.state["clock"]["day"]})
            for place in self._random.sample(range(len(self._units)), self._changed):
                self._units[place]["hp"] = _FIRST_HP + self._frame
                patch.append({"op": "replace", "path": f"/units/{place}/hp", "value": _FIRST_HP + self._frame})
        unit = self._random.choice(self._units)["id"]
        actions = tuple(self._random.sample(self._possible, self.num_actions))
        return Moment(self._frame, self.state, patch, f"You lead {unit}. What does it do?", actions)

    def _all_actions(self) -> Sequence[str]:
        attacks = [f"attack {unit['id']}" for unit in self._units]
        return ["hold", *attacks, *(f"go to {region['id']}" for region in self.state["regions"])]


def _check(option: str, number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        raise BadOption(option, f"{number} is out of range for gamecore: name {least} to {most}")
