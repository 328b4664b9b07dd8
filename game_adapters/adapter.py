"""From a live PettingZoo environment to a turn in words, and from the chosen words back to the action's number.

A game fulfils `GameContract` (two methods); a class that also has the methods of `Narrator` puts more into the
observation, one with those of `SharedState` lets many agents share one state, and one with that of `Varying` can be
checked for what it keeps hidden.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol, runtime_checkable

import numpy as np

from game_adapters.environments import Environment, code_of, look
from game_adapters.errors import BadActionMask, BadActionNames, BadWords, NoLegalAction, UnknownAction
from game_adapters.game_state import Json, is_text, json_state


class GameContract(Protocol):
    """What a game must say about itself. Both methods are asked about the agent on turn and change nothing."""

    def describe(self, env: Environment, agent: str) -> Json:
        """The state as a JSON object, made of what `agent` may see and nothing else."""
        ...

    def action_names(self, env: Environment, agent: str) -> list[str]:
        """The agent's actions in words, legal or not: one line each, unique, the action's number as index."""
        ...


@runtime_checkable
class Narrator(Protocol):
    """A game that also words the observation: who the agent is, what just happened, what each action means now."""

    def observation(self, env: Environment, agent: str) -> str:
        """One or two sentences to the agent about this turn."""
        ...

    def action_texts(self, env: Environment, agent: str) -> list[str]:
        """One explanation an action, "" for none, in the order of `action_names`."""
        ...


@runtime_checkable
class SharedState(Protocol):
    """A game whose agents can share one state of a match, each with its own sight of it.

    `describe(env, agent)` equals `describe_match(env)` without what `sight(agent)` excludes.
    """

    def describe_match(self, env: Environment) -> Json:
        """The whole state, private parts included: for a server that keeps each session to its sight."""
        ...

    def sight(self, agent: str) -> tuple[str, ...]:
        """Patterns of what the agent may see, as `prompts.sight` reads them; empty: everything."""
        ...


@runtime_checkable
class Varying(Protocol):
    """A game that can deal anew what an agent does not see: so `conformance` checks that it stays hidden."""

    def vary_hidden(self, env: Environment, agent: str, random: Random) -> bool:
        """Change, in place, what `agent` cannot know (others' cards, orders); False if there is nothing of the kind."""
        ...


@dataclass(frozen=True, slots=True)
class ActionOffer:
    """One legal action: `id` is what the model writes, `text` explains it, `number` is what the environment takes."""

    id: str
    text: str
    number: int


@dataclass(frozen=True, slots=True)
class TurnView:
    """One agent's turn in words: what it sees, what it is told, and what it may answer.

    Of its `num_actions` actions, legal or not, the environment's numbers are `first_number` and on.
    """

    game: str
    agent: str
    state: Json
    observation_text: str
    actions: tuple[ActionOffer, ...]
    num_actions: int
    first_number: int = 0

    def number(self, action_id: str) -> int:
        """The environment's number of an offered action; raises UnknownAction."""
        for offer in self.actions:
            if offer.id == action_id:
                return offer.number
        raise UnknownAction(self.game, self.agent, action_id, tuple(offer.id for offer in self.actions))


def plays_for_reward(contract: GameContract) -> bool:
    """Whether what counts in a game is how much is gained, as chips are, and not how often: its class says so.

    The attribute is `plays_for_reward`; without it a match is won, drawn or lost.
    """
    return bool(getattr(contract, "plays_for_reward", False))


class PettingZooAdapter:
    """Turns of any AEC or parallel environment with Discrete actions. Holds no match: the environment is the state."""

    def __init__(self, game: str, contract: GameContract) -> None:
        self.game = game
        self.contract = contract
        self._narrator = contract if isinstance(contract, Narrator) else None
        self._good_names: list[str] = []
        """Those that were checked last: most games name their actions alike in every turn."""

    def turn(
        self,
        env: Environment,
        agent: str | None = None,
        observation: object = None,
        info: Mapping[str, Any] | None = None,
    ) -> TurnView | None:
        """The turn of `agent` (AEC default: the one on turn). None if it is dead: step the environment with None then.

        `observation` and `info` are for parallel environments, which do not keep them: the agent's own, as `reset` or
        `step` returned them; needed where the observation has an action_mask. Raises GameAdapterError.
        """
        shown = look(self.game, env, agent, observation, info)
        if shown is None:
            return None
        agent = shown.agent
        legal = legal_indices(self.game, agent, shown.num_actions, shown.observation, shown.info)
        names = self._checked_names(env, agent, shown.num_actions)
        texts = [""] * len(names)
        text = f"You are {agent}. It is your turn."
        if self._narrator is not None:
            with code_of(self.game, f"observation for {agent!r}"):
                text = self._narrator.observation(env, agent)
            with code_of(self.game, f"action_texts for {agent!r}"):
                texts = self._narrator.action_texts(env, agent)
            self._check_words(agent, text, texts)
            if len(texts) != len(names):
                raise BadActionNames(self.game, agent, f"{len(names)} names but {len(texts)} texts")
        with code_of(self.game, f"describe for {agent!r}"):
            state = self.contract.describe(env, agent)
        return TurnView(
            game=self.game,
            agent=agent,
            state=json_state(self.game, agent, state),
            observation_text=text,
            actions=tuple(ActionOffer(names[index], texts[index], shown.first_number + index) for index in legal),
            num_actions=shown.num_actions,
            first_number=shown.first_number,
        )

    def offers(
        self,
        env: Environment,
        agent: str | None = None,
        observation: object = None,
        info: Mapping[str, Any] | None = None,
    ) -> tuple[ActionOffer, ...] | None:
        """The actions of a `turn` alone, without texts: half of its time, for whoever needs no words."""
        shown = look(self.game, env, agent, observation, info)
        if shown is None:
            return None
        legal = legal_indices(self.game, shown.agent, shown.num_actions, shown.observation, shown.info)
        names = self._checked_names(env, shown.agent, shown.num_actions)
        return tuple(ActionOffer(names[index], "", shown.first_number + index) for index in legal)

    def _checked_names(self, env: Environment, agent: str, num_actions: int) -> list[str]:
        with code_of(self.game, f"action_names for {agent!r}"):
            names = self.contract.action_names(env, agent)
        if not isinstance(names, (list, tuple)):
            raise BadActionNames(self.game, agent, f"it returned {names!r}; a list with a name an action is wanted")
        names = list(names)
        if len(names) != num_actions:
            raise BadActionNames(self.game, agent, f"{num_actions} actions but {len(names)} names")
        if all(isinstance(name, str) for name in names) and names == self._good_names:
            return names
        seen: dict[str, int] = {}
        for index, name in enumerate(names):
            if not isinstance(name, str) or not name.strip() or len(name.splitlines()) != 1:
                raise BadActionNames(self.game, agent, f"action {index} is {name!r}; a name is one line of text")
            if not is_text(name):
                raise BadActionNames(self.game, agent, f"action {index}, {name!r}, holds half of a surrogate pair")
            first = seen.setdefault(" ".join(name.split()), index)
            if first != index:
                raise BadActionNames(self.game, agent, f"actions {first} and {index} are both named {name!r}")
        self._good_names = names
        return list(names)

    def _check_words(self, agent: str, text: object, texts: object) -> None:
        if not is_text(text):
            raise BadWords(self.game, agent, "observation", f"it returned {text!r}; a sentence is wanted")
        if not isinstance(texts, (list, tuple)):
            raise BadWords(self.game, agent, "action_texts", f"it returned {texts!r}; a list of sentences is wanted")
        for index, each in enumerate(texts):
            if not is_text(each):
                raise BadWords(
                    self.game, agent, "action_texts", f"that of action {index} is {each!r}; write a sentence, or ''"
                )


def match_state(game: str, contract: SharedState, env: Environment, agent: str) -> tuple[Json, object]:
    """The whole state of a match, and the very object that the game returned. Raises GameAdapterError."""
    with code_of(game, f"describe_match for {agent!r}"):
        given = contract.describe_match(env)
    return json_state(game, agent, given), given


def sight_of(game: str, contract: SharedState, agent: str) -> tuple[str, ...]:
    """The patterns of what an agent may see. Raises GameAdapterError."""
    with code_of(game, f"sight({agent!r})"):
        patterns = contract.sight(agent)
    if not isinstance(patterns, (list, tuple)) or not all(map(is_text, patterns)):
        raise BadWords(game, agent, "sight", f"it returned {patterns!r}; a tuple of patterns is wanted")
    return tuple(patterns)


def legal_indices(
    game: str, agent: str, num_actions: int, observation: object, info: Mapping[str, Any]
) -> tuple[int, ...]:
    """The legal actions: the observation's action_mask, else the info's, else all. Index 0 is the space's start."""
    mask = observation.get("action_mask") if isinstance(observation, Mapping) else None
    if mask is None:
        mask = info.get("action_mask")
    if mask is None:
        return tuple(range(num_actions))
    values = _mask_values(game, agent, num_actions, mask)
    legal = tuple(int(index) for index in np.flatnonzero(values))
    if not legal:
        raise NoLegalAction(game, agent)
    return legal


def _mask_values(game: str, agent: str, num_actions: int, mask: Sequence[float]) -> "np.ndarray[Any, Any]":
    try:
        values = np.asarray(mask)
    except ValueError:
        raise BadActionMask(game, agent, f"its parts are of different lengths. Return {num_actions} numbers.") from None
    if values.dtype.kind not in "biuf":
        raise BadActionMask(game, agent, f"its values are {values.dtype}, not numbers. Return 0 or 1 an action.")
    if values.shape != (num_actions,):
        raise BadActionMask(game, agent, f"its shape is {values.shape} for {num_actions} actions.")
    wrong = np.flatnonzero((values != 0) & (values != 1))
    if wrong.size:
        raise BadActionMask(game, agent, f"action {wrong[0]} has {values[wrong[0]]}. Return 0 or 1 an action.")
    return values
