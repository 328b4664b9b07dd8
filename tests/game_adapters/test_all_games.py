"""What every registered game must keep, without exceptions for any of them."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from game_adapters import GAMES, TurnView, load_adapter, make_env
from game_adapters.errors import WrongEnvironment
from tests.game_adapters.playable import PLAYABLE

# PettingZoo's test knows by name which of its own environments observe a dict with a mask; what it says about the
# form of such observations is not about ours. A mask of zeros is that of an agent for whom the match is over.
pytestmark = [
    # PettingZoo's test imports an environment of its own by the old way.
    pytest.mark.filterwarnings("ignore:The old environment creation API:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Observation is not a NumPy array:UserWarning"),
    pytest.mark.filterwarnings("ignore:Observation space for each agent probably should be:UserWarning"),
    pytest.mark.filterwarnings("ignore:Action mask numpy array is all zeros:UserWarning"),
    # Connect four's board is empty at first.
    pytest.mark.filterwarnings("ignore:Observation numpy array is all zeros:UserWarning"),
    pytest.mark.parametrize("game", PLAYABLE),
]


def play(game: str, seed: int) -> Iterator[tuple[Any, TurnView]]:
    """A match of random legal answers: the live environment and the view, before each step."""
    env, adapter, choose = make_env(game, seed), load_adapter(game), random.Random(seed)
    for agent in env.agent_iter():
        view = adapter.turn(env, agent)
        if view is None:
            env.step(None)
            continue
        yield env, view
        env.step(view.number(choose.choice(view.actions).id))


def test_it_passes_pettingzoos_api_test(game: str, capsys: pytest.CaptureFixture[str]) -> None:
    from pettingzoo.test import api_test

    api_test(make_env(game, 5), num_cycles=200)
    assert "Passed API test" in capsys.readouterr().out


def test_it_passes_pettingzoos_seed_test(game: str) -> None:
    from pettingzoo.test import seed_test

    seed_test(lambda: make_env(game, 5), num_cycles=200)


@pytest.mark.parametrize("seed", range(5))
def test_every_listed_action_is_legal_and_nothing_else_is_listed(game: str, seed: int) -> None:
    for env, view in play(game, seed):
        mask = env.observe(view.agent)["action_mask"]
        assert [offer.number for offer in view.actions] == [index for index, legal in enumerate(mask) if legal]


def test_the_state_is_json_and_looking_changes_nothing(game: str) -> None:
    for env, view in play(game, 1):
        again = load_adapter(game).turn(env)
        assert again == view
        assert json.loads(json.dumps(view.state, allow_nan=False)) == view.state


def test_an_environment_of_another_game_is_refused_by_name(game: str) -> None:
    other = make_env(next(name for name in GAMES if name != game), 1)
    with pytest.raises(WrongEnvironment, match=f"make_env.'{game}'"):
        load_adapter(game).contract.describe(other, other.agent_selection)


def test_the_same_seed_gives_the_same_match_in_words(game: str) -> None:
    first = [(view.state, view.actions) for _, view in play(game, 8)]
    assert first == [(view.state, view.actions) for _, view in play(game, 8)]


def test_another_seed_gives_another_match(game: str) -> None:
    assert [view.state for _, view in play(game, 8)] != [view.state for _, view in play(game, 9)]
