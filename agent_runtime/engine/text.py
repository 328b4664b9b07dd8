"""Text to token ids: every block alone, between chat markers that only we insert.

Layout, read off the model's own chat template by rendering it once with sentinels in place of the contents:

    anchor      = [begin of text] + system message + opening of the user message
    block       = [its lead] + its text
    observation = its text + end of the user message + opening of the assistant's
    answer      = its text + end of turn

Without a system role the anchor is the beginning of the user message; without a chat template nothing stands between
the texts. A block's text never becomes a chat marker: a unit named <|im_end|> is nine ordinary tokens. What leads a
block is what the weights were tuned with: nothing, as a rule.

Texts are cached, so that a turn tokenizes what changed and nothing else, and that from words that were met before
(`words.py`); `calls` counts the texts that were tokenized.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from agent_runtime.engine.digests import digest_of
from agent_runtime.engine.errors import BadChatTemplate
from agent_runtime.engine.words import Ids, Words

# Letters and digits only: nothing a template trims, escapes or reads as markup.
_SYSTEM, _USER, _ASSISTANT = "hotseatq7anchor", "hotseatq7observation", "hotseatq7answer"

# A block that begins with today's date would be another block tomorrow. transformers offers templates a clock, and a
# definition of our own in front of the template shadows it.
_NO_CLOCK = "{%- macro strftime_now(pattern) -%}01 Jan 2025{%- endmacro -%}"
# A model that can think aloud in hidden tags is asked not to: the answer follows at once.
_TEMPLATE_OPTIONS: Mapping[str, Any] = {"date_string": "01 Jan 2025", "enable_thinking": False}


@dataclass(frozen=True, slots=True)
class Layout:
    """The ids around the texts of a prompt."""

    before_anchor: Ids
    after_anchor: Ids
    after_observation: Ids
    end_of_turn: int


class Lead(StrEnum):
    """What stands before the text of every block but the anchor."""

    NONE = "none"
    SEPARATOR = "separator"
    """The token that begins a prompt: what a model has learned to find at a beginning."""
    LABEL = "label"
    """Two tokens drawn by the text: what tells blocks apart that are otherwise alike."""


class TextEncoder:
    """Token ids of blocks, observations and answers. Thread-safe; the cache holds at most `cache_tokens` ids."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        stop_ids: Iterable[int] = (),
        *,
        lead: Lead = Lead.NONE,
        cache_tokens: int = 1_000_000,
    ) -> None:
        self.tokenizer = tokenizer
        self._core, self._words = _without_markers(tokenizer)
        self.layout = _layout(tokenizer)
        self.end_of_turn = self.layout.end_of_turn
        own_stops = [tokenizer.eos_token_id] if isinstance(tokenizer.eos_token_id, int) else []
        self.stop_ids: frozenset[int] = frozenset((self.end_of_turn, *own_stops, *stop_ids))
        self.digest = digest_of(
            tokenizer.backend_tokenizer.to_str(), repr(self.layout), *([] if lead is Lead.NONE else [lead.value])
        )
        self.lead = lead
        self._labels = _ordinary_ids(tokenizer) if lead is Lead.LABEL else ()
        self.calls = 0
        self._cache_tokens = cache_tokens
        self._cached_tokens = 0
        self._cache: OrderedDict[str, Ids] = OrderedDict()
        self._lock = threading.Lock()

    def copy(self, *, lead: Lead | None = None, cache_tokens: int | None = None) -> "TextEncoder":
        """Return an encoder of the same tokenizer with a memory, and perhaps a lead, of its own."""
        return TextEncoder(
            self.tokenizer,
            self.stop_ids,
            lead=self.lead if lead is None else lead,
            cache_tokens=self._cache_tokens if cache_tokens is None else cache_tokens,
        )

    def block_ids(self, text: str) -> Ids:
        """Return the ids of a block: its lead, and its text, alone."""
        ids = self.text_ids(text)
        if self.lead is Lead.SEPARATOR:
            return (self.layout.before_anchor or (self.end_of_turn,))[:1] + ids
        if self.lead is Lead.LABEL:
            drawn = blake2b(text.encode(), digest_size=8).digest()
            return (
                tuple(
                    self._labels[int.from_bytes(half, "little") % len(self._labels)] for half in (drawn[:4], drawn[4:])
                )
                + ids
            )
        return ids

    def text_ids(self, text: str) -> Ids:
        """Return the ids of a text, alone."""
        with self._lock:
            known = self._cache.get(text)
            if known is not None:
                self._cache.move_to_end(text)
                return known
            self.calls += 1
        ids = self._tokenized(text)
        self._keep({text: ids})
        return ids

    def _tokenized(self, text: str) -> Ids:
        known = None if self._words is None else self._words.ids(text)
        if known is not None:
            return known
        encoding = self._core.encode(text, add_special_tokens=False)
        if self._words is not None:
            self._words.learn(text, encoding)
        return tuple(encoding.ids)

    def remember(self, texts: Iterable[str]) -> None:
        """Tokenize all at once that is not known yet: many texts take less time together than one by one."""
        with self._lock:
            unknown = [text for text in dict.fromkeys(texts) if text not in self._cache]
            self.calls += len(unknown)
        found = self._core.encode_batch_fast(unknown, add_special_tokens=False)
        self._keep({text: tuple(each.ids) for text, each in zip(unknown, found, strict=True)})

    def _keep(self, found: Mapping[str, Ids]) -> None:
        with self._lock:
            for text, ids in found.items():
                if text not in self._cache:
                    self._cache[text] = ids
                    self._cached_tokens += len(ids)
            while self._cached_tokens > self._cache_tokens and len(self._cache) > 1:
                self._cached_tokens -= len(self._cache.popitem(last=False)[1])

    def anchor_ids(self, text: str) -> Ids:
        """Return the ids of a prompt's beginning, with `text` as the system message."""
        return self.layout.before_anchor + self.text_ids(text) + self.layout.after_anchor

    def observation_ids(self, text: str) -> Ids:
        """Return the ids of a prompt's end, up to where the model begins to answer."""
        return self.text_ids(text) + self.layout.after_observation

    def answer_ids(self, text: str) -> Ids:
        """Return the ids of a whole answer; ending in `end_of_turn`, no answer begins another."""
        return (*self.text_ids(text), self.end_of_turn)

    def chat_ids(self, messages: Sequence[Mapping[str, str]]) -> Ids:
        """Return the ids of a conversation of any roles, up to where the model begins to answer.

        Raises BadChatTemplate for roles that the model's template refuses.
        """
        if not self.tokenizer.chat_template:
            return self.layout.before_anchor + sum((self.text_ids(each["content"]) for each in messages), ())
        rendered = _render(self.tokenizer, messages)
        return tuple(self.tokenizer(rendered, add_special_tokens=False, split_special_tokens=False)["input_ids"])

    def count(self, text: str) -> int:
        """Return how many tokens a block's text has."""
        return len(self.block_ids(text))

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of generated ids, without markers."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _ordinary_ids(tokenizer: PreTrainedTokenizerFast) -> Ids:
    """Return the ids of tokens that stand for text, in order."""
    added = {*tokenizer.get_added_vocab().values(), *tokenizer.all_special_ids}
    return tuple(sorted({*tokenizer.get_vocab().values()} - added))


