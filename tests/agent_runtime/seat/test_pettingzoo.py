"""PettingZoo's own checks, played by a seat: wherever they draw a random action, the seat decides instead."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from gymnasium.spaces import Discrete
from pettingzoo.utils.wrappers import BaseParallelWrapper, BaseWrapper

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.seat import Seat
from game_adapters import make_env
from tests.agent_runtime.worlds import load_tiny
from tests.game_adapters.lamps_game import Lamps, LampsEnv, ParallelLamps

# What PettingZoo's checks say of forms that it does not know by name; see tests/game_adapters/test_all_games.py.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The old environment creation API:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Observation is not a NumPy array:UserWarning"),
    pytest.mark.filterwarnings("ignore:Observation space for each agent probably should be:UserWarning"),
    pytest.mark.filterwarnings("ignore:Action mask numpy array is all zeros:UserWarning"),
    pytest.mark.filterwarnings("ignore:Observation numpy array is all zeros:UserWarning"),
    pytest.mark.filterwarnings("ignore:Environment has not defined a render:UserWarning"),
]

GAMES: dict[str, Callable[[], Any]] = {
    "lamps": lambda: _reset(LampsEnv(players=3, rounds=5, dies=True)),
    "texas_holdem": lambda: make_env("texas_holdem", 5, hands=2, chips=20),
    "connect_four": lambda: make_env("connect_four", 5),
    "camp": lambda: make_env("camp", 5, npcs=2, blocks=20, ticks=2),
}


class SeatedSpace(Discrete):
    """A space whose samples are what a seat decides."""

    def __init__(self, space: Discrete, decide: Callable[[Any], int | None]) -> None:
        super().__init__(int(space.n), start=int(space.start))
        self._decide = decide
        self.num_decided = 0

    def sample(self, mask: Any = None, probability: Any = None) -> Any:
        self.num_decided += 1
        action = self._decide(mask)
        assert action is not None
        assert mask is None or mask[action] == 1
        return action


class SeatedEnv(BaseWrapper):  # type: ignore[misc]
    """An AEC environment of which every sampled action is a seat's."""

    def __init__(self, env: Any, seat: Seat) -> None:
        super().__init__(env)
        self.spaces = {
            agent: SeatedSpace(env.action_space(agent), lambda mask, agent=agent: seat.act(self.env, agent))  # type: ignore[misc]
            for agent in env.possible_agents
        }

    def action_space(self, agent: str) -> SeatedSpace:
        return self.spaces[agent]


class SeatedParallelEnv(BaseParallelWrapper):  # type: ignore[misc]
    """The same for a parallel environment, whose masks only the caller has."""

    def __init__(self, env: Any, seat: Seat) -> None:
        super().__init__(env)
        self.spaces = {
            agent: SeatedSpace(
                env.action_space(agent),
                lambda mask, agent=agent: seat.act(self.env, agent, {"action_mask": mask}),  # type: ignore[misc]
            )
            for agent in env.possible_agents
        }

    def action_space(self, agent: str) -> SeatedSpace:
        return self.spaces[agent]


def _reset(env: Any) -> Any:
    env.reset(seed=5)
    return env


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return replace(load_tiny(tmp_path_factory.mktemp("models")), context_limit=16384)


@pytest.fixture
def seats(loaded: LoadedModel) -> Iterator[Callable[[str], Seat]]:
    opened: list[Seat] = []

    def seat(game: str) -> Seat:
        opened.append(Seat(Lamps() if game == "lamps" else game, loaded, seed=9, mode="star", pool_mib=32))
        return opened[-1]

    yield seat
    for each in opened:
        each.close()


@pytest.mark.parametrize("game", GAMES)
def test_api_test_passes(game: str, seats: Callable[[str], Seat], capsys: pytest.CaptureFixture[str]) -> None:
    from pettingzoo.test import api_test

    env = SeatedEnv(GAMES[game](), seats(game))
    api_test(env, num_cycles=6)
    assert "Passed API test" in capsys.readouterr().out
    assert sum(space.num_decided for space in env.spaces.values()) > 5


@pytest.mark.parametrize("game", GAMES)
def test_seed_test_passes_with_two_seats_of_one_seed(game: str, seats: Callable[[str], Seat]) -> None:
    from pettingzoo.test import seed_test

    made: list[SeatedEnv] = []

    def construct() -> SeatedEnv:
        made.append(SeatedEnv(GAMES[game](), seats(game)))
        return made[-1]

    seed_test(construct, num_cycles=6)
    first, second = ({agent: space.num_decided for agent, space in env.spaces.items()} for env in made)
    assert first == second and sum(first.values()) > 3


def test_parallel_api_test_and_seed_test_pass(seats: Callable[[str], Seat], capsys: pytest.CaptureFixture[str]) -> None:
    from pettingzoo.test import parallel_api_test, parallel_seed_test

    env = SeatedParallelEnv(_reset(ParallelLamps(rounds=4)), seats("lamps"))
    parallel_api_test(env, num_cycles=4)
    assert "Passed Parallel API test" in capsys.readouterr().out
    assert sum(space.num_decided for space in env.spaces.values()) > 5
    parallel_seed_test(lambda: SeatedParallelEnv(_reset(ParallelLamps(masked=False)), seats("lamps")), num_cycles=3)
