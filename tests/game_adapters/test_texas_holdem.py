import json
import random
from typing import Any

import pytest

from game_adapters import load_adapter, make_env
from game_adapters.texas_holdem import TexasHoldem

ADAPTER = load_adapter("texas_holdem")
GAME = TexasHoldem()


def after(*answers: str, seed: int = 1, **options: int) -> Any:
    env = make_env("texas_holdem", seed, **options)
    for answer in answers:
        view = ADAPTER.turn(env)
        assert view is not None
        env.step(view.number(answer))
    return env


def ids(env: Any) -> list[str]:
    view = ADAPTER.turn(env)
    assert view is not None
    return [offer.id for offer in view.actions]


def test_the_passive_action_is_called_what_it_is() -> None:
    assert ids(after())[1] == "call"
    assert ids(after("call"))[1] == "check"
    assert ids(after("call", "check", "raise_pot"))[1] == "call"


def test_the_names_are_in_the_order_of_the_numbers() -> None:
    env = after()
    assert GAME.action_names(env, "player_1") == ["fold", "call", "raise_half_pot", "raise_pot", "all_in"]


def test_the_texts_say_how_many_chips_an_action_moves() -> None:
    env = after("call", "check")
    assert GAME.action_texts(env, "player_1") == [
        "give up the hand",
        "add nothing and stay in",
        "add 2 chips",
        "add 4 chips",
        "add all 98",
    ]


@pytest.mark.parametrize("seed", range(8))
def test_the_texts_promise_what_the_actions_do(seed: int) -> None:
    env, choose = after(seed=seed), random.Random(seed)
    for _ in range(12):
        view = ADAPTER.turn(env)
        if view is None:
            break
        match, offer = env.unwrapped, choose.choice(view.actions[1:])
        promised, hand = match.chips_added(view.agent, offer.number), match.hand_number
        env.step(offer.number)
        if match.hand_number == hand:
            assert match.betting[-1].chips == promised


def test_the_state_reads_like_the_table() -> None:
    env = after("call", "check", "raise_pot")
    state = GAME.describe(env, "player_0")
    cards = env.unwrapped.hole_cards("player_0")
    assert state["hands"] == {"player_0": f"{cards[0]} {cards[1]}"}
    assert state["betting"]["flop"] == ["player_1 raises the pot, 4"]
    assert state["table"] == {
        "to_act": "player_0",
        "round": "flop",
        "pot": 8,
        "to_call": 4,
        "put_in": {"player_0": 2, "player_1": 6},
        "stacks": {"player_0": 98, "player_1": 94},
    }
    assert len(state["board"].split()) == 3


def test_past_hands_are_told_the_last_few_only() -> None:
    env = after(*["fold"] * 7)
    past = GAME.describe(env, env.agent_selection)["past"]
    assert list(past) == ["hand_03", "hand_04", "hand_05", "hand_06", "hand_07"]
    assert past["hand_07"] == {"result": "player_0 wins 1", "how": "player_1 folds before the flop", "board": "none"}


def test_a_showdown_shows_both_hands() -> None:
    env = after(*["call", "check"] + ["check"] * 6)
    past = GAME.describe(env, env.agent_selection)["past"]["hand_01"]
    assert past["how"] == "showdown"
    assert set(past["shown"]) == {"player_0", "player_1"}


@pytest.mark.parametrize("seed", range(6))
def test_other_hidden_cards_give_the_same_bytes(seed: int) -> None:
    env, choose = after(seed=seed), random.Random(seed)
    for agent in env.agent_iter():
        view = ADAPTER.turn(env, agent)
        if view is None:
            env.step(None)
            continue
        match = env.unwrapped
        other = match._player(match.other(agent))
        dealt, deck = other.hand, match._game.dealer.deck
        other.hand = choose.sample(deck, 2)
        assert other.hand != dealt
        again = ADAPTER.turn(env, agent)
        assert again is not None
        assert json.dumps(again.state) == json.dumps(view.state)
        assert (again.observation_text, again.actions) == (view.observation_text, view.actions)
        other.hand = dealt
        env.step(view.number(choose.choice(view.actions).id))


def strength(cards: str) -> int:
    """Something to go by: the higher rank twice as much as the lower one, a pair counts most."""
    first, second = sorted(("23456789TJQKA".index(card[0]) for card in cards.split()), reverse=True)
    return 2 * first + second + (20 if first == second else 0)


def test_a_stub_that_reads_its_cards_beats_one_that_always_calls() -> None:
    won = 0
    for seed in range(12):
        env = make_env("texas_holdem", seed, hands=10)
        for agent in env.agent_iter():
            _, reward, *_ = env.last()
            won += int(reward) if agent == "player_0" else 0
            view = ADAPTER.turn(env, agent)
            if view is None:
                env.step(None)
                continue
            answers = [offer.id for offer in view.actions]
            answer = answers[1]
            if agent == "player_0" and strength(view.state["hands"]["player_0"]) >= 30 and "raise_pot" in answers:
                answer = "raise_pot"
            elif agent == "player_0" and answer == "call" and strength(view.state["hands"]["player_0"]) < 12:
                answer = "fold"
            env.step(view.number(answer))
    assert won > 0
