"""A model's conversations with itself: the chat template's own tokens, the same for a seed, nothing that is cut."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model
from agent_runtime.engine.sources import EMBEDDED, cache_folder, tokenizer_folder
from agent_runtime.engine.text import TextEncoder
from agent_runtime.tuning.data.self_talk import (
    PLAIN_SYSTEM,
    SelfTalk,
    _Talker,
    fault_of,
    template_system,
    write_self_talk,
)
from agent_runtime.tuning.errors import BadArgument, NotTrainable
from agent_runtime.tuning.rows import TRAINED_MODES
from agent_runtime.tuning.samples import read_header, read_samples
from agent_runtime.tuning.stream import BatchStream, FileSource
from agent_runtime.tuning.tokens import in_tokens
from tests.tiny_models import CHATML, END, save_tiny_model

# As SmolLM2's: a conversation without a system message gets one.
WITH_DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a guard.<|im_end|>\n' }}"
    "{% endif %}" + CHATML
)
# As Gemma's: the user opens, and there is no system message.
WITHOUT_ROLE = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
RECIPE = SelfTalk(user_tokens=12, answer_tokens=16, at_once=24)


def talkative(folder: Path, chat_template: str | None = WITH_DEFAULT) -> LoadedModel:
    """A tiny model that writes letters and digits, and ends its turns."""
    save_tiny_model(folder, "llama", chat_template=chat_template)
    loaded = load_model(ModelSpec(str(folder), device="cpu"), folder / "cache")
    tokenizer: Any = loaded.text.tokenizer
    head: Any = torch.nn.Linear(64, 512, dtype=torch.float32)
    with torch.inference_mode():
        head.weight.copy_(0.1 * loaded.model.get_output_embeddings().weight)
        head.bias.fill_(-1e4)
        for word, token in tokenizer.get_vocab().items():
            if word.isascii() and word.isalnum():
                head.bias[token] = 0.0
        head.bias[tokenizer.convert_tokens_to_ids(END)] = 2.0
    loaded.model.set_output_embeddings(head)
    return loaded


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedModel]:
    yield talkative(tmp_path_factory.mktemp("guard"))


@pytest.mark.parametrize(
    ("template", "own", "system"),
    [(WITH_DEFAULT, "You are a guard.", "You are a guard."), (CHATML, None, PLAIN_SYSTEM), (WITHOUT_ROLE, "", "")],
)
def test_a_samples_tokens_are_those_of_the_chat_template(
    tmp_path: Path, template: str, own: str | None, system: str
) -> None:
    loaded = talkative(tmp_path / "guard", template)
    text = loaded.text
    assert template_system(text) == own
    talk = write_self_talk(loaded, RECIPE, 12, tmp_path / "chat.jsonl")
    samples = [*read_samples(tmp_path / "chat.jsonl")]
    assert len(samples) == talk.num_kept == 12
    assert talk.num_tokens == sum(len(text.answer_ids(each.asks[0].target)) for each in samples)
    for sample in samples:
        assert (sample.anchor, sample.blocks, sample.split, sample.asks[0].kind) == (system, (), "train", "chat")
        [ask] = sample.asks
        said = [{"role": "user", "content": ask.observation}]
        if own is None:
            said.insert(0, {"role": "system", "content": system})
        tokens = in_tokens(sample, text)
        made = (*sum(tokens.blocks, ()), *tokens.asks[0].observation, *tokens.asks[0].answers[0])
        assert made == text.chat_ids(said) + text.answer_ids(ask.target)
        whole = text.chat_ids([*said, {"role": "assistant", "content": ask.target}])
        assert whole[: len(made)] == made and whole[len(made) - 1] == text.end_of_turn


def test_a_file_depends_on_seed_and_arguments_and_begins_every_longer_one(loaded: LoadedModel, tmp_path: Path) -> None:
    def written(name: str, count: int, **changes: Any) -> list[tuple[str, str]]:
        write_self_talk(loaded, replace(RECIPE, **changes), count, tmp_path / name)
        return [(each.asks[0].observation, each.asks[0].target) for each in read_samples(tmp_path / name)]

    first = written("a.jsonl.gz", 20)
    torch.rand(3)
    assert written("b.jsonl.gz", 20) == first
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert written("c.jsonl.gz", 30)[:20] == first and len({user for user, _ in first}) == 20
    assert written("d.jsonl.gz", 20, seed=1) != first and written("e.jsonl.gz", 20, temperature=0.5) != first
    header = read_header(tmp_path / "d.jsonl.gz")
    assert (header.generator, header.seed, header.split) == ("chat", 1, "train")
    assert header.arguments == {
        "model": loaded.name,
        "digest": loaded.digest,
        "device": "cpu",
        "system": "You are a guard.",
        "temperature": 1.0,
        "user_tokens": 12,
        "answer_tokens": 16,
        "at_once": 24,
    }


def test_a_file_that_was_interrupted_is_the_file_of_what_there_was(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[list[tuple[str, str]]] = []
    write = _Talker._round

    def pressed(talker: _Talker, seed: int, dropped: Counter[str]) -> list[tuple[str, str]]:
        if rounds:
            raise KeyboardInterrupt
        rounds.append(write(talker, seed, dropped))
        return rounds[0]

    with monkeypatch.context() as patch:
        patch.setattr(_Talker, "_round", pressed)
        talk = write_self_talk(loaded, RECIPE, 200, tmp_path / "a.jsonl")
        assert talk.is_stopped and 0 < talk.num_kept < 200
        with pytest.raises(KeyboardInterrupt):  # nothing to keep
            write_self_talk(loaded, RECIPE, 200, tmp_path / "c.jsonl")
    assert not (tmp_path / "c.jsonl").exists()
    assert not write_self_talk(loaded, RECIPE, talk.num_kept, tmp_path / "b.jsonl").is_stopped
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_chance_outside_is_left_as_it_was(loaded: LoadedModel, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    write_self_talk(loaded, RECIPE, 1, tmp_path / "a.jsonl")
    assert torch.rand(3).equal(expected)


def test_conversations_are_a_source_of_training_rows_like_any_other(loaded: LoadedModel, tmp_path: Path) -> None:
    write_self_talk(loaded, RECIPE, 6, tmp_path / "chat.jsonl")
    stream = BatchStream([(1.0, FileSource(tmp_path / "chat.jsonl", loaded.text))], TRAINED_MODES, 1, 160, 2048)
    batch = stream[0]
    full, star, anchored = batch.label
    assert full.equal(star) and full.equal(anchored) and len(batch.wanted) > 6
    assert batch.place[0].equal(batch.place[1]), "without blocks all modes are one"


def test_answers_that_are_cut_are_left_out_and_a_model_that_only_does_that_is_told(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    talk = write_self_talk(loaded, replace(RECIPE, answer_tokens=3), 3, tmp_path / "a.jsonl")
    assert talk.dropped["answer cut"] > 0 and sum(talk.dropped.values()) > 0
    for sample in read_samples(tmp_path / "a.jsonl"):
        assert len(sample.asks[0].target) > 0
    save_tiny_model(tmp_path / "mute", "llama", chat_template=CHATML)
    mute = load_model(ModelSpec(str(tmp_path / "mute"), device="cpu"), tmp_path / "cache")
    with pytest.raises(NotTrainable, match=r"no more conversations that are of use \(.*user cut"):
        write_self_talk(mute, replace(RECIPE, user_tokens=2, at_once=4), 1, tmp_path / "b.jsonl")
    assert not (tmp_path / "b.jsonl").exists()


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (None, "cut"),
        ("", "empty"),
        ("half a \N{REPLACEMENT CHARACTER}", "not text"),
        ("I am here. " * 20, "repeats itself"),
        ("ha" * 60, "repeats itself"),
        ("Yes, yes, yes.", None),
        ("A list:\n1. Bread\n2. Milk\n3. Four eggs\n4. Apples\n5. Something warm for the evening", None),
    ],
)
def test_what_is_wrong_with_a_turn_is_named(said: str | None, fault: str | None) -> None:
    assert fault_of(said) == fault


def test_a_model_that_cannot_converse_or_not_so_long_is_refused(loaded: LoadedModel, tmp_path: Path) -> None:
    plain = talkative(tmp_path / "plain", None)
    with pytest.raises(BadArgument, match="no chat template"):
        write_self_talk(plain, RECIPE, 1, tmp_path / "a.jsonl")
    with pytest.raises(BadArgument, match="the model reads 2048"):
        write_self_talk(loaded, replace(RECIPE, answer_tokens=2048), 1, tmp_path / "a.jsonl")


@pytest.mark.smollm
def test_the_embedded_models_own_system_message_is_found(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_folder(EMBEDDED, cache_folder())))
    system = template_system(TextEncoder(tokenizer))
    assert system == "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
