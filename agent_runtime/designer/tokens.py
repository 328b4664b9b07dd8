"""How many tokens texts have: by a model's own tokenizer, without its weights, or by an estimate that says so.

Reading a tokenizer takes a second and needs no torch; only that of a GGUF file that was never unpacked takes ten.
"""

import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent_runtime.adapter_choice import Adapter, AdapterChoice
from agent_runtime.engine.adapters import find_adapter
from agent_runtime.engine.card import own_card
from agent_runtime.engine.errors import ModelNotFound
from agent_runtime.engine.sources import EMBEDDED, cache_folder, embedded_gguf, tokenizer_folder
from agent_runtime.engine.text import TextEncoder
from agent_runtime.engine.tokenizer_files import read_tokenizer

NO_MODEL = "none"

# SmolLM2's tokenizer on the three games inside, as JSON and as their templates write it: 2.4 to 3.1 characters a token;
# on plain English prose 3.9.
_CHARACTERS_PER_TOKEN = 3.0
# What transformers puts where a tokenizer does not say how long the context is.
_ENDLESS = 10**9


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """Counts the tokens of blocks with what leads them, of anchors and observations with the chat markers around them,
    and of texts alone.

    `note` says what a person should know of the figures, None if they are exact. `context` is the model's, if known.
    """

    name: str
    count: Callable[[str], int]
    count_anchor: Callable[[str], int]
    count_observation: Callable[[str], int]
    count_text: Callable[[str], int]
    context: int | None = None
    note: str | None = None

    @property
    def is_exact(self) -> bool:
        """Whether a tokenizer counts."""
        return self.note is None


def token_counter(
    source: str = EMBEDDED, cache: Path | None = None, *, adapter: Adapter = AdapterChoice.DEFAULT
) -> TokenCounter:
    """Count as the model `source` does when it is served with `adapter`, whose card says what leads a block.

    "none" estimates, and so does "embedded" where it is not installed. Raises ModelNotFound, BrokenModel,
    BadChatTemplate, and MissingPackage for an adapter that takes PEFT.
    """
    if source == NO_MODEL:
        return _estimate("Tokens are estimated, a third of the characters, and may be off by a third.")
    cache = cache or cache_folder()
    try:
        folder = tokenizer_folder(source, cache)
    except ModelNotFound as error:
        if source != EMBEDDED:
            raise
        return _estimate(
            f"Tokens are estimated, a third of the characters, and may be off by a third: {error.why}. {error.advice}"
        )
    tokenizer = read_tokenizer(source, folder)
    found = find_adapter(adapter, source, cache)
    card = own_card(source) if found is None else found.card
    text = TextEncoder(tokenizer, lead=card.lead)
    context = _context(folder) or (tokenizer.model_max_length if tokenizer.model_max_length < _ENDLESS else None)
    if found is not None and card.context is not None:
        context = card.context
    return TokenCounter(
        name=embedded_gguf().stem if source == EMBEDDED else Path(source).name,
        count=text.count,
        count_anchor=lambda words: len(text.anchor_ids(words)),
        count_observation=lambda words: len(text.observation_ids(words)),
        count_text=lambda words: len(text.text_ids(words)),
        context=context,
    )


def _estimate(note: str) -> TokenCounter:
    def count(text: str) -> int:
        return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)

    return TokenCounter("estimate", count, count, count, count, note=note)


def _context(folder: Path | str) -> int | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        config = json.loads((Path(folder) / "config.json").read_text("utf-8"))
        return int((config.get("text_config") or config)["max_position_embeddings"])
    return None
