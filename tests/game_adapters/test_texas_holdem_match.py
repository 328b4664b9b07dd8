import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from game_adapters import texas_holdem_match as match_module
from game_adapters.texas_holdem_match import ALL_IN, CHECK_CALL, FOLD, RAISE_POT, TexasHoldemMatch

PLAYERS = ("player_0", "player_1")


def started(hands: int = 20, chips: int = 100, seed: int = 1) -> Any:
    env = match_module.env(hands=hands, chips=chips)
    env.reset(seed=seed)
    return env


def legal(env: Any) -> list[int]:
    return [index for index, allowed in enumerate(env.observe(env.agent_selection)["action_mask"]) if allowed]


def play_out(env: Any, seed: int, weights: tuple[float, ...] = (0.1, 1.0, 0.3, 0.2, 0.02)) -> dict[str, float]:
    """Plays at random to the end; returns what each player got in all."""
    choose, total = random.Random(seed), dict.fromkeys(PLAYERS, 0.0)
    for agent in env.agent_iter():
        _, reward, over, cut, _ = env.last()
        total[agent] += reward
        options = legal(env) if not (over or cut) else []
        env.step(choose.choices(options, [weights[option] for option in options])[0] if options else None)
    return total


@given(seed=st.integers(0, 10_000), chips=st.integers(2, 120), boldness=st.floats(0.01, 1.0))
@settings(max_examples=60, deadline=None)
def test_no_chip_is_made_or_lost_and_rewards_are_the_chips_won(seed: int, chips: int, boldness: float) -> None:
    env = started(hands=6, chips=chips, seed=seed)
    total = play_out(env, seed, (0.1, 1.0, 0.3, 0.2, boldness))
    match: TexasHoldemMatch = env.unwrapped
    assert sum(match.stacks_before.values()) == 2 * chips
    assert total == {player: match.stacks_before[player] - chips for player in PLAYERS}
    for result in match.results:
        assert sum(result.won.values()) == 0


def test_stacks_and_button_are_carried_from_hand_to_hand() -> None:
    env = started()
    match: TexasHoldemMatch = env.unwrapped
    assert (match.hand_number, match.button, env.agent_selection) == (1, "player_0", "player_1")
    env.step(FOLD)
    assert (match.hand_number, match.button, env.agent_selection) == (2, "player_1", "player_0")
    assert match.stacks_before == {"player_0": 101, "player_1": 99}
    assert (match.put_in("player_0"), match.put_in("player_1")) == (1, 2)
    assert (match.stack("player_0"), match.stack("player_1")) == (100, 97)
    assert env.rewards == {"player_0": 1, "player_1": -1}


def test_the_match_ends_after_its_hands() -> None:
    env = started(hands=3)
    for _ in range(3):
        assert not any(env.terminations.values())
        env.step(FOLD)
    assert all(env.terminations.values())
    assert len(env.unwrapped.results) == 3


def test_the_match_ends_early_when_a_player_is_broke() -> None:
    for seed in range(20):
        env = started(seed=seed)
        env.step(ALL_IN)
        env.step(CHECK_CALL)
        if any(env.unwrapped.results[0].won.values()):
            break
    assert all(env.terminations.values())
    assert sorted(env.unwrapped.stacks_before.values()) == [0, 200]


def test_cards_depend_on_the_seed_and_the_hand_and_not_on_the_play() -> None:
    def third_hand(first_action: int) -> tuple[tuple[str, ...], ...]:
        env = started(seed=11)
        env.step(first_action)
        while env.unwrapped.hand_number < 3:
            env.step(CHECK_CALL if CHECK_CALL in legal(env) else FOLD)
        return tuple(env.unwrapped.hole_cards(player) for player in PLAYERS)

    assert third_hand(FOLD) == third_hand(RAISE_POT) == third_hand(CHECK_CALL)


def test_a_player_whom_the_blind_took_the_last_chip_is_not_offered_to_go_all_in() -> None:
    env = started(chips=2)
    env.step(CHECK_CALL)
    assert env.unwrapped.stack(env.agent_selection) == 0
    assert legal(env) == [FOLD, CHECK_CALL]


def test_a_hand_that_ends_before_the_showdown_shows_no_cards() -> None:
    env = started()
    env.step(FOLD)
    for action in (CHECK_CALL, CHECK_CALL, FOLD):
        env.step(action)
    before_the_flop, on_the_flop = env.unwrapped.results
    assert (before_the_flop.shown, before_the_flop.board) == (None, ())
    assert (on_the_flop.shown, len(on_the_flop.board)) == (None, 3)


def test_betting_is_kept_with_its_round_and_its_chips() -> None:
    env = started()
    for action in (CHECK_CALL, CHECK_CALL, RAISE_POT):
        env.step(action)
    told = [(bet.round, bet.player, bet.action, bet.chips) for bet in env.unwrapped.betting]
    assert told == [
        ("preflop", "player_1", "posts the small blind", 1),
        ("preflop", "player_0", "posts the big blind", 2),
        ("preflop", "player_1", "calls", 1),
        ("preflop", "player_0", "checks", 0),
        ("flop", "player_1", "raises the pot", 4),
    ]
    assert env.unwrapped.to_call("player_0") == 4


def test_an_illegal_action_ends_the_match_at_the_cost_of_whoever_took_it() -> None:
    env = started(chips=2)
    env.step(RAISE_POT)
    assert env.rewards == {"player_0": 0, "player_1": -1}
