"""What a seat remembers of an agent's turns, and for how long."""

import gc
from typing import Any

import pytest

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.seat import Seat
from agent_runtime.seat.errors import NothingToNote
from game_adapters.errors import BrokenEnvironment
from tests.agent_runtime.seat.worlds import blocks_of, lamps, play
from tests.game_adapters.lamps_game import ACTIONS, Lamps


def test_what_was_done_becomes_history_with_its_reward(seat: Seat) -> None:
    env = lamps(players=1)
    action = seat.act(env)
    assert action is not None
    assert blocks_of(seat, env, "player_0") == []
    seat.distribution(env)
    assert blocks_of(seat, env, "player_0") == [], "the environment was not stepped"
    env.step(action)
    reward = env.last()[1]
    seat.distribution(env)
    (block,) = blocks_of(seat, env, "player_0")
    assert f"You did: {ACTIONS[action]}" in block and f"Reward: {reward}" in block


def test_a_turn_that_reads_like_the_last_one_is_history_all_the_same_once_acted_again(loaded: LoadedModel) -> None:
    class Still(Lamps):
        def describe_match(self, env: Any) -> Any:
            return {"secrets": {}}

    with Seat(Still(), loaded, pool_mib=16) as seat:
        env = lamps(players=1)
        env.step(seat.act(env))
        env.room.last = None
        seat.act(env)
        assert len(blocks_of(seat, env, "player_0")) == 1


def test_history_is_as_long_as_it_is_told(loaded: LoadedModel) -> None:
    for turns in (0, 3):
        with Seat(Lamps(), loaded, pool_mib=16, history_turns=turns) as seat:
            env = lamps(players=1, rounds=9)
            for _ in range(6):
                env.step(seat.act(env))
            assert len(blocks_of(seat, env, "player_0")) == turns


def test_what_was_really_done_can_be_noted(seat: Seat) -> None:
    env = lamps(players=1)
    with pytest.raises(NothingToNote, match="not asked"):
        seat.note(env, "player_0", 1)
    seat.distribution(env)
    seat.note(env, "player_0", 2)
    env.step(2)
    seat.act(env)
    assert "You did: switch lamp 1" in blocks_of(seat, env, "player_0")[0]
    with pytest.raises(NothingToNote, match="did not offer 2. It offered 0, 1, 3"):
        seat.note(env, "player_0", 2)


def test_a_new_episode_remembers_nothing_of_the_last_one(seat: Seat) -> None:
    env = lamps(rounds=2)
    first = play(seat, env)
    env.reset(seed=0)
    seat.act(env)
    assert blocks_of(seat, env, "player_0") == [], "its dead agents were seen, so this is another episode"
    env.step(0)
    seat.act(env)
    env.reset(seed=0)
    seat.reset(env)
    second = play(seat, env)
    assert [agent for agent, _ in first] == [agent for agent, _ in second]
    seat.reset()
    assert seat.runtime._matches == {}


def test_matches_end_with_their_environments(seat: Seat) -> None:
    env = lamps()
    seat.act(env)
    assert len(seat.runtime._matches) == 1
    del env
    gc.collect()
    seat.act(lamps(1))
    assert len(seat.runtime._matches) == 1


def test_a_reward_that_is_nan_is_told_when_it_would_become_history(seat: Seat) -> None:
    env = lamps(players=1)
    env.step(seat.act(env))
    env._cumulative_rewards["player_0"] = float("nan")
    with pytest.raises(BrokenEnvironment, match="the reward of 'player_0' is nan"):
        seat.act(env)
