"""A generated TextWorld game as a `core_env.Core`: its facts read into rooms and things, with a memory of both."""

import re
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from random import Random
from typing import Any

import textworld
from textworld.challenges import tw_coin_collector, tw_cooking, tw_treasure_hunter  # noqa: F401  # they register
from textworld.challenges.tw_coin_collector import coin_collector
from textworld.challenges.tw_cooking import cooking
from textworld.challenges.tw_treasure_hunter import treasure_hunter
from textworld.envs.tw import TextWorldEnv
from textworld.generator.inform7 import Inform7Game

from game_adapters.errors import BrokenEnvironment
from game_adapters.game_state import Json
from game_adapters.textworld_game import NUM_SLOTS

_DIRECTIONS = ("north", "east", "south", "west")
# What a thing can be, as far as it tells one who looks.
_STATES = ("open", "closed", "locked", "eaten", "raw", "fried", "roasted", "grilled", "burned") + (
    *("uncut", "chopped", "sliced", "diced"),
)
_NO_NEWS = ("look", "inventory")
_COOKING_ROOMS = (1, 6, 9, 12)


class _Env(TextWorldEnv):  # type: ignore[misc]  # TextWorld ships no types
    """TextWorld's own logic on a game that is in memory already."""

    def __init__(self, game: Any) -> None:
        super().__init__(textworld.EnvInfos(policy_commands=True))
        self._game = game
        self._inform7 = Inform7Game(game)


