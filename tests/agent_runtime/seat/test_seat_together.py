"""Many agents of a seat asked at once: the same answers, in as few forwards as there is room for."""

import random
from typing import Any

import pytest

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.seat import Seat
from agent_runtime.seat.errors import AskedTwice, NotPairs, NotParallel, TurnEnded
from agent_runtime.turn import Outcome
from game_adapters.errors import NotOnTurn, ObservationNeeded, UnknownAgent
from tests.agent_runtime.seat.worlds import forwards, lamps
from tests.game_adapters.lamps_game import Lamps, ParallelLamps, PlainLamps


@pytest.mark.parametrize("mode", ["star", "prefix", "anchored", "full"])
@pytest.mark.parametrize("contract", [Lamps, PlainLamps])
def test_together_or_one_by_one_the_model_says_the_same(loaded: LoadedModel, mode: str, contract: Any) -> None:
    alone, envs = [], [lamps(seed) for seed in range(4)]
    with Seat(contract(), loaded, mode=mode, pool_mib=16) as seat:
        for _ in range(2):
            alone += [seat.logprobs(env) for env in envs]
            for env in envs:
                env.step(seat.act(env))
    together, envs = [], [lamps(seed) for seed in range(4)]
    with Seat(contract(), loaded, mode=mode, pool_mib=16) as seat:
        for _ in range(2):
            together += seat.logprobs_many([(env, None) for env in envs])
            for env, action in zip(envs, seat.act_many([(env, None) for env in envs]), strict=True):
                env.step(action)
    assert len(alone) == len(together) == 8
    for one, other in zip(alone, together, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("mode", ["star", "prefix", "full"])
def test_sixteen_turns_are_one_forward(loaded: LoadedModel, mode: str) -> None:
    envs = [lamps(seed, players=3, rounds=6) for seed in range(16)]
    with Seat(Lamps(), loaded, mode=mode, pool_mib=64, max_rows=20_000) as seat:
        for number in range(4):
            before = forwards(seat)
            actions = seat.act_many([(env, None) for env in envs])
            # In `prefix` the very first turn goes ahead: the others find what it computed.
            assert forwards(seat) == before + (2 if mode == "prefix" and number == 0 else 1)
            assert len(seat.last_results) == 16
            assert {result.account.forwards for result in seat.last_results if result and result.account} == {1}
            for env, action in zip(envs, actions, strict=True):
                env.step(action)


def test_turns_that_are_too_many_rows_for_a_forward_take_more_of_them(loaded: LoadedModel) -> None:
    answers = []
    for max_rows in (1, 20_000):
        envs = [lamps(seed) for seed in range(5)]
        with Seat(Lamps(), loaded, mode="full", pool_mib=16, max_rows=max_rows) as seat:
            answers += [seat.logprobs_many([(env, None) for env in envs])]
            assert forwards(seat) == (5 if max_rows == 1 else 1)
    for one, other in zip(*answers, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_the_dead_among_many_get_none_and_cost_nothing(seat: Seat) -> None:
    envs = [lamps(0, rounds=1), lamps(1)]
    for _ in range(2):
        envs[0].step(0)
    actions = seat.act_many([(env, None) for env in envs])
    assert actions[0] is None and actions[1] is not None
    assert seat.last_results[0] is None and seat.last_results[1] is not None
    assert seat.act_many([]) == [] == seat.distribution_many([])


def test_environments_without_their_agents_are_refused_with_what_to_write(seat: Seat) -> None:
    for ask in (seat.act_many, seat.distribution_many, seat.logprobs_many):
        with pytest.raises(NotPairs, match=r"number 0 of the list is a LampsEnv\. Write \[\(env, None\)\]"):
            ask([lamps()])
    assert forwards(seat) == 0


def test_an_agent_that_never_was_there_is_no_dead_one(seat: Seat) -> None:
    env = lamps(dies=True, rounds=2)
    for ask in (seat.act, seat.distribution, seat.logprobs):
        with pytest.raises(UnknownAgent, match=r"no agent 'player_2'.* Its agents are player_0, player_1\."):
            ask(env, "player_2")
    while "player_0" in env.agents:
        env.step(None if env.terminations[env.agent_selection] else 0)
    assert seat.act(env, "player_0") is None


def test_one_agent_twice_at_once_is_refused_and_another_out_of_turn_too(seat: Seat) -> None:
    env = lamps()
    with pytest.raises(AskedTwice, match="player_0"):
        seat.act_many([(env, "player_0"), (lamps(1), None), (env, None)])
    with pytest.raises(NotOnTurn, match="player_0"):
        seat.act(env, "player_1")
    assert forwards(seat) == 0, "nothing is computed unless all can be asked"


def test_agents_of_a_parallel_environment_act_in_one_forward(seat: Seat) -> None:
    env = ParallelLamps(players=3, rounds=4)
    observations, infos = env.reset(seed=1)
    alive = []
    seat.distribution(env, "player_0", observations["player_0"])
    while env.agents:
        before = forwards(seat)
        actions = seat.act_all(env, observations, infos)
        assert forwards(seat) == before + 1
        assert list(actions) == env.agents
        assert all(observations[agent]["action_mask"][action] for agent, action in actions.items())
        alive.append(len(actions))
        observations, _, _, _, infos = env.step(actions)
    assert alive == [3, 3, 2, 2]
    assert seat.act_all(env) == {} and seat.act(env, "player_0") is None


def test_a_mask_that_only_the_caller_has_is_asked_for(seat: Seat) -> None:
    env = ParallelLamps()
    observations, _ = env.reset(seed=1)
    with pytest.raises(ObservationNeeded, match="Hand in the observations"):
        seat.act_all(env)
    observations, *_ = env.step({"player_0": 1, "player_1": 0})
    shares = seat.distribution(env, "player_1", observations["player_1"])
    assert shares is not None and shares[1] == 0
    free = ParallelLamps(masked=False)
    free.reset(seed=1)
    free.step({"player_0": 1, "player_1": 0})
    assert set(seat.act_all(free)) == {"player_0", "player_1"}
    with pytest.raises(NotParallel, match=r"act\(env\)"):
        seat.act_all(lamps())


def test_many_turns_find_room_one_after_the_other_in_a_small_pool(loaded: LoadedModel) -> None:
    envs = [lamps(seed, players=3, rounds=9) for seed in range(12)]
    rng = random.Random(1)
    # Room for a few of the prompts at once, and a forward that takes them all.
    with Seat(Lamps(), loaded, mode="full", pool_mib=1) as seat:
        for _ in range(2):
            actions = seat.act_many([(env, None) for env in envs])
            assert all(result and result.outcome is Outcome.OK for result in seat.last_results)
            for env, action in zip(envs, actions, strict=True):
                env.step(rng.choice([action, 0]))


def test_a_turn_that_finds_no_room_at_all_says_so(loaded: LoadedModel) -> None:
    class Wordy(Lamps):
        def describe_match(self, env: Any) -> Any:
            return {"lamps": {f"lamp_{n}": f"{n} is far away " * 60 for n in range(30)}, "secrets": {}, "round": 1}

    with Seat(Wordy(), loaded, mode="star", pool_mib=1) as seat:
        with pytest.raises(TurnEnded, match="player_0.* ended as overloaded") as caught:
            seat.act(lamps())
        assert caught.value.outcome is Outcome.OVERLOADED
