"""Texts that are put together from words have the tokenizer's own ids, whatever was met before."""

import json
import logging
import re
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from agent_runtime.engine import words
from agent_runtime.engine.text import TextEncoder
from agent_runtime.engine.words import Words
from tests.tiny_models import tiny_tokenizer

OWN = pre_tokenizers.ByteLevel(add_prefix_space=False)
PLAIN = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
QWEN, LLAMA = [pre_tokenizers.Split(Regex(each), "isolated") for each in words._SPLITS]
CUTTING = {
    "gpt2": OWN,
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), OWN]),
    "qwen": pre_tokenizers.Sequence([QWEN, PLAIN]),
    "llama": pre_tokenizers.Sequence([LLAMA, PLAIN]),
}
CORPUS = [
    "The north gate's guard won't hold  2048 gold.\n\n",
    "it's 1999, she'll SAY 'S; \ta--b ... 12 345 6789\r\n",
    "  x ",
]


def trained(cutting: Any, normalizer: Any = None, lacks: str = "", unknown: str | None = None) -> Tokenizer:
    core = Tokenizer(models.BPE(unk_token=unknown, fuse_unk=unknown is not None, byte_fallback=unknown is not None))
    core.pre_tokenizer, core.decoder, core.normalizer = cutting, decoders.ByteLevel(), normalizer
    missing = {OWN.pre_tokenize_str(each)[0][0] for each in lacks}
    alphabet = [each for each in pre_tokenizers.ByteLevel.alphabet() if each not in missing]
    special = [] if unknown is None else [unknown]
    core.train_from_iterator(
        CORPUS * 3, trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, special_tokens=special)
    )
    return core


TRAINED = {kind: trained(cutting) for kind, cutting in CUTTING.items()}
LACKING = {kind: trained(cutting, lacks="\x06Z") for kind, cutting in CUTTING.items()}
# As transformers 5.17 reads a GGUF file; the other is as long as two characters, of which words are made.
NAMING = {
    (kind, unknown): trained(cutting, normalizers.Sequence([]), "\x06Z", unknown)
    for kind, cutting in CUTTING.items()
    for unknown in ("<|endoftext|>", "?u")
}


def words_of(core: Tokenizer) -> Words | None:
    return Words.of(json.loads(core.to_str()))


PIECES = st.one_of(
    st.sampled_from(
        [" ", "  ", "\n", "\r\n", "\t", "'s", "'LL", "'re", "12", "345", "gate", " gate", "--", " '", "\x1c"]
    ),
    st.text(st.characters(max_codepoint=127), max_size=4),
    st.text(max_size=2),
)
TEXTS = st.lists(st.lists(PIECES, max_size=12).map("".join), min_size=1, max_size=8)


@pytest.mark.parametrize("kind", CUTTING)
@settings(max_examples=300, deadline=None)
@given(texts=TEXTS)
def test_a_text_has_the_tokenizers_ids_again_and_again(kind: str, texts: list[str]) -> None:
    core = TRAINED[kind]
    found = words_of(core)
    assert found is not None
    for text in [*texts, *texts[::-1], "".join(texts), " ".join(texts)]:
        encoding = core.encode(text, add_special_tokens=False)
        assert found.ids(text) in (None, tuple(encoding.ids))
        found.learn(text, encoding)
        if text.isascii() and found._cut and all(len(word) <= words._LONGEST for word in found._cut.findall(text)):
            assert found.ids(text) == tuple(encoding.ids)
    assert found._cut is not None


@pytest.mark.parametrize("kind", CUTTING)
@settings(max_examples=100, deadline=None)
@given(texts=TEXTS)
def test_a_character_that_the_vocabulary_lacks_changes_nothing(kind: str, texts: list[str]) -> None:
    core = LACKING[kind]
    found = words_of(core)
    assert found is not None and core.decode(core.encode("a \x06 Zb").ids) == "a  b"
    found.learn("the gate", core.encode("the gate"))
    for text in ["a \x06 Zb", *texts, "".join(texts), *texts]:
        encoding = core.encode(text, add_special_tokens=False)
        assert found.ids(text) in (None, tuple(encoding.ids))
        found.learn(text, encoding)
    assert found.ids("the gate") == tuple(core.encode("the gate").ids)


@pytest.mark.parametrize("named", NAMING, ids=str)
@settings(max_examples=100, deadline=None)
@given(texts=TEXTS)
def test_a_token_for_what_the_vocabulary_lacks_is_not_learned(named: tuple[str, str], texts: list[str]) -> None:
    core = NAMING[named]
    found = words_of(core)
    assert found is not None and named[1] in core.encode("a \x06 Zb").tokens
    for text in ["a \x06 Zb", "Z" * 13, "\x06Z", "ZZ", "a ZZ b", *texts, "".join(texts), *texts]:
        encoding = core.encode(text, add_special_tokens=False)
        assert found.ids(text) in (None, tuple(encoding.ids))
        found.learn(text, encoding)
    assert found._cut is not None


