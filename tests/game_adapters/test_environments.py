"""What an environment shows, and each way in which it can be broken."""

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box

from game_adapters.adapter import PettingZooAdapter
from game_adapters.environments import checked_reward, is_parallel, live_agents, reward_since
from game_adapters.errors import (
    AgentNeeded,
    BrokenEnvironment,
    GameCodeFailed,
    ObservationNeeded,
    UnknownAgent,
    UnsupportedActionSpace,
)
from tests.game_adapters.fakes import FakeEnv, FakeGame
from tests.game_adapters.lamps_game import Lamps, LampsEnv, ParallelLamps

FAKE = PettingZooAdapter("fake", FakeGame())
LAMPS = PettingZooAdapter("lamps", Lamps())


def lamps() -> LampsEnv:
    env = LampsEnv()
    env.reset(seed=1)
    return env


def parallel(**options: Any) -> ParallelLamps:
    env = ParallelLamps(**options)
    env.reset(seed=1)
    return env


def test_an_environment_that_was_not_reset_is_told_so() -> None:
    from pettingzoo.utils import wrappers

    for env in (LampsEnv(), ParallelLamps(), wrappers.OrderEnforcingWrapper(LampsEnv())):
        with pytest.raises(BrokenEnvironment, match=r"of lamps cannot be played: it was not reset. Call env.reset"):
            LAMPS.turn(env, "player_0")


def test_an_environment_without_a_mask_offers_every_action() -> None:
    class Unmasked(LampsEnv):
        def observe(self, agent: str) -> Any:
            return self.room.seen()

    env = Unmasked()
    env.reset(seed=1)
    view = LAMPS.turn(env)
    assert view is not None and len(view.actions) == view.num_actions == 4


def test_a_continuous_action_space_is_refused_by_name() -> None:
    env = lamps()
    env.action_spaces["player_0"] = Box(-1.0, 1.0, (2,))
    with pytest.raises(UnsupportedActionSpace, match=r"'player_0' in lamps is Box\("):
        LAMPS.turn(env)


def test_an_environment_that_ends_between_two_looks_has_no_turn() -> None:
    env = lamps()
    env.truncations = dict.fromkeys(env.agents, True)
    assert LAMPS.turn(env) is None
    env.agents = []
    assert LAMPS.turn(env) is None and LAMPS.turn(env, "player_0") is None


def test_an_environment_that_waits_for_nobody_of_its_own_is_broken() -> None:
    env = lamps()
    env.agents.remove("player_0")
    with pytest.raises(BrokenEnvironment, match=r"waits for 'player_0', who is not among its agents \(player_1\)"):
        LAMPS.turn(env)


@pytest.mark.parametrize("name", ["terminations", "truncations"])
def test_a_live_agent_that_a_table_lacks_is_named(name: str) -> None:
    env = lamps()
    del getattr(env, name)["player_0"]
    with pytest.raises(BrokenEnvironment, match=f"'player_0' is among its agents and not in its {name}"):
        LAMPS.turn(env)