def _without_markers(tokenizer: PreTrainedTokenizerFast) -> tuple[Tokenizer, Words | None]:
    """Return a copy that reads every added token in a text as plain characters, and the words that it is to meet.

    transformers' `split_special_tokens=True` sets a flag on the shared tokenizer, which another thread may be using,
    and leaves added tokens alone that are not called special (Qwen3's <think>). Tokens of spaces only stay: some models
    keep their indentation there.
    """
    description = json.loads(tokenizer.backend_tokenizer.to_str())
    for token in description["added_tokens"]:
        if token["content"].strip():
            token["special"] = True
    copy = Tokenizer.from_str(json.dumps(description))
    copy.no_padding()
    copy.no_truncation()
    copy.encode_special_tokens = True
    return copy, Words.of(description)


def _layout(tokenizer: PreTrainedTokenizerFast) -> Layout:
    def ids(text: str) -> Ids:
        return tuple(tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"])

    if not tokenizer.chat_template:
        return _plain_layout(tokenizer)
    system, user = {"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}
    question = [system, user]
    try:
        before, between, after = _cut(_render(tokenizer, question), _SYSTEM, _USER)
    except BadChatTemplate:
        # No system role: refused, ignored, or moved behind the user's words. The anchor opens the user message instead.
        question, between = [user], ""
        before, after = _cut(_render(tokenizer, question), _USER)
    return Layout(ids(before), ids(between), ids(after), _end_of_turn(tokenizer, question, ids))


def _end_of_turn(tokenizer: PreTrainedTokenizerFast, question: list[dict[str, str]], ids: Callable[[str], Ids]) -> int:
    """Return the first marker behind an assistant's words, or the end-of-text token."""
    answer = {"role": "assistant", "content": _ASSISTANT}
    try:
        _, behind = _cut(_render(tokenizer, [*question, answer], more=False), _ASSISTANT)
    except BadChatTemplate:
        return _end_of_text(tokenizer)  # a template for questions only
    markers = {*tokenizer.get_added_vocab().values(), *tokenizer.all_special_ids}
    for token in ids(behind):
        if token in markers:
            return token
    return _end_of_text(tokenizer)


def _plain_layout(tokenizer: PreTrainedTokenizerFast) -> Layout:
    begin = tokenizer.bos_token_id
    opens = begin is not None and list(tokenizer("a", add_special_tokens=True)["input_ids"])[:1] == [begin]
    return Layout((begin,) if opens else (), (), (), _end_of_text(tokenizer))


def _end_of_text(tokenizer: PreTrainedTokenizerFast) -> int:
    if not isinstance(tokenizer.eos_token_id, int):
        raise BadChatTemplate("neither it nor the tokenizer names a token that ends a turn (eos_token)")
    return tokenizer.eos_token_id


def _render(tokenizer: PreTrainedTokenizerFast, messages: Sequence[Mapping[str, str]], *, more: bool = True) -> str:
    try:
        rendered = tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            chat_template=_NO_CLOCK + tokenizer.get_chat_template(),
            tokenize=False,
            add_generation_prompt=more,
            **_TEMPLATE_OPTIONS,
        )
    except Exception as error:  # a template is a program, and raises what it likes
        roles = " and ".join(message["role"] for message in messages)
        raise BadChatTemplate(f"it fails for the roles {roles} ({error})") from error
    assert isinstance(rendered, str)
    return rendered


def _cut(rendered: str, *sentinels: str) -> list[str]:
    """Return what stands around sentinels that must each occur once, in this order."""
    parts, rest = [], rendered
    for sentinel in sentinels:
        before, found, rest = rest.partition(sentinel)
        if not found or sentinel in rest or sentinel in before:
            raise BadChatTemplate(f"it does not print the {sentinel.removeprefix('hotseatq7')} once, as it was given")
        parts.append(before)
    return [*parts, rest]
