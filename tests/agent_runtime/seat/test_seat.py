"""A seat in real PettingZoo loops, with a tiny random model."""

import gc
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import agent_runtime
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.errors import UnknownName
from agent_runtime.seat import Seat
from agent_runtime.seat.errors import AskedTwice, NothingToNote, NotPairs, NotParallel, SeatClosed, TurnEnded
from agent_runtime.turn import Outcome
from game_adapters import make_env
from game_adapters.errors import BrokenEnvironment, NotOnTurn, ObservationNeeded, UnknownAgent
from tests.agent_runtime.worlds import load_tiny
from tests.game_adapters.lamps_game import ACTIONS, Lamps, LampsEnv, ParallelLamps, PlainLamps


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The tiny tokenizer needs several tokens a word, so the context is made longer than the tiny model's own."""
    return replace(load_tiny(tmp_path_factory.mktemp("models")), context_limit=16384)


@pytest.fixture
def seat(loaded: LoadedModel) -> Iterator[Seat]:
    with Seat(Lamps(), loaded, pool_mib=16) as made:
        yield made


def lamps(seed: int = 0, **options: Any) -> LampsEnv:
    env = LampsEnv(**options)
    env.reset(seed=seed)
    return env


def play(seat: Seat, env: Any) -> list[tuple[str, int | None]]:
    played = []
    for agent in env.agent_iter():
        played.append((agent, seat.act(env, agent)))
        env.step(played[-1][1])
    return played


def forwards(seat: Seat) -> int:
    return seat.runtime.served_model().engine.runner.forwards


def blocks_of(seat: Seat, env: Any, agent: str) -> list[str]:
    """The names of the history blocks in an agent's prompt."""
    session = seat.runtime.session(seat._tables.of(env).places[agent].session)
    return [block.text for block in session.own_blocks()[2]]


def test_it_is_a_name_of_the_package_and_brings_torch_only_when_it_is_named() -> None:
    assert agent_runtime.Seat is Seat
    with pytest.raises(AttributeError, match="Chair"):
        _ = agent_runtime.Chair  # type: ignore[attr-defined]


def test_a_loop_plays_to_its_end_with_legal_actions_and_none_for_the_dead(seat: Seat) -> None:
    env = lamps(dies=True)
    dead = 0
    for agent in env.agent_iter():
        observation, _, termination, truncation, _ = env.last()
        action = seat.act(env, agent)
        if termination or truncation:
            dead += 1
            assert action is None and seat.last_results == (None,) and seat.account is None
        else:
            assert type(action) is int and observation["action_mask"][action] == 1
            assert seat.account is not None and seat.account.forwards == 1
        env.step(action)
    assert dead == 2 and seat.act(env) is None


def test_a_distribution_is_0_where_illegal_and_sums_to_1(seat: Seat) -> None:
    env = lamps()
    env.step(2)
    shares, logprobs = seat.distribution(env, "player_1"), seat.logprobs(env, "player_1")
    assert shares is not None and logprobs is not None
    assert shares.dtype == logprobs.dtype == np.float64 and shares.shape == logprobs.shape == (len(ACTIONS),)
    assert shares[2] == 0 and np.isneginf(logprobs[2])
    assert (shares > 0).sum() == 3 and abs(shares.sum() - 1) < 1e-12
    legal = np.exp(logprobs)
    assert legal.sum() < 1
    assert shares == pytest.approx(legal / legal.sum())


def test_what_was_asked_once_is_not_computed_again(seat: Seat) -> None:
    env = lamps()
    before = forwards(seat)
    first, second = seat.distribution(env), seat.distribution(env)
    seat.logprobs(env)
    action = seat.act(env)
    third = seat.distribution(env)
    assert forwards(seat) == before + 1
    assert np.array_equal(first, second) and np.array_equal(first, third)  # type: ignore[arg-type]
    env.step(action)
    seat.distribution(env)
    assert forwards(seat) == before + 2


def test_the_temperature_flattens_the_distribution_and_leaves_the_logprobs_alone(loaded: LoadedModel) -> None:
    env = lamps()
    with Seat(Lamps(), loaded, pool_mib=16) as cold, Seat(Lamps(), loaded, pool_mib=16, temperature=50.0) as hot:
        one, other = cold.distribution(env), hot.distribution(env)
        assert one is not None and other is not None
        assert other.max() < one.max()
        assert cold.logprobs(env) == pytest.approx(hot.logprobs(env))


def test_best_is_the_likeliest_and_samples_follow_the_seed(loaded: LoadedModel) -> None:
    def games(seed: int, how: Any, **options: Any) -> list[list[tuple[str, int | None]]]:
        with Seat(Lamps(), loaded, seed, how=how, pool_mib=16, temperature=30.0, **options) as seat:
            return [play(seat, lamps(3, rounds=8)) for _ in range(2)]

    assert games(1, "sample") == games(1, "sample") != games(2, "sample")
    first, second = games(1, "sample")
    assert first != second, "two environments of one seed do not draw the same"
    first, second = games(1, "best")
    assert first == second == games(2, "best")[0]
    with Seat(Lamps(), loaded, how="best", pool_mib=16) as seat:
        shares = seat.distribution(env := lamps(3))
        assert shares is not None and seat.act(env) == int(shares.argmax())
        assert seat.last_result is not None and seat.last_result.action is not None
        assert seat.last_result.action.id == ACTIONS[int(shares.argmax())]


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


