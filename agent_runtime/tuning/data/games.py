"""Samples from games with experts: each is a decision of an agent, and the answer is its expert's.

Episodes are played by the experts; with some probability an agent does anything legal instead, so that states come up
which experts avoid, and the answer is still the expert's. Of several probabilities each agent of an episode draws one:
so an expert meets who errs now and then, and who knows nothing. Prompts are made as a `Seat` makes them:
the state of the match cut under the agent's sight, persona, the turns that the session would remember, observation.

The seeds of the episodes of train, validation and test are different numbers modulo 3, and of what is decided in them
only the positions of the split are kept (`positions.py`): no position of a split is one of another, however often a
small game comes to it. A twentieth of all positions are those of test, so that a sample of it takes up to twenty times
as long as one of train.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, ClassVar

from agent_runtime.tuning.data.generating import check_split, random_of
from agent_runtime.tuning.data.positions import SHARES, split_of
from agent_runtime.tuning.errors import BadArgument
from agent_runtime.tuning.samples import SPLITS, Ask, Sample, Split
from game_adapters import PettingZooAdapter, SharedState, TurnView, make_env
from game_adapters.adapter import match_state, sight_of
from game_adapters.environments import Environment, reward_since
from game_adapters.errors import ExpertLost
from game_adapters.experts import best_actions, load_expert
from game_adapters.game_state import Json
from game_adapters.registry import game_folder, load_contract
from prompts import Game, ObservationInput, Prompt, StateBlocks, assemble, load_game
from prompts.history import HistoryEntry, history_block

# An episode that ends before it has given its decisions is followed by another; so many, and something is wrong. Where
# only some of the positions are the split's, there may be so many times more.
_MOST_EPISODES = 100
_KEPT = 4


@dataclass(frozen=True, slots=True)
class Decision:
    """One agent's turn: what it was shown, its prompt, what the expert says, and what was done.

    `best` are the actions that the expert values most, if it says so of any.
    """

    view: TurnView
    prompt: Prompt
    right: int
    done: int
    best: frozenset[int] = frozenset()


@dataclass(slots=True)
class _Place:
    """An agent as a session would have it."""

    blocks: StateBlocks
    wander: float
    turn_id: int = 0
    history: list[HistoryEntry] = field(default_factory=list)
    pending: HistoryEntry | None = None


@dataclass(frozen=True, slots=True)
class Games:
    """What to generate: of the game `game` with its `options`, `turns` decisions of each episode.

    `wander` are probabilities of a move that is anybody's, of which each agent draws one; `persona` one of the game's,
    "mixed" for one of all and none, drawn for each agent, or None. Episodes that are shorter than `turns` are followed
    by others. `each_once` says that the file leaves out positions that it has already.
    """

    game: str
    options: tuple[tuple[str, Any], ...] = ()
    seed: int = 0
    split: Split = "train"
    turns: int = 8
    wander: tuple[float, ...] = (0.1,)
    persona: str | None = None
    each_once: bool = False
    name: str = field(default="games", init=False)

    held_out: ClassVar[tuple[str, ...]] = ()

    def arguments(self) -> dict[str, Any]:
        """All that a sample depends on besides seed, split and its number."""
        return {
            "game": self.game,
            "options": dict(self.options),
            "turns": self.turns,
            "wander": list(self.wander),
            "persona": self.persona,
            "each_once": self.each_once,
            "positions": dict(SHARES),
        }

    def maker(self) -> "GamesMaker":
        """Return what makes the samples. Raises BadArgument, GameAdapterError, PromptsError."""
        check_split(self.split)
        if not self.wander:
            raise BadArgument("wander", "there is no probability to draw.")
        for wander in self.wander:
            if not 0 <= wander <= 1:
                raise BadArgument("wander", f"{wander} is no probability.")
        if self.turns < 1:
            raise BadArgument("turns", f"{self.turns} decisions of an episode are none.")
        return GamesMaker(self)


class GamesMaker:
    """Plays episodes; those just played are kept, since the samples of one come one after the other."""

    def __init__(self, recipe: Games) -> None:
        self._recipe = recipe
        self._expert = load_expert(recipe.game, recipe.seed)
        contract = load_contract(recipe.game)
        self._shared = contract if isinstance(contract, SharedState) else None
        self._adapter = PettingZooAdapter(recipe.game, contract)
        self.game: Game = load_game(game_folder(contract))
        personas = tuple(self.game.personas)
        if recipe.persona not in (None, "mixed", *personas):
            raise BadArgument("persona", f"{recipe.game} has no {recipe.persona!r}; it has {', '.join(personas)}.")
        self._personas: tuple[str | None, ...] = (None, *personas) if recipe.persona == "mixed" else (recipe.persona,)
        self._kept: OrderedDict[int, tuple[Decision, ...]] = OrderedDict()
        # The options and the library are tried now: a refusal should not wait for the first episode.
        make_env(recipe.game, self.episode_seed(0, 0), **dict(recipe.options))

    @property
    def games(self) -> tuple[Game, ...]:
        """The game's folder."""
        return (self.game,)

    def sample(self, number: int) -> Sample:
        """Return a sample: a decision of an episode, one of `turns` that are drawn from all of it."""
        recipe = self._recipe
        episode, place = divmod(number, recipe.turns)
        if episode not in self._kept:
            self._kept[episode] = self._decisions(episode)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        decision = self._kept[episode][place]
        view, answers = decision.view, {offer.number: offer.id for offer in decision.view.actions}
        right = answers[decision.right]
        also = tuple(offer.id for offer in view.actions if offer.number in decision.best - {decision.right})
        ask = Ask(
            observation=decision.prompt.observation,
            target=right,
            answer=right,
            kind="decision",
            actions=tuple(offer.id for offer in view.actions),
            chance=(1 + len(also)) / len(view.actions),
            also=also,
        )
        return Sample(
            game=self.game.name,
            family="/".join((recipe.game, *(str(value) for _, value in sorted(recipe.options)))),
            split=recipe.split,
            seed=recipe.seed,
            anchor=decision.prompt.anchor.text,
            blocks=tuple((block.name, block.text) for block in decision.prompt.blocks),
            asks=(ask,),
        )

    def episode_seed(self, episode: int, again: int) -> int:
        """The seed of an episode's environment; `again` counts those that follow a short one."""
        recipe = self._recipe
        said = json.dumps([recipe.game, recipe.split, recipe.seed, episode, again])
        drawn = int.from_bytes(hashlib.blake2b(said.encode(), digest_size=4).digest())
        return 3 * (drawn >> 3) + SPLITS.index(recipe.split)

    def _decisions(self, episode: int) -> tuple[Decision, ...]:
        recipe, random = self._recipe, random_of(self._recipe, episode)
        found: list[Decision] = []
        num_played = 0
        for again in range(_MOST_EPISODES * 100 // SHARES[recipe.split]):
            env = make_env(recipe.game, self.episode_seed(episode, again), **dict(recipe.options))
            for decision in self.play(env, random):
                num_played += 1
                if split_of(decision.prompt) == recipe.split:  # the environment still stands where it was made
                    found.append(replace(decision, best=best_actions(self._expert, env, decision.view.agent)))
            if len(found) >= recipe.turns:
                return tuple(found[place] for place in sorted(random.sample(range(len(found)), recipe.turns)))
            if again + 1 >= _MOST_EPISODES and num_played < recipe.turns:
                break
        raise BadArgument(
            "turns",
            f"{again + 1} episodes of {recipe.game} gave {num_played} decisions together, {len(found)} of them in "
            f"positions of {recipe.split}. Ask for fewer, or let agents wander more, who then come to more positions.",
        )

    def play(self, env: Environment, random: Random) -> Iterator[Decision]:
        """Play an episode to its end, or to where its expert has no answer."""
        personas: dict[str, str | None] = {}
        places: dict[str, _Place] = {}
        frames: dict[str, tuple[int, Json]] = {}
        for agent in env.agent_iter():
            view = self._adapter.turn(env, agent)
            if view is None:
                env.step(None)
                continue
            if agent not in places:
                personas[agent] = random.choice(self._personas)
                sight = () if self._shared is None else sight_of(self._recipe.game, self._shared, agent)
                # Our folders split no block, so no token is counted.
                places[agent] = _Place(StateBlocks(self.game, len, sight), random.choice(self._recipe.wander))
            match = "" if self._shared is not None else agent
            frames[match] = frame = self._frame(env, view, frames.get(match))
            try:
                right = self._expert.choose(env, agent)
            except ExpertLost:
                return
            prompt = self._prompt(places[agent], env, view, frame, personas[agent])
            done = random.choice(view.actions).number if random.random() < places[agent].wander else right
            self._note(places[agent], view, frame[0], done)
            yield Decision(view, prompt, right, done)
            env.step(done)

    def _frame(self, env: Environment, view: TurnView, before: tuple[int, Json] | None) -> tuple[int, Json]:
        """The match's frame with its number, which counts only what differs."""
        state = view.state
        if self._shared is not None:
            state, _ = match_state(self._recipe.game, self._shared, env, view.agent)
        if before is None:
            return 1, state
        return before if before[1] == state else (before[0] + 1, state)

    def _prompt(
        self, place: _Place, env: Environment, view: TurnView, frame: tuple[int, Json], persona: str | None
    ) -> Prompt:
        if place.pending is not None:
            applied = replace(place.pending, reward=reward_since(self._recipe.game, env, view.agent))
            place.history = [*place.history, applied][-self.game.history_turns :]
            place.pending = None
        place.blocks.replace(frame[1])
        actions = [(offer.id, offer.text) for offer in view.actions]
        return assemble(
            self.game,
            persona=None if persona is None else self.game.personas[persona],
            state=place.blocks,
            private=(),
            history=[history_block(self.game, entry) for entry in place.history],
            observation=ObservationInput(view.observation_text, place.blocks.live, actions, None, persona),
        )

    def _note(self, place: _Place, view: TurnView, frame: int, done: int) -> None:
        """What was done is remembered when the agent is asked again, with what it gained by it."""
        place.turn_id += 1
        if self.game.history_turns:
            said = next(offer.id for offer in view.actions if offer.number == done)
            place.pending = HistoryEntry(place.turn_id, frame, view.observation_text, said, True)
