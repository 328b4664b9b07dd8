"""What an agent must be better than: chance, and always the same answer."""

from collections import Counter
from collections.abc import Callable
from random import Random

from game_adapters.adapter import PettingZooAdapter
from game_adapters.environments import Environment
from game_adapters.experts.contest import Policy, Score, contest
from game_adapters.stepping import Stepper


class RandomPolicy:
    """Any legal action, each as likely as the others."""

    def __init__(self, adapter: PettingZooAdapter, seed: int = 0) -> None:
        self._adapter = adapter
        self._random = Random(f"random policy/{seed}")

    def choose(self, env: Environment, agent: str) -> int:
        """Draw one."""
        view = self._adapter.turn(env, agent)
        assert view is not None
        return self._random.choice(view.actions).number


class ConstantPolicy:
    """Always the same answer; where it is not offered, any."""

    def __init__(self, adapter: PettingZooAdapter, answer: str, seed: int = 0) -> None:
        self._adapter = adapter
        self.answer = answer
        self._random = Random(f"constant policy/{seed}")

    def choose(self, env: Environment, agent: str) -> int:
        """The answer's number, or a drawn one."""
        view = self._adapter.turn(env, agent)
        assert view is not None
        numbers = [offer.number for offer in view.actions if offer.id == self.answer]
        return numbers[0] if numbers else self._random.choice(view.actions).number


def offered_answers(adapter: PettingZooAdapter, make: Callable[[int], Environment], seed: int, most: int) -> list[str]:
    """The `most` answers that are offered most often when everybody plays at random, in four games."""
    offered: Counter[str] = Counter()
    for number in range(seed, seed + 4):
        drawn = Random(f"random policy/{number}")
        env = make(number)
        stepper = Stepper(adapter.game, env, number)
        while waiting := stepper.waiting():
            done: dict[str, int] = {}
            for each in waiting:
                if (view := adapter.turn(*each)) is not None:
                    offered.update(offer.id for offer in view.actions)
                    done[view.agent] = drawn.choice(view.actions).number
            stepper.step(done)
        env.close()
    return sorted(offered, key=lambda answer: (-offered[answer], answer))[:most]


def best_constant(
    adapter: PettingZooAdapter,
    make: Callable[[int], Environment],
    opponent: Policy | None,
    games: int,
    seed: int = 0,
    most: int = 12,
) -> tuple[str, Score]:
    """The answer that does best when it is always given, and how well: of the `most` that are offered most often."""
    answers = offered_answers(adapter, make, seed, most)
    scores = {answer: contest(make, ConstantPolicy(adapter, answer, seed), opponent, games, seed) for answer in answers}
    best = max(answers, key=lambda answer: scores[answer].mean)
    return best, scores[best]
