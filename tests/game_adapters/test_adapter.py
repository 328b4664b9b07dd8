from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from hypothesis import given
from hypothesis import strategies as st

from game_adapters.adapter import ActionOffer, PettingZooAdapter, legal_indices, match_state, sight_of
from game_adapters.errors import (
    BadActionMask,
    BadActionNames,
    BadWords,
    GameCodeFailed,
    NoLegalAction,
    NotOnTurn,
    UnknownAction,
    UnsupportedActionSpace,
)
from tests.game_adapters.fakes import FakeEnv, FakeGame, TalkingGame
from tests.game_adapters.lamps_game import Lamps

ADAPTER = PettingZooAdapter("fake", FakeGame())


def offered(env: FakeEnv) -> list[str]:
    view = ADAPTER.turn(env)
    assert view is not None
    return [offer.id for offer in view.actions]


def test_a_turn_says_who_what_and_which_actions() -> None:
    view = ADAPTER.turn(FakeEnv(), "left")
    assert view is not None
    assert (view.game, view.agent, view.state) == ("fake", "left", {"you": "left"})
    assert view.observation_text == "You are left. It is your turn."
    assert view.actions == (ActionOffer("wait", "", 0), ActionOffer("go left", "", 1), ActionOffer("go right", "", 2))


def test_a_narrator_words_the_observation_and_explains_the_actions() -> None:
    view = PettingZooAdapter("fake", TalkingGame()).turn(FakeEnv({"action_mask": [1, 0, 1]}))
    assert view is not None
    assert view.observation_text == "It is dark, left."
    assert view.actions == (ActionOffer("wait", "", 0), ActionOffer("go right", "to the hills", 2))


def test_offers_are_the_actions_of_a_turn_without_their_texts() -> None:
    adapter = PettingZooAdapter("fake", TalkingGame())
    for env in (FakeEnv(), FakeEnv({"action_mask": [1, 0, 1]})):
        view, offers = adapter.turn(env), adapter.offers(env, "left")
        assert view is not None and offers == tuple(replace(offer, text="") for offer in view.actions)
    dead = FakeEnv()
    dead.terminations["left"] = True
    assert adapter.offers(dead) is None is adapter.turn(dead)
    with pytest.raises(NoLegalAction):
        adapter.offers(FakeEnv({"action_mask": [0, 0, 0]}))


def test_names_that_were_good_once_are_checked_again_when_they_change() -> None:
    class Moody(FakeGame):
        names = ["wait", "go left", "go right"]

        def action_names(self, env: Any, agent: str) -> list[str]:
            return self.names

    game = Moody()
    adapter = PettingZooAdapter("fake", game)
    for _ in range(2):
        assert [offer.id for offer in adapter.offers(FakeEnv()) or ()] == ["wait", "go left", "go right"]
    game.names[2] = "wait"  # the very list that was handed out before
    with pytest.raises(BadActionNames):
        adapter.offers(FakeEnv())


def test_the_mask_of_the_observation_comes_before_that_of_the_info() -> None:
    assert offered(FakeEnv({"action_mask": [0, 1, 0]}, {"action_mask": [1, 0, 0]})) == ["go left"]


def test_the_mask_of_the_info_is_read_when_the_observation_has_none() -> None:
    assert offered(FakeEnv(np.zeros(4), {"action_mask": np.array([1, 0, 0], np.int8)})) == ["wait"]
    assert offered(FakeEnv({"observation": 0}, {"action_mask": [False, True, False]})) == ["go left"]


def test_without_a_mask_every_action_is_legal() -> None:
    assert offered(FakeEnv()) == ["wait", "go left", "go right"]


def test_a_space_that_does_not_start_at_zero_gives_its_own_numbers() -> None:
    view = ADAPTER.turn(FakeEnv({"action_mask": [0, 1, 1]}, space=Discrete(3, start=5)))
    assert view is not None
    assert [offer.number for offer in view.actions] == [6, 7]


@given(st.lists(st.booleans(), min_size=1, max_size=40).filter(any))
def test_exactly_the_actions_of_the_mask_are_legal(mask: list[bool]) -> None:
    for form in (mask, np.array(mask, np.int8), np.array(mask, np.float32)):
        legal = legal_indices("fake", "left", len(mask), {"action_mask": form}, {})
        assert list(legal) == [index for index, allowed in enumerate(mask) if allowed]


@pytest.mark.parametrize(
    "mask", [[1, 0], [[1, 0, 0]], [1.0, float("nan"), 0.0], [1, 2, 0], [0.5, 0, 0], ["yes", "no", "no"], 1]
)
def test_a_mask_that_is_no_mask_is_refused(mask: object) -> None:
    with pytest.raises(BadActionMask, match="left.*fake"):
        ADAPTER.turn(FakeEnv({"action_mask": mask}))


