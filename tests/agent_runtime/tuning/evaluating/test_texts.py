"""How likely a model finds answers: what transformers itself says, and files that are no conversations."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model
from agent_runtime.tuning.errors import BadConversation
from agent_runtime.tuning.evaluating.texts import HELD_OUT, as_markdown, read_conversations, score_text
from tests.tiny_models import save_tiny_model

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"


def conversation(*said: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in said]


CONVERSATIONS = [
    conversation((USER, "Is the gate open?"), (ASSISTANT, "The north gate is closed.")),
    conversation(
        (SYSTEM, "You are a guard."), (USER, "Who stands there?"), (ASSISTANT, "A guard, and he holds a spear.")
    ),
    conversation(
        (USER, "Fold or call?"),
        (ASSISTANT, "Call."),
        (USER, "And now?"),
        (ASSISTANT, "Raise 40, since the pot is 160 chips."),
    ),
    conversation((USER, "Where is the river?"), (ASSISTANT, "To the east.")),
    conversation((USER, "Go to the mill!"), (ASSISTANT, "I hold.")),
]


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedModel:
    save_tiny_model(tmp_path / "guard", "llama")
    return load_model(ModelSpec(str(tmp_path / "guard"), device="cpu"), tmp_path / "cache")


def write(path: Path, conversations: list[Any]) -> Path:
    path.write_text("".join(json.dumps({"messages": each}) + "\n" for each in conversations), encoding="utf-8")
    return path


def by_transformers(loaded: LoadedModel, messages: list[dict[str, str]]) -> list[float]:
    """Log-probabilities of all tokens of the assistant in the whole conversation, rendered and computed once."""
    tokenizer = loaded.text.tokenizer
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    opened, is_answer = f"<|im_start|>{ASSISTANT}\n", [False] * len(text)
    place = text.find(opened)
    while place >= 0:
        first = place + len(opened)
        end = text.index("<|im_end|>", first) + len("<|im_end|>")
        is_answer[first:end] = [True] * (end - first)
        place = text.find(opened, end)
    model: Any = loaded.model
    model.set_attn_implementation("eager")
    with torch.no_grad():
        logits = model(torch.tensor([encoded["input_ids"]])).logits[0]
    logprobs = logits.double().log_softmax(-1)
    return [
        float(logprobs[number - 1, token])
        for number, (token, (begin, _)) in enumerate(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))
        if is_answer[begin]
    ]


def test_the_figures_are_those_of_transformers(loaded: LoadedModel, tmp_path: Path) -> None:
    heard: list[tuple[str, int]] = []
    path = write(tmp_path / "talk.jsonl", CONVERSATIONS)
    report = score_text(loaded, path, lambda *said: heard.append(said))
    expected = [by_transformers(loaded, each) for each in CONVERSATIONS]
    tokens = sum(map(len, expected))
    assert (report["conversations"], report["turns"], report["tokens"]) == (5, 6, tokens)
    mean = -sum(map(sum, expected)) / tokens
    assert report["nats"]["mean"] == pytest.approx(mean, abs=2e-5)
    assert report["perplexity"]["mean"] == pytest.approx(math.exp(mean), rel=1e-4)
    low, high = report["nats"]["interval"]
    assert low < mean < high
    # The spread is that of conversations: half the width of the interval by the definition, t for four degrees.
    spread = sum((-sum(each) - mean * len(each)) ** 2 for each in expected)
    assert high - mean == pytest.approx(2.7764 * math.sqrt(spread * 5 / 4) / tokens, rel=1e-2)
    assert report["perplexity"]["interval"][1] == pytest.approx(math.exp(high), rel=1e-3)
    assert heard == [("talk.jsonl", number) for number in range(6)]
    table = as_markdown([report]).splitlines()
    assert table[2].startswith(f"| talk.jsonl | 5 | {tokens} | {mean:.4f} [")


def test_a_conversation_that_is_longer_than_the_context_is_left_out_and_counted(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    path = write(tmp_path / "talk.jsonl", CONVERSATIONS)
    whole = score_text(loaded, path, lambda *said: None)
    report = score_text(replace(loaded, context_limit=60), path, lambda *said: None)
    left_out = report["too_long"]["conversations"]
    assert 0 < left_out == 5 - report["conversations"] and report["too_long"]["most_tokens"] > 60
    assert report["tokens"] < whole["tokens"]
    nothing = score_text(replace(loaded, context_limit=5), path, lambda *said: None)
    assert nothing["nats"]["mean"] is None and "| talk.jsonl | 0 | 0 |  |  |" in as_markdown([nothing])


def test_a_model_without_a_chat_template_reads_the_words_alone(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "plain", "llama", chat_template=None)
    loaded = load_model(ModelSpec(str(tmp_path / "plain"), device="cpu"), tmp_path / "cache")
    report = score_text(loaded, write(tmp_path / "talk.jsonl", CONVERSATIONS), lambda *said: None)
    assert report["conversations"] == 5 and math.isfinite(report["nats"]["mean"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no json", "this is no conversation"),
        ('{"message": []}', "this is no conversation"),
        ("[1]", "this is no conversation"),
        ("", "this is no conversation"),
        ('{"messages": "hello"}', "its messages are no list"),
        ('{"messages": []}', "nobody asks, or nobody answers"),
        ('{"messages": [{"role": "user", "content": "Hello?"}]}', "nobody asks, or nobody answers"),
        ('{"messages": [{"role": "assistant", "content": "Hello!"}]}', "nobody asks, or nobody answers"),
        ('{"messages": [{"role": "user", "content": ["Hello?"]}]}', "message 1 is not of the form role and content"),
        ('{"messages": [{"role": "user", "text": "Hello?"}]}', "message 1 is not of the form role and content"),
        (
            '{"messages": [{"role": "guard", "content": "Hello?"}]}',
            "message 1 has the role 'guard', not system, user or",
        ),
        ('{"messages": [{"role": ["user"], "content": "Hello?"}]}', "message 1 is not of the form role and content"),
        ('{"messages": [{"role": "user", "content": " "}]}', "message 1 is empty"),
    ],
)
def test_a_line_that_is_no_conversation_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = write(tmp_path / "talk.jsonl", CONVERSATIONS[:2])
    path.write_text(path.read_text() + line + "\n", encoding="utf-8")
    with pytest.raises(BadConversation) as refused:
        list(read_conversations(path))
    assert (refused.value.path, refused.value.line) == (path, 3)
    assert f"talk.jsonl, line 3: {said}" in str(refused.value)


def test_bytes_that_are_no_text_an_empty_file_and_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "bytes.jsonl").write_bytes(b'{"messages": [{"role": "user", "content": "\xff"}]}\n')
    (tmp_path / "empty.jsonl").touch()
    for name, said in (("bytes", "line 1: this is no"), ("empty", "line 1: there is none"), ("none", "cannot be read")):
        with pytest.raises(BadConversation, match=said):
            list(read_conversations(tmp_path / f"{name}.jsonl"))


def test_roles_that_the_models_template_refuses_are_told_with_their_line(tmp_path: Path) -> None:
    strict = (
        "{% for message in messages %}{% if loop.index0 % 2 != (message['role'] == 'assistant') %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{{ message['content'] + '<|im_end|>' }}{% endfor %}"
    )
    save_tiny_model(tmp_path / "strict", "llama", chat_template=strict)
    loaded = load_model(ModelSpec(str(tmp_path / "strict"), device="cpu"), tmp_path / "cache")
    path = write(tmp_path / "talk.jsonl", [CONVERSATIONS[0], CONVERSATIONS[1]])
    with pytest.raises(BadConversation, match="line 2: it fails for the roles system and user .*must alternate"):
        score_text(loaded, path, lambda *said: None)


def test_the_held_out_conversations_are_varied_and_of_a_common_length() -> None:
    conversations = list(read_conversations(HELD_OUT))
    answers = [each["content"] for said in conversations for each in said.messages if each["role"] == ASSISTANT]
    questions = [said.messages[-2]["content"] for said in conversations]
    assert len(conversations) >= 80 and len({*answers}) == len(answers) and len({*questions}) == len(questions)
    assert sum(len(said.messages) > 3 for said in conversations) >= 5, "some have two turns"
    assert any(said.messages[0]["role"] == SYSTEM for said in conversations)
    # A word is about 1.3 tokens.
    assert all(25 <= len(answer.split()) <= 150 for answer in answers)
