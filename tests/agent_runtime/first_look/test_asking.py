"""agent_runtime.first_look.asking and answer: one turn, as the runtime plays it, and all of it shown."""

import json
from pathlib import Path

import pytest

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.errors import PromptTooLong
from agent_runtime.first_look.answer import answer_json, answer_lines
from agent_runtime.first_look.asking import Answer, ask
from agent_runtime.first_look.question import Question, read_actions
from agent_runtime.turn import Mode
from prompts import load_game
from tests.agent_runtime.worlds import GAME, open_duel, play, runtime, state, write_game


@pytest.fixture
def question(tmp_path: Path) -> Question:
    folder = write_game(tmp_path) / GAME
    (folder / "personas").mkdir()
    (folder / "personas" / "spy.md").write_text("You spy.", encoding="utf-8")
    return Question(
        load_game(folder), state(), read_actions(["hold,go north,attack"]), "A noise.", "spy", mode=Mode.STAR
    )


@pytest.fixture
def answer(question: Question, tiny: LoadedModel) -> Answer:
    return ask(question, tiny, 16)


def test_it_is_the_turn_that_a_game_would_get(answer: Answer, question: Question, tiny: LoadedModel) -> None:
    with runtime(tiny, question.game.folder) as made:
        open_duel(made, persona="spy")
        made.put_state("m", 0, state=state())
        played = play(made, 1, actions=question.actions)
    assert [score.id for score in answer.result.scores] == ["hold", "go north", "attack"]
    for mine, other in zip(answer.result.scores, played.scores, strict=True):
        assert mine.logprob == pytest.approx(other.logprob, abs=1e-4)
    assert answer.result.action == played.action


def test_the_prompt_is_shown_block_by_block_in_its_order(answer: Answer) -> None:
    units = [(f"unit/u{number}", "state") for number in range(5)]
    assert [(block.name, block.role) for block in answer.blocks] == [
        ("duel/rules", "anchor"),
        *units,
        ("secret/blue", "state"),
        ("secret/red", "state"),
        ("persona/spy", "persona"),
        ("observation", "observation"),
    ]
    assert answer.result.account is not None
    assert sum(block.tokens for block in answer.blocks) == answer.result.account.tokens_prompt
    assert answer.blocks[0].text.startswith("<|im_start|>system\nAnswer with one")
    assert answer.blocks[1].text.startswith("/units/u0\n") and "A noise." in answer.blocks[-1].text


def test_lines_show_the_action_the_bars_the_strip_and_the_account(answer: Answer) -> None:
    lines = list(answer_lines(answer, texts=False, blocks_mark="#"))
    assert lines[0].startswith("duel, star, llama-0: ok, ")
    bars = [line for line in lines if "%" in line]
    assert len(bars) == 3 and bars[0].split("#")[0] > "" and bars[0].count("#") >= bars[1].count("#")
    assert any(line.startswith("unit/u3") and "state" in line and "tokens" in line for line in lines)
    assert any("tokens of prompt; computed" in line for line in lines)
    assert any(line.startswith("Note: ") and "not block-tuned" in line for line in lines)
    assert len(list(answer_lines(answer, texts=True, blocks_mark="#"))) > len(lines) + 10


def test_json_says_all_of_it(answer: Answer) -> None:
    said = json.loads(json.dumps(answer_json(answer)))
    assert (said["format"], said["game"], said["mode"], said["outcome"]) == ("hotseat.turn", "duel", "star", "ok")
    assert said["action"]["id"] == max(said["scores"], key=lambda score: score["p"])["id"]
    assert said["account"]["tokens_prompt"] == sum(block["tokens"] for block in said["blocks"])


def test_a_prompt_that_is_too_long_is_refused_as_everywhere(question: Question, tiny: LoadedModel) -> None:
    from dataclasses import replace

    with pytest.raises(PromptTooLong):
        ask(replace(question, observation="on and on " * 2000), tiny, 16)