def test_a_text_that_a_template_repeats_is_given_up() -> None:
    core = Tokenizer(models.BPE(vocab={"-": 0, "S": 1}, merges=[]))
    core.pre_tokenizer = OWN
    core.post_processor = processors.TemplateProcessing(single="$A $A", special_tokens=[])
    found = words_of(core)
    assert found is not None
    for text in ("-S.x", "-S"):
        found.learn(text, core.encode(text))
        assert found.ids(text) is None


def test_words_that_are_long_are_not_kept() -> None:
    core = TRAINED["gpt2"]
    found = words_of(core)
    assert found is not None
    found.learn("gate " + "a" * 65, core.encode("gate " + "a" * 65))
    assert found.ids("gate") is not None and found.ids("gate " + "a" * 65) is None


@pytest.mark.parametrize("kind", CUTTING)
def test_new_texts_of_known_words_are_put_together(kind: str) -> None:
    core = TRAINED[kind]
    found = words_of(core)
    assert found is not None
    for text in ("The guard won't go", "so, hold 7 or 8"):
        found.learn(text, core.encode(text))
    text = "The guard won't go, hold 7 or 8"
    assert found.ids(text) == tuple(core.encode(text).ids)
    assert found.ids(text.replace("guard", "watch")) is None


def test_where_it_is_not_known_how_a_text_is_cut_there_are_no_words() -> None:
    apart = pre_tokenizers.Split(Regex(r"\d+|\D+"), "isolated")
    unknown = [
        trained(pre_tokenizers.ByteLevel(add_prefix_space=True)),
        trained(pre_tokenizers.Sequence([apart, PLAIN])),
        trained(pre_tokenizers.Sequence([apart, OWN])),
        trained(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), OWN])),
        trained(pre_tokenizers.Sequence([pre_tokenizers.Split(QWEN_TEXT, "removed"), PLAIN])),
        trained(PLAIN),
        trained(pre_tokenizers.Whitespace()),
        trained(OWN, normalizers.Lowercase()),
        trained(OWN, normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])),
        trained(pre_tokenizers.Sequence([])),
        Tokenizer(models.BPE()),
    ]
    spaced = trained(OWN)
    spaced.add_tokens([AddedToken("    ", normalized=False)])
    assert [words_of(core) for core in (*unknown, spaced)] == [None] * 12
    for harmless in (normalizers.NFC(), normalizers.Sequence([]), normalizers.Sequence([normalizers.NFC()])):
        assert words_of(trained(OWN, harmless)) is not None


QWEN_TEXT = Regex(next(iter(words._SPLITS)))


def test_a_cut_that_is_not_the_tokenizers_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    core = TRAINED["gpt2"]
    for wrong in (r"[a-z ]+|[^a-z ]+", r"\S+|\s+"):
        caplog.clear()
        found = Words(re.compile(wrong))
        with caplog.at_level(logging.WARNING):
            found.learn("a gate, 12 gates", core.encode("a gate, 12 gates"))
        assert "tokenized whole" in caplog.text
        assert found.ids("a gate, 12 gates") is None
        found.learn("gates", core.encode("gates"))
        assert found.ids("gates") is None


def test_words_that_are_too_many_are_learned_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_MOST_KNOWN", 5)
    core = TRAINED["gpt2"]
    found = words_of(core)
    assert found is not None
    for number in range(40):
        text = f"gate{number} and {number}"
        found.learn(text, core.encode(text))
        assert found.ids(text) == tuple(core.encode(text).ids) and len(found._known) < 5 + 4


@pytest.mark.parametrize("at_once", [False, True])
def test_an_encoder_gives_the_same_ids_with_words_as_without_from_many_threads(at_once: bool) -> None:
    tokenizer = tiny_tokenizer()
    text, plain = (TextEncoder(tokenizer, cache_tokens=0) for _ in range(2))
    plain._words = None
    assert text._words is not None
    texts = [f"unit {n % 17} goes to gate {n % 5}{', then home' * (n % 3)}\n" for n in range(300)]
    wrong: list[str] = []

    def ask(own: list[str]) -> None:
        if at_once:
            text.remember(own)
        wrong.extend([each for each in own if text.text_ids(each) != plain.text_ids(each)])

    threads = [threading.Thread(target=ask, args=(texts[n::3],)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and plain.calls == 300
