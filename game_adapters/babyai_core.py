"""A BabyAI mission as a `core_env.Core`, with a memory of what the agent has seen."""

from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from random import Random
from typing import Any

import gymnasium
import minigrid  # noqa: F401  # registers its levels
from minigrid.core.constants import COLOR_NAMES

from game_adapters.babyai import ACTIONS
from game_adapters.errors import BadOption
from game_adapters.game_state import Json

LEFT, RIGHT, FORWARD, PICK_UP, DROP, TOGGLE = range(6)
_NAMED = ("GoToRedBall", "GoToLocal", "GoTo", "Open", "PickupLoc", "Pickup", "UnlockLocal", "Unlock", "PutNextLocal")
Cell = tuple[int, int]


class BabyAICore:
    """One level; each game is a mission of it. `grid` is minigrid's own environment."""

    name = "babyai"
    agents = ("explorer_0",)
    to_move = "explorer_0"
    num_actions = len(ACTIONS)
    num_numbers = 7 * 7 * 3 + 1

    def __init__(self, level: str, steps: int) -> None:
        if f"BabyAI-{level}-v0" not in gymnasium.registry:
            raise BadOption("babyai", "level", f"there is no BabyAI-{level}-v0; try {', '.join(_NAMED)}.")
        if steps < 1:
            raise BadOption("babyai", "steps", f"{steps} steps leave no turn; at least 1.")
        self.level = level
        self.steps = steps
        self.grid: Any = gymnasium.make(f"BabyAI-{level}-v0", disable_env_checker=True).unwrapped

    def begin(self, seed: int) -> None:
        """Make the mission and the map of the seed."""
        with redirect_stdout(StringIO()):  # minigrid prints each map that it draws and throws away
            self._observed = self.grid.reset(seed=seed % 2**32)[0]
        self.is_over = False
        self.num_steps = 0
        self._seen: set[Cell] = set()
        self._visible: dict[Cell, tuple[int, int]] = {}
        self._look()

    @property
    def is_cut(self) -> bool:
        """Whether the steps are used up."""
        return not self.is_over and self.num_steps >= self.steps

    def legal(self) -> Sequence[int]:
        """To turn can always be done; the rest only if it changes something."""
        ahead = self._at(self._ahead())
        carried = self.grid.carrying
        legal = [LEFT, RIGHT]
        if ahead is None or ahead.can_overlap():
            legal.append(FORWARD)
        if ahead is not None and ahead.can_pickup() and carried is None:
            legal.append(PICK_UP)
        if ahead is None and carried is not None:
            legal.append(DROP)
        if ahead is not None and ahead.type in ("door", "box"):
            legal.append(TOGGLE)
        return legal

    def act(self, action: int) -> dict[str, float]:
        """Do it; the gain is minigrid's: near 1 for a mission soon fulfilled, 0 otherwise."""
        self._observed, reward, terminated, _, _ = self.grid.step(action)
        self.num_steps += 1
        self.is_over = bool(terminated)
        self._look()
        return {"explorer_0": float(reward)}

    def numbers(self, agent: str) -> Sequence[float]:
        """What minigrid shows (7 x 7 squares: kind, colour, state) and the direction."""
        image = (self._observed["image"] / 10.0).flatten().tolist()
        return [*image, float(self._observed["direction"]) / 3.0]

    # In words.

    @property
    def mission(self) -> str:
        """What is asked of the agent."""
        return str(self.grid.mission)

    @property
    def place(self) -> tuple[int, int, int]:
        """Column, row, and direction (0 east, 1 south, 2 west, 3 north)."""
        column, row = self.grid.agent_pos
        return int(column), int(row), int(self.grid.agent_dir)

    @property
    def carried(self) -> str | None:
        """The thing that the agent carries."""
        return None if self.grid.carrying is None else _named(self.grid.carrying)

    def things(self) -> tuple[Json, Json]:
        """What lies and stands on the map, by its square: what was seen, and what was not."""
        seen: Json = {}
        unseen: Json = {}
        for cell, thing in self._things():
            column, row = cell
            told = {"thing": _named(thing), "column": column, "row": row, "state": _state(thing)}
            (seen if cell in self._seen else unseen)[f"{column},{row}"] = told
        return seen, unseen

    def way(self, turn: int) -> str:
        """How far it is free in a direction (-1 left, 0 ahead, 1 right), and what is behind that, as far as seen."""
        (column, row), (dx, dy) = self.grid.agent_pos, _step(self.grid.agent_dir + turn)
        free = 0
        while True:
            cell = (int(column) + dx * (free + 1), int(row) + dy * (free + 1))
            if cell not in self._seen:
                return f"{free}, then unknown"
            thing = self._at(cell)
            if thing is not None:
                state = _state(thing)
                return f"{free}, then {state + ' ' if state else ''}{_named(thing)}"
            free += 1

    def in_sight(self) -> Iterator[str]:
        """The things that the agent sees now, and where from it."""
        for cell, thing in self._things():
            if cell in self._visible:
                ahead, right = self._visible[cell]
                aside = f", {abs(right)} {'right' if right > 0 else 'left'}" if right else ""
                yield f"{_named(thing)} {ahead} ahead{aside}"

    def vary_unseen(self, random: Random) -> bool:
        """Give a thing that was not seen another colour; False if all were."""
        cells = [cell for cell, _ in self._things() if cell not in self._seen]
        if not cells:
            return False
        thing = self._at(random.choice(cells))
        thing.color = random.choice([color for color in COLOR_NAMES if color != thing.color])
        return True

    def _things(self) -> Iterator[tuple[Cell, Any]]:
        for row in range(self.grid.height):
            for column in range(self.grid.width):
                thing = self._at((column, row))
                if thing is not None and thing.type != "wall":
                    yield (column, row), thing

    def _at(self, cell: Cell) -> Any:
        return self.grid.grid.get(*cell)

    def _ahead(self) -> Cell:
        column, row = self.grid.front_pos
        return int(column), int(row)

    def _look(self) -> None:
        """Take in what is in view: as minigrid cuts it, the agent in the middle of the bottom row."""
        _, mask = self.grid.gen_obs_grid()
        size = self.grid.agent_view_size
        column, row = (int(part) for part in self.grid.agent_pos)
        (fx, fy), (rx, ry) = _step(self.grid.agent_dir), _step(self.grid.agent_dir + 1)
        self._visible = {}
        for across in range(size):
            for down in range(size):
                ahead, right = size - 1 - down, across - size // 2
                cell = (column + fx * ahead + rx * right, row + fy * ahead + ry * right)
                inside = 0 <= cell[0] < self.grid.width and 0 <= cell[1] < self.grid.height
                if mask[across, down] and inside:
                    self._visible[cell] = (ahead, right)
        self._seen |= self._visible.keys()


def _step(direction: int) -> Cell:
    return ((1, 0), (0, 1), (-1, 0), (0, -1))[direction % 4]


def _named(thing: Any) -> str:
    return "wall" if thing.type == "wall" else f"{thing.color} {thing.type}"


def _state(thing: Any) -> str:
    """Of a door; "" for all else."""
    if thing.type != "door":
        return ""
    return "open" if thing.is_open else "locked" if thing.is_locked else "closed"
