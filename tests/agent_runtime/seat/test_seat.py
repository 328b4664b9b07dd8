"""A seat in real PettingZoo loops, with a tiny random model."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import agent_runtime
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.errors import UnknownName
from agent_runtime.seat import Seat
from agent_runtime.seat.errors import SeatClosed
from game_adapters import make_env
from tests.agent_runtime.seat.worlds import forwards, lamps, play
from tests.game_adapters.lamps_game import ACTIONS, Lamps, PlainLamps


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
