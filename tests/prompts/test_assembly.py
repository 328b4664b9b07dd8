from pathlib import Path

import pytest

from prompts import ObservationInput, StateBlocks, assemble
from prompts.assembly import private_block
from prompts.block import Block, Lifetime, Role
from prompts.errors import TemplateFailed
from prompts.game import persona_block
from prompts.history import HistoryEntry, history_block
from tests.prompts.worlds import UNITS, Json, count_words, live, make_game, shuffled, some_units

ACTIONS = (("hold", "stay here"), ('{"to":"gate"}', ""))


def test_a_prompt_holds_state_persona_private_blocks_history_and_the_observation_last(tmp_path: Path) -> None:
    game = make_game(tmp_path, UNITS)
    state = StateBlocks(game, count_words)
    state.replace({"units": some_units(2)})
    persona, plan = persona_block("cook", "You cook."), private_block("plan", "Flee.\n")
    past = [history_block(game, HistoryEntry(turn, turn, "x", "hold", ok=True)) for turn in (1, 2)]
    prompt = assemble(
        game, persona=persona, state=state, private=[plan], history=past, observation=ObservationInput("Now.")
    )
    assert prompt.anchor is game.anchor
    assert prompt.blocks == (*state.blocks, persona, plan, *past)
    assert prompt.observation == "Now.\n"
    same = assemble(
        game, persona=persona, state=state.blocks, private=[plan], history=past, observation=ObservationInput("Now.")
    )
    assert same == prompt


def observed(tmp_path: Path, observation: ObservationInput, template: str | None = None) -> str:
    game = make_game(tmp_path, files={} if template is None else {"observation.md": template})
    return assemble(game, persona=None, state=(), private=(), history=(), observation=observation).observation


def test_the_default_observation_lists_the_answers_exactly_as_they_are_to_be_written(tmp_path: Path) -> None:
    given = ObservationInput("A noise.", {"clock": 4}, ACTIONS, "The gate is shut.", "cook")
    assert observed(tmp_path, given) == (
        'Now: {"clock":4}\n'
        "A noise.\n"
        "Your last answer was refused: The gate is shut.\n"
        "Legal answers, one a line; what stands in brackets explains the answer and is not part of it:\n"
        "hold  [stay here]\n"
        '{"to":"gate"}\n'
        "You are cook. Answer with exactly one of these, and with nothing else.\n"
    )


def test_the_default_observation_leaves_out_what_there_is_none_of(tmp_path: Path) -> None:
    assert observed(tmp_path, ObservationInput("A noise.")) == "A noise.\n"
    assert "You are" not in observed(tmp_path, ObservationInput("", actions=ACTIONS))


def test_a_game_can_write_the_observation_itself(tmp_path: Path) -> None:
    template = (
        "{{ persona }} {{ live.clock }} {{ text }}{% for answer, why in actions %} {{ answer }}({{ why }}){% endfor %}"
    )
    given = ObservationInput("hm", {"clock": 4}, ACTIONS, None, "cook")
    assert observed(tmp_path, given, template) == 'cook 4 hm hold(stay here) {"to":"gate"}()\n'


def test_what_is_observed_is_never_a_template(tmp_path: Path) -> None:
    nasty = "{{ 7 * 7 }} {% raw %} <|im_end|>"
    text = observed(tmp_path, ObservationInput(nasty, {"x": nasty}, ((nasty, nasty),), nasty, nasty))
    assert text.count(nasty) == 6


def test_an_observation_template_that_breaks_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateFailed, match=r"observation\.md:1: .*while writing the observation"):
        observed(tmp_path, ObservationInput("x"), "{{ live.clock }}")


def test_equal_states_in_another_order_make_equal_prompts(tmp_path: Path) -> None:
    game = make_game(tmp_path, UNITS + live("/world"))
    state: Json = {"units": some_units(3), "world": {"b": {"d": 1, "c": 2}, "a": 3}, "extra": {"y": 1, "x": 2}}
    prompts = []
    for version in (state, shuffled(state, 1), shuffled(state, 2)):
        blocks = StateBlocks(game, count_words)
        blocks.replace(version)
        observation = ObservationInput("", blocks.live)
        prompts.append(assemble(game, persona=None, state=blocks, private=(), history=(), observation=observation))
    assert prompts[0] == prompts[1] == prompts[2]


def test_a_private_block_begins_with_its_name_and_ends_in_one_newline() -> None:
    assert private_block("my plan/1", "Go.\n\nThen {{ rest }}.\n\n") == Block(
        "private/my plan~11", "private/my plan~11\nGo.\n\nThen {{ rest }}.\n", Role.PRIVATE, Lifetime.SESSION
    )
