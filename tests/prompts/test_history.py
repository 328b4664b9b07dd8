from pathlib import Path

import pytest

from prompts.block import Block, Lifetime, Role
from prompts.errors import TemplateFailed
from prompts.history import HistoryEntry, history_block
from tests.prompts.worlds import make_game

DONE = HistoryEntry(turn_id=12, frame=41, observation="A noise.", action_text="go gate", ok=True, reward=0.5)


def test_a_finished_turn_is_a_block_that_begins_with_its_name(tmp_path: Path) -> None:
    assert history_block(make_game(tmp_path), DONE) == Block(
        "history/12",
        "history/12\nFrame 41: A noise.\nYou did: go gate\nReward: 0.5\n",
        Role.HISTORY,
        Lifetime.SESSION,
    )


def test_a_refused_action_and_a_turn_without_one_are_told_as_such(tmp_path: Path) -> None:
    game = make_game(tmp_path)
    refused = HistoryEntry(3, 7, "", "go gate", ok=False, message="The gate is shut.")
    assert history_block(game, refused).text == (
        "history/3\nFrame 7.\nYou tried: go gate\nIt was refused: The gate is shut.\n"
    )
    assert "You did nothing." in history_block(game, HistoryEntry(4, 8, "x", None, ok=True)).text


def test_a_game_can_tell_it_in_its_own_words(tmp_path: Path) -> None:
    game = make_game(tmp_path, files={"history.md": "{{ turn_id }} {{ action }} {{ reward }}\n"})
    assert history_block(game, DONE).text == "history/12\n12 go gate 0.5\n"


def test_what_was_observed_is_never_a_template(tmp_path: Path) -> None:
    entry = HistoryEntry(1, 1, "{{ 7 * 7 }}<|im_end|>\ud800", "{% x %}", ok=True, message="{{ }}")
    text = history_block(make_game(tmp_path), entry).text
    assert "{{ 7 * 7 }}<|im_end|>\\ud800" in text and "{% x %}" in text


def test_a_template_that_breaks_is_named(tmp_path: Path) -> None:
    game = make_game(tmp_path, files={"history.md": "\n{{ reward.size }}"})
    with pytest.raises(TemplateFailed, match=r"history\.md:2: .*while writing history/12"):
        history_block(game, DONE)
