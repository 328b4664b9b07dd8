"""Answers that must follow a JSON Schema: token masks for decoding them. What a schema allows stands in `schema`."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

import llguidance.hf
import numpy
import torch
from llguidance import LLMatcher, LLTokenizer
from transformers import PreTrainedTokenizerFast

from agent_runtime.engine.token_mask import allowed_of
from agent_runtime.schema import BadSchema, Schema, grammar_of, reason


class Grammar:
    """Makes masks for one model, from any thread.

    Reading the vocabulary takes a moment and is done once; a schema is compiled once, in about a millisecond, and a
    mask for it is a copy. `num_logits` is the width of the model's output, which is often more than its tokenizer has,
    and sometimes less: what the model cannot say is never allowed.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        *,
        num_logits: int,
        end_of_turn: int,
        device: torch.device | None = None,
        num_kept: int = 256,
    ) -> None:
        num_tokens = max(num_logits, len(tokenizer))
        self._tokenizer = llguidance.hf.from_tokenizer(tokenizer, n_vocab=num_tokens, eos_token=end_of_turn)
        self._num_logits = num_logits
        self._device = device or torch.device("cpu")
        self._num_kept = num_kept
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def arguments(self, schema: Schema) -> "SchemaMask":
        """Return a mask for one argument object. Raises BadSchema."""
        return self._mask(grammar_of(schema))

    def line(self) -> "SchemaMask":
        """Return a mask for free text that ends with the turn and holds no line break."""
        return self._mask(LLMatcher.grammar_from_regex(r"[^\r\n]+"))

    def _mask(self, grammar: str) -> "SchemaMask":
        with self._lock:
            matcher = self._compiled.get(grammar) or _compiled(self._tokenizer, grammar)
            self._compiled[grammar] = matcher
            self._compiled.move_to_end(grammar)
            if len(self._compiled) > self._num_kept:
                self._compiled.popitem(last=False)
            return SchemaMask(matcher.deep_copy(), self._num_logits, self._device)


class SchemaMask:
    """One answer under a grammar, as the engine's `TokenMask` asks for it."""

    def __init__(self, matcher: LLMatcher, num_logits: int, device: torch.device) -> None:
        self._matcher = matcher
        self._num_logits = num_logits
        self._device = device

    @property
    def finished(self) -> bool:
        """Return whether the answer is complete and nothing may follow it."""
        return bool(self._matcher.is_stopped())

    def forced(self) -> Sequence[int]:
        """Return the tokens that must come next, [] if there is a choice."""
        return [] if self.finished else list(self._matcher.compute_ff_tokens())

    def allowed(self) -> torch.Tensor:
        """Return which tokens may come next, bool [V]."""
        bits = numpy.frombuffer(self._matcher.compute_bitmask(), dtype=numpy.uint8)
        return allowed_of(bits, self._num_logits, self._device)

    def advance(self, token: int) -> None:
        """Take one token."""
        taken = self._matcher.consume_token(token)
        assert taken, f"token {token} was not allowed: {self._matcher.get_error()}"


def _compiled(tokenizer: LLTokenizer, grammar: str) -> LLMatcher:
    if why := LLMatcher.validate_grammar(grammar, tokenizer):
        raise BadSchema(reason(why))
    matcher = LLMatcher(tokenizer, grammar, log_level=0)
    if matcher.is_error():
        raise BadSchema(matcher.get_error().splitlines()[0].rstrip("."))
    return matcher
