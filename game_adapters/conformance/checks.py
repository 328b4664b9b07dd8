"""The checks of what a game and its environment say. Each yields what is wrong, with the place and what to do, and
returns what was seen; NotChecked says why there was nothing to see."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from game_adapters.adapter import TurnView, Varying, match_state, sight_of
from game_adapters.conformance.counting import TokenCounts
from game_adapters.conformance.playing import Played, Player, Seen, some
from game_adapters.environments import code_of
from game_adapters.errors import (
    BadActionMask,
    BadActionNames,
    BadGameState,
    GameAdapterError,
    NoLegalAction,
)
from game_adapters.game_state import Json, json_state, pointer_label
from game_adapters.stepping import Waiting
from prompts import Game
from prompts.sight import HIDDEN, Sight

# What a turn takes of one action's name (agent_runtime.actions.MAX_ANSWER_TOKENS).
MOST_NAME_TOKENS = 64
_MOMENTS = 5
_VARIATIONS = 2
_TRIED_ACTIONS = 8


@dataclass(frozen=True, slots=True)
class Broken:
    """A failure that an error of the game is the cause of: told once, whichever checks meet it."""

    what: str
    error: GameAdapterError

    def __str__(self) -> str:
        return self.what


Check = Generator[str | Broken, None, str]


class NotChecked(Exception):
    """There is no occasion for a check; the reason in words."""


@dataclass(frozen=True, slots=True)
class Material:
    """What the checks look at: the game and how to play it, what was played, and its folder if that could be loaded."""

    player: Player
    games: Sequence[Played]
    folder: Game | None
    count: TokenCounts
    context: int | None = None
    is_exact: bool = False
    """Whether tokens are counted or estimated."""
    advice: list[str] = field(default_factory=list)

    def turns(self) -> Iterator[tuple[Played, int, Seen]]:
        """Every turn, with its game and the number of its moment."""
        for played in self.games:
            for number, seen in played.turns:
                yield played, number, seen

    def errors(self, *kinds: type[GameAdapterError]) -> Iterator[str]:
        """What ended games before their time, of these kinds; without any, of those that no other check names."""
        of_others = (BadActionMask, NoLegalAction, BadActionNames, BadGameState)
        for played in self.games:
            error = played.error
            if error is not None and (isinstance(error, kinds) if kinds else not isinstance(error, of_others)):
                yield f"{error} (seed {played.seed}, step {len(played.moments)})"


def at(played: Played, number: int, agent: str) -> str:
    """The place of a turn, in words."""
    return f"seed {played.seed}, step {number}, {agent!r}"


def check_turns(material: Material) -> Check:
    """Every turn can be put into words; the environment raises nothing and says no NaN."""
    yield from material.errors()
    num_turns = sum(1 for _ in material.turns())
    return f"{num_turns} turns of {len(material.games)} games, {sum(len(p.moments) for p in material.games)} steps"


def check_mask(material: Material) -> Check:
    """What the mask allows can be done, and there is always something."""
    yield from material.errors(BadActionMask, NoLegalAction)
    num_tried = 0
    for played in material.games:
        if played.illegal is not None:
            yield (
                f"seed {played.seed}: the environment calls an action illegal that its mask allows ({played.illegal}). "
                "Let action_mask say what step takes."
            )
        for number in some(played, 3):
            if played.error is not None and number == len(played.moments) - 1:
                continue  # here a step failed, whatever is done
            for seen in played.moments[number].turns:
                for offer in Random(number).sample(seen.view.actions, min(len(seen.view.actions), _TRIED_ACTIONS)):
                    there = material.player.again(played, number)
                    if there is None:
                        continue
                    actions = {**played.moments[number].actions, seen.view.agent: offer.number}
                    num_tried += 1
                    try:
                        illegal = material.player.step(there[0], actions, {seen.view.agent: offer.id})
                    except GameAdapterError as error:
                        yield f"{at(played, number, seen.view.agent)}: the mask allows {offer.id!r}, but {error}"
                        continue
                    if illegal:
                        yield (
                            f"{at(played, number, seen.view.agent)}: the mask allows {offer.id!r} and the environment "
                            "calls it illegal. Let action_mask say what step takes."
                        )
    return f"{num_tried} offered actions were taken, each from its own moment"


def check_names(material: Material) -> Check:
    """Names: one for each action, unique, on one line, short."""
    yield from material.errors(BadActionNames)
    most = 0
    for played, number, seen in material.turns():
        for offer in seen.view.actions:
            tokens = material.count.text(offer.id)
            most = max(most, tokens)
            if tokens >= MOST_NAME_TOKENS:
                yield (
                    f"{at(played, number, seen.view.agent)}: the name {offer.id[:40]!r}... has {tokens} tokens, and a "
                    f"turn takes {MOST_NAME_TOKENS - 1}. Give it a short name and explain it in action_texts."
                )
    return f"unique, on one line, up to {most} tokens"


def check_state(material: Material) -> Check:
    """Describe returns JSON, a new object each time."""
    yield from material.errors(BadGameState)
    for played, number, seen in material.turns():
        try:
            later = json_state(material.player.game, seen.view.agent, seen.given)
        except GameAdapterError:
            later = None
        if later != seen.match_state:
            yield (
                f"{at(played, number, seen.view.agent)}: the state that was returned changed afterwards"
                f"{_at_first_difference(later, seen.match_state)}. Return a new object each time, not the "
                "environment's own."
            )
    return "JSON, and a new object each time"


def check_seeds(material: Material) -> Check:
    """The same seed and the same actions give the same game."""
    for played in material.games:
        # What ended the first one may have come when it was looked at once more.
        again = material.player.play(played.seed, max(1, len(played.turns) + (played.error is not None)))
        for (number, one), (_, other) in zip(played.turns, again.turns, strict=False):
            if one.view != other.view:
                yield (
                    f"{at(played, number, one.view.agent)}: another game of this seed and these actions says something "
                    f"else{_view_difference(one.view, other.view)}. Draw everything from the seed that reset is given."
                )
                break
        else:
            if again.error is not None and played.error is None:
                yield Broken(f"{again.error} (seed {played.seed}, when it was played again)", again.error)
            elif len(played.turns) != len(again.turns) or (played.error is None) != (again.error is None):
                yield (
                    f"seed {played.seed}: another game of this seed and these actions ends after {len(again.turns)} "
                    f"turns instead of {len(played.turns)}. Draw everything from the seed that reset is given."
                )
    return "every game could be played again, word for word"


def check_looking(material: Material) -> Check:
    """To look changes nothing, neither what is seen next nor how the game goes on."""
    num_looks = 0
    for played in material.games:
        for number in some(played, _MOMENTS):
            there = material.player.again(played, number)
            for seen in played.moments[number].turns if there is not None else ():
                assert there is not None
                looks = [material.player.view(there[1][seen.view.agent]) for _ in range(2)]
                num_looks += 1
                if looks[0] != looks[1]:
                    yield (
                        f"{at(played, number, seen.view.agent)}: a second look says something else than the first"
                        f"{_view_difference(*looks)}. describe and the other methods must change nothing."
                    )
                elif looks[0] != seen.view:
                    yield (
                        f"{at(played, number, seen.view.agent)}: the game goes another way when nobody looks"
                        f"{_view_difference(seen.view, looks[0])}. describe and the other methods must change nothing."
                    )
    return f"{num_looks} turns looked at twice, and once without a look before"


def check_sight(material: Material) -> Check:
    """Describe is describe_match without what sight excludes."""
    shared = material.player.shared
    if shared is None:
        raise NotChecked("the class has no describe_match and sight, so its agents share no state")
    patterns: tuple[str, ...] = ()
    for played, number, seen in material.turns():
        patterns = sight_of(material.player.game, shared, seen.view.agent)
        through = Sight(patterns).see(seen.match_state, same_objects=False)
        if (found := {} if through is HIDDEN else through) != seen.view.state:
            yield (
                f"{at(played, number, seen.view.agent)}: describe, and describe_match through "
                f"sight {' '.join(patterns) or '(everything)'}, differ{_at_first_difference(seen.view.state, found)}. "
                "They must show the same."
            )
    return "describe shows what sight leaves of describe_match"


def check_hidden(material: Material) -> Check:
    """What an agent cannot know does not change what it sees."""
    player = material.player
    contract = player.contract
    if not isinstance(contract, Varying):
        raise NotChecked("the class has no vary_hidden(env, agent, random) that deals anew what the agent cannot know")
    num_varied, shows = 0, False
    for played in material.games:
        for number, variation in ((n, v) for n in some(played, _MOMENTS) for v in range(_VARIATIONS)):
            for seen in played.moments[number].turns:
                # The same moment twice, as it was and dealt anew: a game that minds being looked at fails elsewhere.
                as_it_was, anew = player.again(played, number), player.again(played, number)
                if as_it_was is None or anew is None:
                    continue
                agent = seen.view.agent
                with code_of(player.game, f"vary_hidden for {agent!r}"):
                    varied = contract.vary_hidden(anew[0].env, agent, Random(f"{played.seed}/{number}/{variation}"))
                if not varied:
                    continue
                num_varied += 1
                before, after = as_it_was[1][agent], anew[1][agent]
                one, other = player.view(before), player.view(after)
                shows = shows or _eyes_of_others(player, before, agent) != _eyes_of_others(player, after, agent)
                if one != other:
                    yield (
                        f"{at(played, number, agent)}: what it cannot know changes what it sees"
                        f"{_view_difference(one, other)}. Leave it out for this agent."
                    )
    if not num_varied:
        return "nothing is hidden from anybody, says vary_hidden"
    if not shows:
        raise NotChecked("what vary_hidden changes shows in nobody's state, so it may have changed nothing")
    return f"dealt anew {num_varied} times, and nobody saw it who should not"


def _eyes_of_others(player: Player, waiting: Waiting, agent: str) -> list[Json]:
    """What everybody else could see: the whole state if there is one, else each other agent's."""
    env = waiting.env
    if player.shared is not None:
        return [match_state(player.game, player.shared, env, agent)[0]]
    states: list[Json] = []
    for other in env.agents:
        if other != agent:
            try:
                states.append(json_state(player.game, other, player.contract.describe(env, other)))
            except Exception:  # a game need not describe those who are not on turn
                continue
    return states


