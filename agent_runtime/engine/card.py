"""`hotseat.json`, the card that lies beside weights or an adapter and says what they were tuned for.

    {"block_modes": ["anchored"], "base": "<digest of the weights an adapter belongs to>",
     "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}, "context": 32768, "positions": "shared",
     "digest": "<digest of the adapter itself>"}

`block_modes` is what a mode of `auto` goes by, `positions` ("sequential" if it is not said) where blocks stand in those
modes, and `lead` ("none") what stands before each block. The rest is an adapter's: it was trained over `base` alone,
with these rotary parameters and up to this many positions, and they come into force with it; and `digest`, if it is
said, is of its weights and its configuration as they were saved. Keys that are not known here (a recipe, figures) are
left alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from transformers.utils.hub import cached_file

from agent_runtime.engine.digests import write_atomically
from agent_runtime.engine.errors import BrokenModel
from agent_runtime.engine.positions import Positions
from agent_runtime.engine.sources import EMBEDDED
from agent_runtime.engine.text import Lead

CARD = "hotseat.json"
BLOCK_MODES = ("star", "anchored")

Chosen = TypeVar("Chosen", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Card:
    """What a card says. `more` is what only people read; it is written and not read back."""

    block_modes: tuple[str, ...] = ()
    base: str | None = None
    rope_parameters: Mapping[str, Any] | None = None
    context: int | None = None
    positions: Positions = Positions.SEQUENTIAL
    lead: Lead = Lead.NONE
    digest: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def overrides(self) -> dict[str, Any]:
        """Return what takes the place of a configuration's own values."""
        values = {"rope_parameters": self.rope_parameters, "max_position_embeddings": self.context}
        return {name: value for name, value in values.items() if value is not None}


NO_CARD = Card()


def own_card(source: str) -> Card:
    """Return the card of a source's own weights, an empty one if they have none. Raises BrokenModel."""
    path = Path(source).expanduser()
    if source == EMBEDDED or path.is_file():
        return NO_CARD
    if path.is_dir():
        return read_card(path / CARD)
    try:
        return read_card(Path(str(cached_file(source, CARD))))
    except OSError:
        return NO_CARD


def read_card(path: Path | None) -> Card:
    """Return the card at `path`, or an empty one if there is no file. Raises BrokenModel."""
    if path is None or not path.is_file():
        return NO_CARD
    advice = f'Write it as {{"block_modes": ["star"]}}, with modes among {", ".join(BLOCK_MODES)}.'
    try:
        card = json.loads(path.read_text("utf-8"))
        modes = card["block_modes"]
        declared = tuple(mode for mode in modes if mode in BLOCK_MODES)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenModel(str(path), f"the card has no list block_modes ({type(error).__name__})", advice) from error
    if not isinstance(modes, list) or len(declared) != len(modes):
        raise BrokenModel(str(path), "the card declares a block mode that does not exist", advice)
    positions = _one_of(Positions, path, "positions", card)
    lead = _one_of(Lead, path, "lead", card)
    kinds = {"base": str, "rope_parameters": dict, "context": int, "digest": str}
    for name, kind in kinds.items():
        if card.get(name) is not None and (not isinstance(card[name], kind) or isinstance(card[name], bool)):
            raise BrokenModel(str(path), f"the card's {name} is no {kind.__name__}", "Copy the adapter again.")
    if (context := card.get("context")) is not None and context < 1:
        raise BrokenModel(str(path), f"the card's context is {context} positions", "Copy the adapter again.")
    return Card(
        declared,
        positions=positions or Positions.SEQUENTIAL,
        lead=lead or Lead.NONE,
        **{name: card.get(name) for name in kinds},
    )


def _one_of(known: type[Chosen], path: Path, name: str, card: Mapping[str, Any]) -> Chosen | None:
    if name not in card:
        return None
    try:
        return known(card[name])
    except ValueError:
        what = f"the card's {name} is {card[name]!r}, which this version does not know"
        raise BrokenModel(str(path), what, f"Known are {', '.join(known)}: install a newer version.") from None


def write_card(folder: Path, card: Card) -> None:
    """Write `hotseat.json` into a folder."""
    said = {
        "block_modes": list(card.block_modes),
        "base": card.base,
        "rope_parameters": None if card.rope_parameters is None else dict(card.rope_parameters),
        "context": card.context,
        "positions": None if card.positions is Positions.SEQUENTIAL else card.positions.value,
        "lead": None if card.lead is Lead.NONE else card.lead.value,
        "digest": card.digest,
        **card.more,
    }
    kept = {name: value for name, value in said.items() if value is not None}
    write_atomically(folder / CARD, json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
