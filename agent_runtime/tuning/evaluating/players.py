"""Who sits at a seat: a model in one of its modes, the game's expert, always the same answer, or chance."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from agent_runtime.seat import Seat
from agent_runtime.tuning.evaluating.playing import Choice, Turn
from game_adapters import ActionOffer, PettingZooAdapter
from game_adapters.environments import Environment
from game_adapters.experts import Expert, Mixer


class ModelPlayer:
    """What the model thinks likeliest, in the mode of its seat; the turns of all matches share a forward."""

    def __init__(self, seat: Seat) -> None:
        """`seat` takes the best action."""
        self._seat = seat
        self.seconds = 0.0
        """How long it has thought, prompts included."""

    def choose(self, turns: Sequence[Turn]) -> list[Choice]:
        """Return the likeliest listed action of each turn. Raises what `Seat` raises."""
        began = time.perf_counter()
        numbers = self._seat.act_many([turn.waiting for turn in turns])
        self.seconds += time.perf_counter() - began
        choices = []
        for number, result in zip(numbers, self._seat.last_results, strict=True):
            assert number is not None and result is not None and result.legal_mass is not None
            best = math.exp(max(score.logprob for score in result.scores))
            choices.append(Choice(number, result.legal_mass, best > 1 - result.legal_mass))
        return choices

    def leave(self, env: Environment) -> None:
        """Close the environment's match."""
        self._seat.reset(env)


@dataclass(frozen=True, slots=True)
class Rule:
    """A player who decides turn by turn, by a function, and remembers nothing."""

    decide: Callable[[Turn], int]

    def choose(self, turns: Sequence[Turn]) -> list[Choice]:
        """Return what is decided for each turn. Raises what the function raises."""
        return [Choice(self.decide(turn)) for turn in turns]

    def leave(self, env: Environment) -> None:
        """Nothing is remembered."""


def at_random(adapter: PettingZooAdapter) -> Rule:
    """Return who does anything legal, each action as likely as the others."""
    return Rule(lambda turn: _any(_offers(adapter, turn), Random(turn.draws)))


def always(adapter: PettingZooAdapter, answer: str) -> Rule:
    """Return who always gives the same answer, and any where it is not offered."""

    def decide(turn: Turn) -> int:
        offers = _offers(adapter, turn)
        own = next((offer.number for offer in offers if offer.id == answer), None)
        return _any(offers, Random(turn.draws)) if own is None else own

    return Rule(decide)


def by_expert(adapter: PettingZooAdapter, expert: Expert, wander: float = 0.0) -> Rule:
    """Return who does what the expert does, and with the probability `wander` anything instead.

    Where the expert mixes its actions, the match draws them: the expert itself would draw the same in every match. The
    function raises ExpertLost.
    """

    def decide(turn: Turn) -> int:
        random = Random(turn.draws)
        if random.random() < wander:
            return _any(_offers(adapter, turn), random)
        if isinstance(expert, Mixer):
            shares = expert.shares(turn.waiting.env, turn.waiting.agent)
            return random.choices(list(shares), list(shares.values()))[0]
        return expert.choose(turn.waiting.env, turn.waiting.agent)

    return Rule(decide)


def _offers(adapter: PettingZooAdapter, turn: Turn) -> tuple[ActionOffer, ...]:
    offers = adapter.offers(*turn.waiting)
    assert offers is not None
    return offers


def _any(offers: tuple[ActionOffer, ...], random: Random) -> int:
    return random.choice(offers).number
