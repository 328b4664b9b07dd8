"""Environments stepped to their end, and what breaks on the way."""

from random import Random
from typing import Any

import pytest

from game_adapters.adapter import PettingZooAdapter
from game_adapters.errors import BrokenEnvironment, GameCodeFailed
from game_adapters.stepping import Stepper
from tests.game_adapters.lamps_game import Lamps, LampsEnv, ParallelLamps

LAMPS = PettingZooAdapter("lamps", Lamps())


def stepper(env: Any) -> Stepper:
    env.reset(seed=2)
    return Stepper("lamps", env, seed=2)


def play(stepper: Stepper) -> list[list[str]]:
    """Random legal actions to the end; who acted, moment by moment."""
    random, moments = Random(1), []
    while waiting := stepper.waiting():
        moments.append([each.agent for each in waiting])
        views = [LAMPS.turn(*each) for each in waiting]
        rewards = stepper.step({view.agent: random.choice(view.actions).number for view in views if view})
        assert set(rewards) <= set(stepper.env.possible_agents)
    assert stepper.num_steps == len(moments)
    return moments


def test_an_aec_environment_waits_for_one_after_the_other_and_its_dead_are_stepped_out() -> None:
    moments = play(stepper(LampsEnv(players=3, rounds=4, dies=True)))
    assert moments[:6] == [["player_0"], ["player_1"], ["player_2"]] * 2
    assert moments[6:] == [["player_1"], ["player_2"]] * 2


def test_a_parallel_environment_waits_for_all_and_shows_them_what_they_see() -> None:
    assert play(stepper(ParallelLamps(players=3, rounds=4))) == [
        *[["player_0", "player_1", "player_2"]] * 2,
        *[["player_1", "player_2"]] * 2,
    ]


@pytest.mark.parametrize("base", [LampsEnv, ParallelLamps])
def test_a_step_that_raises_is_told_with_what_was_done_and_where(base: Any) -> None:
    class Slippery(base):  # type: ignore[misc]
        def step(self, action: Any) -> Any:
            raise IndexError("off the board")

    made = stepper(Slippery())
    actions = {each.agent: 3 for each in made.waiting()}
    said = r"step\(player_0: 3 go on.*\) of lamps raised IndexError: off the board \(.*test_stepping.py:\d+\)"
    with pytest.raises(GameCodeFailed, match=said):
        made.step(actions, dict.fromkeys(actions, "go on"))


def test_a_reward_that_is_nan_is_told() -> None:
    class Vague(LampsEnv):
        def step(self, action: int | None) -> None:
            super().step(action)
            self.rewards["player_0"] = float("nan")

    with pytest.raises(BrokenEnvironment, match="reward of 'player_0' is nan"):
        stepper(Vague()).step({"player_0": 0})


def test_a_dead_agent_that_never_leaves_is_told_and_not_stepped_for_ever() -> None:
    class Haunted(LampsEnv):
        def step(self, action: int | None) -> None:
            """Nobody ever leaves."""

    made = stepper(Haunted())
    made.env.terminations["player_0"] = True
    with pytest.raises(BrokenEnvironment, match="'player_0' is dead and stays"):
        made.waiting()


def test_an_environment_that_breaks_over_its_dead_is_told() -> None:
    class Grim(LampsEnv):
        def step(self, action: int | None) -> None:
            raise ValueError("None")

    made = stepper(Grim())
    made.env.truncations["player_0"] = True
    with pytest.raises(GameCodeFailed, match=r"step\(None\) for 'player_0', who is dead, of lamps raised ValueError"):
        made.waiting()


def test_a_parallel_step_that_returns_something_else_is_told() -> None:
    class Odd(ParallelLamps):
        def step(self, actions: dict[str, int]) -> Any:
            return super().step(actions)[:4]

    made = stepper(Odd())
    with pytest.raises(BrokenEnvironment, match="must return observations, rewards"):
        made.step({"player_0": 0, "player_1": 0})


@pytest.mark.parametrize(("place", "name"), [(0, "observations"), (1, "rewards"), (4, "infos")])
def test_a_parallel_step_that_returns_no_dict_is_told_which(place: int, name: str) -> None:
    class Odd(ParallelLamps):
        def step(self, actions: dict[str, int]) -> Any:
            returned = list(super().step(actions))
            returned[place] = None
            return tuple(returned)

    made = stepper(Odd())
    with pytest.raises(BrokenEnvironment, match=f"the {name} that step.* returned are no dict"):
        made.step({"player_0": 0, "player_1": 0})


def test_a_parallel_reset_that_returns_something_else_is_told() -> None:
    class Odd(ParallelLamps):
        def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            return super().reset(seed)[0]

    with pytest.raises(BrokenEnvironment, match=r"reset\(seed=2\) must return observations and infos"):
        stepper(Odd())


@pytest.mark.parametrize("is_there", [True, False])
def test_an_environment_without_rewards_is_told(is_there: bool) -> None:
    class Odd(LampsEnv):
        def step(self, action: int | None) -> None:
            super().step(action)
            self.rewards = None  # type: ignore[assignment]
            if not is_there:
                del self.rewards

    with pytest.raises(BrokenEnvironment, match="its rewards are None instead of a dict"):
        stepper(Odd()).step({"player_0": 0})
