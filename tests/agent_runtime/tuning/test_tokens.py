"""A sample's tokens are those of the runtime's encoder, piece by piece."""

from pathlib import Path

from agent_runtime.engine.loading import ModelSpec, load_model
from agent_runtime.tuning.samples import Ask, Sample
from agent_runtime.tuning.tokens import in_tokens
from tests.tiny_models import save_tiny_model

ASKS = (
    Ask("Which way?\n", "north", "north", "decision", ("north", "south", "hold"), 1 / 3),
    Ask("How many?\n", "3", "3", "counting"),
)
SAMPLE = Sample("gates", "gates", "train", 0, "Answer.", (("gate", "open: yes\n"), ("mill", "open: no\n")), ASKS)


def test_a_sample_is_its_anchor_its_blocks_and_its_asks_with_their_answers(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "guard", "llama")
    text = load_model(ModelSpec(str(tmp_path / "guard"), device="cpu"), tmp_path / "cache").text
    learned = in_tokens(SAMPLE, text)
    assert learned.blocks == (
        text.anchor_ids("Answer."),
        text.block_ids("open: yes\n"),
        text.block_ids("open: no\n"),
    )
    which, many = (text.observation_ids(ask.observation) for ask in ASKS)
    asked = [(ask.observation, ask.answers) for ask in learned.asks]
    assert asked == [(which, (text.answer_ids("north"),)), (many, (text.answer_ids("3"),))]
    listed = in_tokens(SAMPLE, text, lambda ask: ask.actions)
    assert listed.blocks == learned.blocks
    assert listed.asks[0].answers == tuple(text.answer_ids(each) for each in ASKS[0].actions)
    assert [ask.observation for ask in listed.asks] == [which, many]


def test_tokens_do_not_depend_on_how_much_the_encoder_remembers(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "guard", "llama")
    text = load_model(ModelSpec(str(tmp_path / "guard"), device="cpu"), tmp_path / "cache").text
    learned = in_tokens(SAMPLE, text)
    assert in_tokens(SAMPLE, text.copy(cache_tokens=1)) == in_tokens(SAMPLE, text) == learned