def difference(one: Json, other: Json, where: str = "") -> str | None:
    """The first place, as a JSON Pointer, where two JSON values differ; "" is their root, None no difference."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            place = f"{where}/{pointer_label(key)}"
            if key not in one or key not in other:
                return place
            if (found := difference(one[key], other[key], place)) is not None:
                return found
        return None
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        parts = (difference(*pair, f"{where}/{i}") for i, pair in enumerate(zip(one, other, strict=True)))
        return next((found for found in parts if found is not None), None)
    return None if one == other and type(one) is type(other) else where


def _at_first_difference(one: Json, other: Json) -> str:
    place = difference(one, other)
    return f" at {place}" if place else ""


def _view_difference(one: TurnView, other: TurnView) -> str:
    pairs: dict[str, tuple[Any, Any]] = {
        "the agent": (one.agent, other.agent),
        "observation": (one.observation_text, other.observation_text),
        "the offered actions": ([o.id for o in one.actions], [o.id for o in other.actions]),
        "action_texts": ([o.text for o in one.actions], [o.text for o in other.actions]),
    }
    if (place := difference(one.state, other.state)) is not None:
        return f" (the state at {place or 'its root'})"
    return next((f" ({name})" for name, pair in pairs.items() if pair[0] != pair[1]), "")
