"""Frames of a gamecore match: what is sent of them, and that nothing comes twice."""

import copy
import json

import pytest

from agent_runtime.bench.land import PlayedLand
from agent_runtime.engine.bench.errors import BadOption
from agent_runtime.server.client_messages import MatchState, Turn
from agent_runtime.server.messages import client_message, read_json
from agent_runtime.tuning.data.generating import blocks_of, game_of
from prompts.patch import apply_patch


def test_a_land_has_the_blocks_that_are_asked_for_and_as_many_change_as_units() -> None:
    land, game = PlayedLand(40, 30, 6, 3), game_of("gamecore")
    first = copy.deepcopy(land.next().state)
    assert len(blocks_of(game, first).blocks) == 40
    second = land.next()
    before, after = (
        {block.name: block.text for block in blocks_of(game, each).blocks} for each in (first, second.state)
    )
    assert sum(before[name] != after[name] for name in before) == 3
    assert apply_patch(first, second.patch) == second.state


def test_messages_are_those_of_the_protocol_whole_and_as_a_patch() -> None:
    land = PlayedLand(12, 30, 6, 1)
    land.next()
    moment = land.next()
    whole, patch = (client_message(read_json(moment.frame_text("m", whole=whole))) for whole in (True, False))
    assert isinstance(whole, MatchState) and isinstance(patch, MatchState)
    assert (whole.state, whole.patch, patch.state, patch.patch) == (moment.state, None, None, moment.patch)
    asked = client_message(read_json(moment.turn_text("s")))
    assert isinstance(asked, Turn)
    assert asked.request() == moment.request("s")
    assert len(set(moment.actions)) == 6


def test_no_block_comes_back_and_no_question_is_asked_twice() -> None:
    land, game = PlayedLand(12, 30, 4, 2), game_of("gamecore")
    texts, questions = set[str](), set[tuple[object, ...]]()
    for number in range(30):
        moment = land.next()
        found = {block.text for block in blocks_of(game, moment.state).blocks}
        assert len(found - texts) == (12 if number == 0 else 2)
        texts |= found
        questions.add((moment.state["clock"]["day"], moment.observation, moment.actions))
    assert len(questions) == 30


def test_equal_seeds_make_equal_matches() -> None:
    one, same, other = (PlayedLand(12, 30, 4, 1, seed) for seed in (1, 1, 2))
    for _ in range(3):
        frame = one.next().frame_text("m", whole=True)
        assert frame == same.next().frame_text("m", whole=True) != other.next().frame_text("m", whole=True)
    assert json.loads(frame)["frame"] == 2


@pytest.mark.parametrize(
    ("numbers", "option"),
    [
        ((7, 30, 4, 1), "--blocks: 7 is out of range for gamecore: name 8 to 400."),
        ((12, 20, 4, 1), "--block-tokens: 20 is out of range for gamecore: name 30 to 120."),
        ((12, 30, 4, 50), "--changed: 50 is out of range"),
        ((8, 30, 99, 1), "--actions: 99 is out of range for gamecore: name 2 to"),
    ],
)
def test_numbers_out_of_range_are_refused(numbers: tuple[int, int, int, int], option: str) -> None:
    with pytest.raises(BadOption) as refused:
        PlayedLand(*numbers)
    assert str(refused.value).startswith(option)


def test_without_a_number_sixteen_actions_are_listed_or_all_there_are() -> None:
    assert PlayedLand(300, 33, None, 1).num_actions == 16
    few = PlayedLand(8, 33, None, 1)
    assert 2 <= few.num_actions < 16 and len(few.next().actions) == few.num_actions
