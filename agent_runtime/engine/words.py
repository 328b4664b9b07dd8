"""The tokens of a text put together from those of its words, which a game's texts repeat.

A byte-level BPE cuts a text into words by a regular expression, and every word into tokens by itself. So the words of
a text that was tokenized are known from then on, and a text of known words takes a look-up for each: the 18 texts of a
turn of gamecore, 250 tokens, 98 us instead of 287, and 116 instead of 458 where the processor's caches are cold (one
core of an EPYC).

Only what is ASCII is cut here: of other characters a library's tables and Python's may say different things. Where the
cut is another than the tokenizer's, which is seen as soon as a text has a word that is not known, it is given up.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, groupby
from typing import Any

from tokenizers import Encoding

_log = logging.getLogger(__name__)

Ids = tuple[int, ...]

# Some 200 bytes each, where none is longer than this.
_MOST_KNOWN, _LONGEST = 100_000, 64
_ENDS = r"'s|'t|'re|'ve|'m|'ll|'d"
# Byte-level BPE's own expression (GPT-2's), and behind digits that stand each alone (SmolLM's).
_OWN = re.compile(rf"{_ENDS}| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+", re.ASCII)
_DIGITS_APART = re.compile(rf"{_ENDS}| ?[A-Za-z]+|[0-9]| ?[^\sA-Za-z0-9]+|\s+(?![^\s0-9])|\s+", re.ASCII)


def _split(digits: str) -> tuple[str, re.Pattern[str]]:
    """Return the expression of tokenizers that take so many digits together, and what it is where all is ASCII."""
    whole = (
        rf"(?i:{_ENDS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    in_classes = whole.replace(r"\p{L}\p{N}]", "A-Za-z0-9]")
    return whole, re.compile(in_classes.replace(r"\p{L}", "[A-Za-z]").replace(r"\p{N}", "[0-9]"), re.ASCII)


# Qwen 2 and 3, and Llama 3.
_SPLITS = dict((_split(""), _split("{1,3}")))


class Words:
    """The words that one tokenizer has met, and their ids. From any thread."""

    def __init__(self, cut: re.Pattern[str], unlike: Iterable[str] = ()) -> None:
        """`unlike` are the tokens that are not written with the characters of what they stand for."""
        self._cut: re.Pattern[str] | None = cut
        self._unlike = frozenset(unlike)
        self._known: dict[str, Ids] = {}

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> "Words | None":
        """Return the words of a tokenizer (its JSON); None where it is not known how it cuts a text.

        Added tokens that are not of spaces alone are to be read as plain characters (`encode_special_tokens`).
        """
        cut = _cut_of(description)
        return None if cut is None else cls(cut, _unlike(description["model"]))

    def ids(self, text: str) -> Ids | None:
        """Return the ids of a text; None if a word of it is not known."""
        cut, known = self._cut, self._known
        if cut is None or not text.isascii():
            return None
        try:
            return tuple(chain.from_iterable([known[word] for word in cut.findall(text)]))
        except KeyError:
            return None

    def learn(self, text: str, encoding: Encoding) -> None:
        """Learn the words of a text that the tokenizer has `encoding` for."""
        cut = self._cut
        # Byte-level tokens are written with a character for each byte, which texts of ASCII are. Some vocabularies have
        # no token for some of them.
        if cut is None or not text.isascii() or sum(map(len, encoding.tokens)) != len(text):
            return
        if not self._unlike.isdisjoint(encoding.tokens):
            return
        words = cut.findall(text)
        tokens = zip(encoding.word_ids, encoding.ids, encoding.tokens, strict=True)
        groups = {number: list(some) for number, some in groupby(tokens, lambda token: token[0])}
        lengths = [sum([len(token) for _, _, token in group]) for group in groups.values()]
        if [*groups] == [*range(len(words))] and lengths == [*map(len, words)]:
            known = self._known if len(self._known) < _MOST_KNOWN else {}
            ids = [tuple([each for _, each, _ in group]) for group in groups.values()]
            pairs = [pair for pair in zip(words, ids, strict=True) if len(pair[0]) <= _LONGEST]
            if all([known.setdefault(word, own) == own for word, own in pairs]):
                self._known = known
                return
        _log.warning("the tokenizer cuts a text otherwise than its description says: texts are tokenized whole")
        self._cut, self._known = None, {}


def _unlike(model: Mapping[str, Any]) -> list[str]:
    """Return what a tokenizer writes for characters that its vocabulary lacks."""
    unknown = model.get("unk_token")
    bytes_apart = [f"<0x{byte:02X}>" for byte in range(256)] if model.get("byte_fallback") else []
    return [*bytes_apart, *([] if unknown is None else [unknown])]


def _cut_of(description: Mapping[str, Any]) -> re.Pattern[str] | None:
    model, normalizer = description["model"], description["normalizer"] or {}
    if model["type"] != "BPE" or model.get("dropout"):
        return None
    # Some releases of transformers give an empty sequence to what they read from a GGUF file.
    normalizing = normalizer.get("normalizers", [normalizer] if normalizer else [])
    if any(step["type"] != "NFC" for step in normalizing):  # which leaves ASCII as it is
        return None
    if any(not token["content"].strip() for token in description["added_tokens"]):  # they come before words
        return None
    cutting = description["pre_tokenizer"] or {}
    steps = cutting.get("pretokenizers", [cutting])
    if not steps or not steps[-1]:
        return None
    *before, last = steps
    if last["type"] != "ByteLevel" or last["add_prefix_space"]:
        return None
    return _cut_before(before, is_own=last.get("use_regex", True))


def _cut_before(steps: Sequence[Mapping[str, Any]], *, is_own: bool) -> re.Pattern[str] | None:
    """Return how a text is cut by some steps and, if `is_own`, by byte-level BPE's own expression behind them."""
    if is_own and not steps:
        return _OWN
    if len(steps) != 1:
        return None
    [step] = steps
    if is_own:
        return _DIGITS_APART if step["type"] == "Digits" and step["individual_digits"] else None
    if step["type"] == "Split" and step["behavior"] == "Isolated" and not step["invert"]:
        return _SPLITS.get(step["pattern"].get("Regex", ""))
    return None