def test_agents_share_a_match_where_they_can_and_have_their_own_otherwise(loaded: LoadedModel) -> None:
    for contract, num_matches in ((Lamps(), 1), (PlainLamps(), 2)):
        with Seat(contract, loaded, mode="star", pool_mib=16) as seat:
            env = lamps()
            for _ in range(2):
                env.step(seat.act(env))
            assert len(seat.runtime._matches) == num_matches
            assert seat.account is not None
            assert seat.account.blocks_hit >= 3, "rules and lamps were encoded for the first player"
            seen = seat.runtime.session(seat._tables.of(env).places["player_1"].session)
            names = [block.name for block in seen.match.seen_by(seen.sight).blocks]
            assert "secret/player_1" in names and "secret/player_0" not in names


def test_personas_are_everybodys_or_each_agents_own(loaded: LoadedModel) -> None:
    with Seat("camp", loaded, pool_mib=64, persona={"npc_0": "warden"}) as seat:
        env = make_env("camp", 3, npcs=2, blocks=24)
        for _ in range(2):
            env.step(seat.act(env))
        places = seat._tables.of(env).places
        assert [seat.runtime.session(places[agent].session).persona for agent in ("npc_0", "npc_1")] == ["warden", None]
    with Seat("camp", loaded, pool_mib=64, persona="wardn") as seat, pytest.raises(UnknownName, match="warden"):
        seat.act(make_env("camp", 3, npcs=2, blocks=24))


@pytest.mark.parametrize("game", ["texas_holdem", "connect_four", "camp"])
def test_our_games_are_played_by_name(loaded: LoadedModel, game: str) -> None:
    options: dict[str, dict[str, int]] = {"texas_holdem": {"hands": 1}, "camp": {"blocks": 24, "ticks": 1}}
    with Seat(game, loaded, pool_mib=64) as seat:
        played = play(seat, make_env(game, 4, **options.get(game, {})))
    assert len(played) > 2 and seat.game == game and seat.warnings == ()


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


def test_warnings_of_the_game_folder_reach_the_author(loaded: LoadedModel) -> None:
    class Loose(PlainLamps):
        def describe(self, env: Any, agent: str) -> Any:
            return {**super().describe(env, agent), "weather": "rain"}

    with Seat(Loose(), loaded, pool_mib=16) as seat:
        seat.act(lamps())
        assert any("weather" in warning for warning in seat.warnings)


def test_two_seats_share_a_runtime_and_closing_one_leaves_the_other(loaded: LoadedModel) -> None:
    with Seat(Lamps(), loaded, pool_mib=64) as host:
        env, other = lamps(), make_env("connect_four", 1)
        host.act(env)
        with Seat("connect_four", runtime=host.runtime) as guest:
            guest.act(other)
            assert len(host.runtime._matches) == 2
        assert len(host.runtime._matches) == 1
        env.step(0)
        host.act(env)
        with pytest.raises(UnknownName, match="'big'"):
            Seat(Lamps(), "big", runtime=host.runtime).act(env)
    host.close()


def test_a_seat_that_was_closed_says_so(loaded: LoadedModel) -> None:
    env = lamps()
    with Seat(Lamps(), loaded, pool_mib=16) as seat:
        assert seat.act(env) is not None
    with pytest.raises(SeatClosed, match="The seat was closed"):
        seat.act(env)
    seat.close()


def test_threads_may_play_environments_of_their_own(seat: Seat) -> None:
    def run(number: int) -> list[tuple[str, int | None]]:
        return play(seat, lamps(number))

    with ThreadPoolExecutor(6) as threads:
        games = list(threads.map(run, range(6)))
    assert all(len(game) == 10 and game[-1][1] is None for game in games)


def test_an_environment_that_ends_in_the_middle_of_a_turn_has_none_any_more(seat: Seat) -> None:
    env = lamps()
    assert seat.distribution(env) is not None
    env.truncations = dict.fromkeys(env.agents, True)
    assert seat.act(env) is None and seat.distribution(env) is None and seat.logprobs(env) is None
    env.agents.clear()
    assert seat.act(env) is None and seat.act_many([(env, "player_1")]) == [None]


def test_a_reward_that_is_nan_is_told_when_it_would_become_history(seat: Seat) -> None:
    env = lamps(players=1)
    env.step(seat.act(env))
    env._cumulative_rewards["player_0"] = float("nan")
    with pytest.raises(BrokenEnvironment, match="the reward of 'player_0' is nan"):
        seat.act(env)
