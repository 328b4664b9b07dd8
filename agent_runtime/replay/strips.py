"""The block strip of a turn: its prompt from the first block to the answers, and how each piece of it came to be there.

A strip has as many pieces as a prompt has blocks, hundreds of times what a `TurnSample` takes. So `Strips` keeps as
many as fit into a fixed room: when it is full every second turn goes, and from then on only every second one comes.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, get_args

from agent_runtime.token_blocks import TokenBlock, TokenPrompt
from agent_runtime.turn import Account, Mode

PieceKind = Literal["hit", "loaded", "encoded", "observation", "answers"]
KINDS: tuple[PieceKind, ...] = get_args(PieceKind)

_MOST_PIECES = 200_000
# A strip takes room beyond its pieces, as much as so many of them.
_OVERHEAD = 25


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a prompt: a block, the observation, or the answers and what was written behind them."""

    name: str
    kind: PieceKind
    tokens: int


Strip = tuple[Piece, ...]


def strip_of(prompt: TokenPrompt, account: Account) -> Strip:
    """Return the strip of a turn whose prompt is known, block by block."""
    if account.mode in (Mode.STAR, Mode.ANCHORED):
        changed: Mapping[str, PieceKind] = {use.name: use.how for use in account.changed}
        blocks = [Piece(block.name, changed.get(block.name, "hit"), len(block.ids)) for block in prompt.blocks]
    else:
        blocks = list(_chain(prompt.blocks, account.tokens_cached))
        blocks.append(Piece("observation", "hit", account.tokens_cached - prompt.num_static))
    return _whole(blocks, account)


def strip_of_account(account: Account) -> Strip:
    """Return the strip of a turn of which only the account is known: what was resident is one piece."""
    changed = [Piece(use.name, use.how, use.tokens) for use in account.changed]
    if not changed and account.encoded:  # `full` and `prefix` have no blocks to name
        changed = [Piece("behind the change", "encoded", account.encoded)]
    resident = account.tokens_cached - sum(piece.tokens for piece in changed if piece.kind == "loaded")
    name = f"{account.blocks_hit} blocks" if account.blocks_hit else "the beginning"
    return _whole([Piece(name, "hit", resident), *changed], account)


def _chain(blocks: Sequence[TokenBlock], num_cached: int) -> Iterator[Piece]:
    """In `prefix` and `full` a beginning of the prompt is resident, which may end within a block."""
    for block, end in zip(blocks, accumulate(len(block.ids) for block in blocks), strict=True):
        begin = end - len(block.ids)
        resident = min(max(num_cached - begin, 0), len(block.ids))
        yield Piece(block.name, "hit", resident)
        yield Piece(block.name, "encoded", len(block.ids) - resident)


def _whole(blocks: Sequence[Piece], account: Account) -> Strip:
    answers = account.scored + account.decoded + account.appended
    behind = (Piece("observation", "observation", account.observation), Piece("answers", "answers", answers))
    return tuple(piece for piece in (*blocks, *behind) if piece.tokens > 0)


@dataclass(frozen=True, slots=True)
class KeptStrip:
    """The strip of the turn with this number (from 0) in the lane of this label."""

    label: str
    number: int
    strip: Strip


class Strips:
    """Strips of as many turns as fit, evenly spread over the replay."""

    def __init__(self, most_pieces: int = _MOST_PIECES) -> None:
        self._most_pieces = most_pieces
        # By label and number, two words a piece: its name and kind, and its tokens.
        self._kept: dict[str, dict[int, array[int]]] = {}
        self._num_pieces = 0
        self._names: dict[str, int] = {}
        self.every = 1

    def keep(self, label: str, number: int, strip: Strip) -> None:
        """Keep the strip of the turn with this number in the lane of this label, if it is one of those to be kept."""
        if number % self.every:
            return
        packed = array("I")
        for piece in strip:
            name = self._names.setdefault(piece.name, len(self._names))
            packed.extend((name * len(KINDS) + KINDS.index(piece.kind), piece.tokens))
        self._kept.setdefault(label, {})[number] = packed
        self._num_pieces += _room(packed)
        while self._num_pieces > self._most_pieces and any(any(lane) for lane in self._kept.values()):
            self._thin_out()

    def _thin_out(self) -> None:
        left, self._kept, self._names = list(self), {}, {}
        self.every *= 2
        self._num_pieces = 0
        for each in left:
            self.keep(each.label, each.number, each.strip)

    def __iter__(self) -> Iterator[KeptStrip]:
        """Yield every strip, lane by lane."""
        names = list(self._names)
        for label, lane in self._kept.items():
            for number, packed in lane.items():
                yield KeptStrip(label, number, tuple(_unpacked(packed, names)))


def _room(packed: "array[int]") -> int:
    """What a strip takes, counted in pieces."""
    return len(packed) // 2 + _OVERHEAD


def _unpacked(packed: "array[int]", names: Sequence[str]) -> Iterator[Piece]:
    for at in range(0, len(packed), 2):
        name, kind = divmod(packed[at], len(KINDS))
        yield Piece(names[name], KINDS[kind], packed[at + 1])