class TextWorldCore:
    """One kind of game; a seed makes one of them."""

    name = "textworld"
    agents = ("adventurer_0",)
    to_move = "adventurer_0"
    num_actions = NUM_SLOTS
    num_numbers = 3

    def __init__(self, kind: str, rooms: int, objects: int, quest: int, steps: int) -> None:
        self.kind = kind
        self.steps = steps
        self._options = (kind, rooms, objects, quest)

    def begin(self, seed: int) -> None:
        """Generate the game of the seed (seconds) and begin it."""
        self.game = _generated(*self._options, seed % 2**31)
        self._env = _Env(self.game)
        self._state = self._env.reset()
        self.num_steps = 0
        self.score = 0
        self.read: dict[str, str] = {}
        self.visited: dict[str, None] = {}
        self._facts: list[tuple[str, ...]] = []
        self._take_in()

    @property
    def is_over(self) -> bool:
        """Whether the quest is fulfilled, or has become impossible."""
        return bool(self._state["won"] or self._state["lost"])

    @property
    def is_cut(self) -> bool:
        """Whether the steps are used up."""
        return not self.is_over and self.num_steps >= self.steps

    def legal(self) -> Sequence[int]:
        """The slots that hold a command."""
        return range(len(self.commands))

    def act(self, action: int) -> dict[str, float]:
        """Do a command. The gain is the share of the points that it brings, -1 if the quest is lost by it."""
        command = self.commands[action]
        before = self.score
        if command.startswith("examine "):
            thing = command.removeprefix("examine ")
            self.read[thing] = self._writing(thing)
        else:
            self._state, self.score, _ = self._env.step(command)
        self.num_steps += 1
        self._take_in()
        gain = (self.score - before) / max(1, self.max_score)
        return {"adventurer_0": -1.0 if self._state["lost"] else gain}

    def numbers(self, agent: str) -> Sequence[float]:
        """Time, points, and rooms visited, each as a share: the rest is words."""
        num_rooms = sum(info.type == "r" for info in self.game.infos.values())
        return [
            min(1.0, self.num_steps / self.steps),
            min(1.0, self.score / max(1, self.max_score)),
            len(self.visited) / max(1, num_rooms),
        ]

    # In words.

    @property
    def objective(self) -> str:
        """What the game asks for."""
        return " ".join(str(self.game.objective).split())

    @property
    def max_score(self) -> int:
        """The points that there are."""
        return int(self._state["max_score"])

    @property
    def room(self) -> str:
        """Where the agent is."""
        return self.named(self._first("at", "P")[1])

    @property
    def room_id(self) -> str:
        """Where the agent is, by the game's id."""
        return self._first("at", "P")[1]

    def room_of(self, thing: str) -> str | None:
        """The id of the room where a thing is, on something or not; seen or not."""
        things = {self.named(each): each for each in self.game.infos}
        place = next(
            (fact[2] for fact in self._facts if fact[0] in ("at", "on", "in") and fact[1] == things.get(thing)), None
        )
        return place if place is None or self.game.infos[place].type == "r" else self.room_of(self.named(place))

    @property
    def policy(self) -> Sequence[str]:
        """TextWorld's own commands from here to the end of the quest; none if it is lost."""
        return tuple(self._state["policy_commands"] or ())

    def rooms(self) -> Json:
        """The rooms that were visited: for each exit where it leads, or that this is not known, and the doors."""
        told: Json = {}
        for room in self.visited:
            exits: Json = {}
            for direction, there in self.exits(room).items():
                door = self.door(room, there)
                behind = self.named(there) if there in self.visited else "not visited yet"
                exits[direction] = behind if door is None else f"{behind}, through the {self.named(door)}"
            told[self.named(room)] = exits or {"none": "no way out"}
        return told

    def things(self) -> tuple[Json, Json]:
        """What the agent has or can see in rooms it visited, and what it cannot: where each is, and its state."""
        seen: Json = {}
        unseen: Json = {}
        for thing, (place, is_seen) in self._places().items():
            states = [state for state in _STATES if any(state == fact[0] and thing == fact[1] for fact in self._facts)]
            (seen if is_seen else unseen)[self.named(thing)] = {"at": place, "is": ", ".join(states)}
        return seen, unseen

    def exits(self, room: str) -> Mapping[str, str]:
        """Where a room's exits lead, by direction."""
        return {
            direction: fact[1]
            for direction in _DIRECTIONS
            for fact in self._facts
            if fact[0] == f"{direction}_of" and fact[2] == room
        }

    def door(self, room: str, other: str) -> str | None:
        """What stands between two rooms."""
        return next(
            (fact[2] for fact in self._facts if fact[0] == "link" and (fact[1], fact[3]) == (room, other)), None
        )

    def named(self, thing: str) -> str:
        """What the game calls a thing by its id."""
        return str(self.game.infos[thing].name or thing)

    def vary_unseen(self, random: Random) -> bool:
        """Take away something that was not seen; False if there is nothing of the kind."""
        hidden = [thing for thing, (_, is_seen) in self._places().items() if not is_seen and thing in self._movable()]
        if not hidden:
            return False
        gone = random.choice(hidden)
        self._facts = [fact for fact in self._facts if gone not in fact[1:]]
        return True

    def _take_in(self) -> None:
        """Read the facts, and what can be done."""
        self._facts = [(fact.name, *(variable.name for variable in fact.arguments)) for fact in self._state["_facts"]]
        self.visited[self._first("at", "P")[1]] = None
        offered = [command for command in self._state["admissible_commands"] if command not in _NO_NEWS]
        seen = {self.named(thing) for thing, (_, is_seen) in self._places().items() if is_seen}
        self.commands: tuple[str, ...] = tuple(c for c in offered if self._is_news(c, seen))
        if not 1 <= len(self.commands) <= NUM_SLOTS:
            raise BrokenEnvironment(
                "textworld", f"{len(self.commands)} commands are possible; 1 to {NUM_SLOTS} can be. Take fewer objects."
            )

    def _is_news(self, command: str, seen: Set[str]) -> bool:
        """Whether a command does something; to examine does only if there is something to read, and once."""
        if not command.startswith("examine "):
            return True
        thing = command.removeprefix("examine ")
        return thing in seen and thing not in self.read and bool(self._writing(thing))

    def _writing(self, thing: str) -> str:
        """What stands on a thing, if there is something to read: a text of several lines."""
        text = next((str(info.desc or "") for info in self.game.infos.values() if info.name == thing), "")
        lines = [line.strip() for line in text.splitlines() if re.search(r"\w", line)]
        return " ".join(lines) if len(lines) > 1 and "[" not in text else ""

    def _movable(self) -> list[str]:
        return [thing for thing, info in self.game.infos.items() if info.type in ("o", "f", "k")]

    def _places(self) -> dict[str, tuple[str, bool]]:
        """Where each thing is, and whether the agent can know."""
        told: dict[str, tuple[str, bool]] = {}
        rooms = {thing: room[0] for name, thing, *room in self._facts if name == "at" and thing != "P"}
        for thing, room in rooms.items():
            told[thing] = (f"in the {self.named(room)}", room in self.visited)
        for name, *arguments in self._facts:
            if name == "in" and arguments[1] == "I":
                told[arguments[0]] = ("you have it", True)
            elif name in ("in", "on") and arguments[1] in rooms:
                thing, holder = arguments
                room = rooms[holder]
                is_open = name == "on" or ("open", holder) in self._facts
                where = f"{name} the {self.named(holder)} in the {self.named(room)}"
                told[thing] = (where, room in self.visited and is_open)
            elif name == "link":
                first, door, second = arguments
                known = sorted(self.named(room) for room in (first, second) if room in self.visited)
                told[door] = (f"a door of the {' and the '.join(known or [self.named(first)])}", bool(known))
        return {thing: place for thing, place in sorted(told.items()) if thing in self.game.infos}

    def _first(self, *start: str) -> tuple[str, ...]:
        """The arguments of the first fact that begins so."""
        return next(fact[1:] for fact in self._facts if fact[: len(start)] == start)


@lru_cache(maxsize=64)
def _generated(kind: str, rooms: int, objects: int, quest: int, seed: int) -> Any:
    """The game of a seed; a game is never changed by being played."""
    options = textworld.GameOptions()
    options.seeds = seed
    if kind == "custom":
        options.nb_rooms, options.nb_objects, options.quest_length = rooms, objects, quest
        options.quest_breadth = 1
        return textworld.generator.make_game(options)
    if kind == "coin":
        return coin_collector.make({"level": quest}, options)
    if kind == "treasure":
        return treasure_hunter.make({"level": quest}, options)
    random = Random(f"cooking/{seed}")
    settings = {
        "recipe": min(3, quest),
        "take": min(3, quest),
        "go": next((size for size in _COOKING_ROOMS if size >= rooms), _COOKING_ROOMS[-1]),
        "open": True,
        "cook": random.random() < 0.7,
        "cut": random.random() < 0.7,
        "drop": False,
        "recipe_seed": seed,
        "split": None,
    }
    return cooking.make(settings, options)