@pytest.mark.parametrize("name", ["infos", "terminations", "truncations"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_table_that_is_none_is_named(name: str, is_there: bool) -> None:
    env = lamps()
    setattr(env, name, None)
    if not is_there:
        delattr(env, name)
    with pytest.raises(BrokenEnvironment, match=f"its {name} are None instead of a dict"):
        LAMPS.turn(env)


def test_an_environment_without_agents_or_without_one_on_turn_is_broken() -> None:
    env = lamps()
    del env.agent_selection
    with pytest.raises(BrokenEnvironment, match="waits for None"):
        LAMPS.turn(env)
    env.agents = None  # type: ignore[assignment]
    with pytest.raises(BrokenEnvironment, match="its agents are None instead of a list"):
        LAMPS.turn(env)


def test_an_info_that_is_no_dict_is_named_and_a_missing_one_is_empty() -> None:
    env = lamps()
    env.infos["player_0"] = [1]  # type: ignore[assignment]
    with pytest.raises(BrokenEnvironment, match="info of 'player_0' is list"):
        LAMPS.turn(env)
    env.infos = {}
    assert LAMPS.turn(env) is not None


@pytest.mark.parametrize(
    ("observation", "place"),
    [
        (float("nan"), r"\[\(\)\]"),
        (np.array([[0.0, 1.0], [np.nan, 1.0]], np.float32), r"\[1\]\[0\]"),
        ({"observation": np.array([0.0, np.nan]), "action_mask": [1, 1, 1]}, r"\['observation'\]\[1\]"),
        ({"a": {"b": np.float64("nan")}}, r"\['a'\]\['b'\]"),
    ],
)
def test_an_observation_that_is_nan_is_told_with_its_place(observation: Any, place: str) -> None:
    with pytest.raises(BrokenEnvironment, match=f"observation of 'left' is NaN at {place}"):
        FAKE.turn(FakeEnv(observation))


@pytest.mark.parametrize("observation", [np.zeros(3), np.zeros((2, 2), bool), "text", 3, {"x": np.array([np.inf])}])
def test_other_observations_are_nobodys_business(observation: Any) -> None:
    assert FAKE.turn(FakeEnv(observation)) is not None


def test_rewards_are_numbers_and_finite() -> None:
    assert checked_reward("fake", "left", np.float32(0.5)) == 0.5
    for reward, why in ((float("nan"), "is nan"), (np.inf, "is inf"), ("much", "'much' instead of a number")):
        with pytest.raises(BrokenEnvironment, match=f"the reward of 'left' .*{why}"):
            checked_reward("fake", "left", reward)


def test_a_reward_is_what_came_since_the_agent_last_acted_where_that_is_known() -> None:
    env = lamps()
    env._cumulative_rewards["player_0"] = 2.0
    assert reward_since("lamps", env, "player_0") == 2.0
    assert reward_since("lamps", env, "nobody") is None
    assert reward_since("lamps", parallel(), "player_0") is None


def test_code_that_raises_is_told_with_its_place_and_its_cause() -> None:
    class Raising(LampsEnv):
        def observe(self, agent: str) -> Any:
            raise KeyError("gold")

    env = Raising()
    env.reset(seed=1)
    with pytest.raises(
        GameCodeFailed, match=r"observe\('player_0'\) of lamps raised KeyError: 'gold' \(.*py:\d+\)"
    ) as e:
        LAMPS.turn(env)
    assert isinstance(e.value.__cause__, KeyError)
    assert "test_environments.py" in e.value.place

    class Lost(Lamps):
        def describe(self, env: Any, agent: str) -> Any:
            return self.action_names(env, agent).index("sing")

    with pytest.raises(GameCodeFailed, match=r"describe for 'player_0' of lamps raised ValueError"):
        PettingZooAdapter("lamps", Lost()).turn(lamps())


def test_in_a_parallel_environment_everybody_who_is_there_has_a_turn() -> None:
    env = parallel(masked=False)
    assert is_parallel(env) and not is_parallel(lamps()) and not is_parallel(FakeEnv())
    assert live_agents("lamps", env) == ["player_0", "player_1"]
    views = [LAMPS.turn(env, agent) for agent in env.agents]
    assert [view.agent for view in views if view] == env.agents
    env.agents.remove("player_1")
    assert LAMPS.turn(env, "player_1") is None
    with pytest.raises(AgentNeeded, match="Name the agent"):
        LAMPS.turn(env)


def test_an_agent_that_never_was_there_is_named_with_those_that_are() -> None:
    for env in (lamps(), parallel(masked=False)):
        with pytest.raises(UnknownAgent, match=r"no agent 'player_7'\. Did you mean 'player_[01]'\?") as error:
            LAMPS.turn(env, "player_7")
        assert error.value.agents == ("player_0", "player_1")
        assert str(error.value).endswith("Its agents are player_0, player_1.")
        env.agents = []
        assert LAMPS.turn(env, "player_1") is None, "it was there, whoever is there now"
        with pytest.raises(UnknownAgent, match=r"no agent 'wolf'\. Its agents are"):
            LAMPS.turn(env, "wolf")
    many = str(UnknownAgent("town", "x", tuple(f"npc_{number}" for number in range(100))))
    assert many.endswith("npc_6, npc_7 and 92 more.")


def test_an_environment_that_does_not_say_whom_it_can_have_is_believed() -> None:
    assert not hasattr(FakeEnv(), "possible_agents")
    assert FAKE.turn(FakeEnv(), "wolf") is None


def test_a_parallel_environments_mask_comes_with_the_observation_or_the_info() -> None:
    env = parallel()
    with pytest.raises(ObservationNeeded, match="action_mask"):
        LAMPS.turn(env, "player_0")
    by_observation = LAMPS.turn(env, "player_0", {"action_mask": [1, 0, 0, 1]})
    by_info = LAMPS.turn(env, "player_0", None, {"action_mask": [1, 0, 0, 1]})
    for view in (by_observation, by_info):
        assert view is not None and [offer.number for offer in view.actions] == [0, 3]