def test_a_live_agent_without_a_legal_action_is_refused() -> None:
    with pytest.raises(NoLegalAction, match="allows no action"):
        ADAPTER.turn(FakeEnv({"action_mask": [0, 0, 0]}))


@pytest.mark.parametrize("space", [Box(-1.0, 1.0, (2,)), MultiDiscrete([2, 2])])
def test_only_discrete_actions_can_be_listed(space: object) -> None:
    with pytest.raises(UnsupportedActionSpace, match="Discrete"):
        ADAPTER.turn(FakeEnv(space=space))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "names",
    [
        ["wait", "go"],
        ["wait", "go", "go"],
        ["wait", "go  on", "go on "],
        ["wait", " ", "go"],
        ["a", "b", "c\nd"],
        ["a", "b", "\ud800"],
        "abc",
        {"wait": 0, "go": 1, "stop": 2},
    ],
)
def test_names_that_an_agent_could_not_answer_with_are_refused(names: Any) -> None:
    with pytest.raises(BadActionNames):
        PettingZooAdapter("fake", FakeGame(names)).turn(FakeEnv())


@pytest.mark.parametrize("text", [None, 7, "\ud800"])
def test_an_observation_in_other_than_words_is_refused(text: Any) -> None:
    class Silent(TalkingGame):
        def observation(self, env: Any, agent: str) -> str:
            return text  # type: ignore[no-any-return]

    with pytest.raises(BadWords, match="observation of fake for 'left': it returned"):
        PettingZooAdapter("fake", Silent()).turn(FakeEnv())


@pytest.mark.parametrize(
    ("texts", "said"), [(None, "returned None"), ("abc", "returned 'abc'"), (["", None, ""], "of action 1 is None")]
)
def test_explanations_that_are_none_are_refused(texts: Any, said: str) -> None:
    class Silent(TalkingGame):
        def action_texts(self, env: Any, agent: str) -> list[str]:
            return texts  # type: ignore[no-any-return]

    with pytest.raises(BadWords, match=f"action_texts of fake for 'left': .*{said}"):
        PettingZooAdapter("fake", Silent()).turn(FakeEnv())


def test_a_mask_of_uneven_parts_is_refused() -> None:
    with pytest.raises(BadActionMask, match="parts are of different lengths. Return 3 numbers"):
        ADAPTER.turn(FakeEnv({"action_mask": [[1], [1, 0]]}))


@pytest.mark.parametrize("patterns", [None, "/lamps", ("/lamps", 3)])
def test_a_sight_that_is_no_tuple_of_patterns_is_refused(patterns: Any) -> None:
    class Blind(Lamps):
        def sight(self, agent: str) -> tuple[str, ...]:
            return patterns  # type: ignore[no-any-return]

    with pytest.raises(BadWords, match="sight of lamps for 'left': it returned .*; a tuple of patterns is wanted"):
        sight_of("lamps", Blind(), "left")


def test_what_describe_match_and_sight_raise_is_told_with_its_place() -> None:
    class Raising(Lamps):
        def describe_match(self, env: Any) -> Any:
            raise RuntimeError("no match")

        def sight(self, agent: str) -> tuple[str, ...]:
            raise RuntimeError("no eyes")

    with pytest.raises(GameCodeFailed, match=r"describe_match for 'left' .* no match \(.*test_adapter.py:\d+\)"):
        match_state("lamps", Raising(), None, "left")
    with pytest.raises(GameCodeFailed, match=r"sight\('left'\) .* no eyes \(.*test_adapter.py:\d+\)"):
        sight_of("lamps", Raising(), "left")


def test_a_dead_agent_has_no_turn() -> None:
    assert ADAPTER.turn(FakeEnv(alive=False)) is None
    assert ADAPTER.turn(FakeEnv(), "gone") is None
    over = FakeEnv()
    over.agents = []
    assert ADAPTER.turn(over) is None


def test_only_the_agent_on_turn_has_a_turn() -> None:
    with pytest.raises(NotOnTurn, match="waits for 'left'"):
        ADAPTER.turn(FakeEnv(), "right")


def test_the_chosen_words_lead_back_to_the_number() -> None:
    view = ADAPTER.turn(FakeEnv({"action_mask": [1, 0, 1]}))
    assert view is not None
    assert view.number("go right") == 2
    with pytest.raises(UnknownAction, match="'go left' was not offered.*wait, go right"):
        view.number("go left")
