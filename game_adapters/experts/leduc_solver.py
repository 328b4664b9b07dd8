"""An equilibrium of Leduc hold'em as PettingZoo plays it (blinds 1 and 2), by CFR+ over the tree of what is public.

It is that of players of whom each takes the other for somebody who does anything at all in one move of ten: so it gains
from mistakes, which the equilibrium of perfect players forgives, and gives hardly anything away.

The chips differ from the Leduc of the literature (an ante of 1 each), so its published solutions do not apply. A node
is what both players know; what each holds is one of three ranks, so strategies and values are arrays over ranks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RANKS = "JQK"
BLINDS = (1, 2)
RAISES = (2, 4)
MOST_RAISES = 2
ITERATIONS = 200
# Everybody errs so often, so that there is a best answer to every mistake, too. What is rarer than the second figure is
# taken for a mistake in the end.
ASTRAY = 0.1
_TREMBLE, _LEAST = 0.005, 0.03
_COPIES = 2
_ROUND_OVER = "/"


@dataclass(slots=True)
class Node:
    """A decision: who moves (0: small blind), by which actions, and where they lead."""

    player: int
    actions: tuple[str, ...]
    children: "tuple[Node | Deal | End, ...]"
    regrets: Floats = field(init=False)
    """[rank, action]"""
    sums: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.regrets = np.zeros((len(RANKS), len(self.actions)))
        self.sums = np.zeros((len(RANKS), len(self.actions)))

    def strategy(self) -> Floats:
        """What regrets ask for now, [rank, action]."""
        return (1 - _TREMBLE) * _normal(self.regrets) + _TREMBLE / len(self.actions)


@dataclass(frozen=True, slots=True)
class Deal:
    """The card on the board is dealt: a subtree for each rank."""

    children: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class End:
    """What the small blind wins, weighted by the chance of the deal: [its rank, the other's rank]."""

    gains: Floats


@lru_cache(maxsize=4)
def solve(iterations: int = ITERATIONS, astray: float = ASTRAY) -> Mapping[str, Mapping[str, float]]:
    """Each action's share by the actions of the hand and the cards that the player knows, as `key` writes them.

    `astray` is how often each expects the other to do anything.
    """
    root = _tree((), BLINDS, 0, 0, 0, None)
    assert isinstance(root, Node)
    for iteration in range(1, iterations + 1):
        for player in (0, 1):
            # The first strategies are no part of the mean: where nobody comes any more, they would stay in it.
            weight = max(0, iteration - iterations // 4)
            _walk(root, player, np.ones(len(RANKS)), np.ones(len(RANKS)), weight, astray)
    return MappingProxyType({name: MappingProxyType(shares) for name, shares in _shares(root, "", None)})


def key(actions: str, rank: str, board: str | None) -> str:
    """What a player knows: the actions of the hand ("cr/k": / between the rounds), its rank and the board's."""
    return f"{actions} {rank}{board or ''}"


def exploitability(shares: Mapping[str, Mapping[str, float]]) -> float:
    """What best answers win against the shares, in chips a hand, over both seats; 0 for an equilibrium."""
    root = _tree((), BLINDS, 0, 0, 0, None)
    total = 0.0
    for player in (0, 1):
        total += float(_best_answer(root, player, np.ones(len(RANKS)), shares, "", None).sum())
    return total / 2


def _tree(
    done: tuple[str, ...], put_in: tuple[int, int], player: int, stage: int, raises: int, board: int | None
) -> "Node | Deal | End":
    """The tree behind what was done in this round."""
    own, other = put_in[player], put_in[1 - player]
    actions: tuple[str, ...] = ("k",) if own == other else ("f", "c")
    actions += ("r",) if raises < MOST_RAISES else ()
    children: list[Node | Deal | End] = []
    for action in actions:
        chips = {"k": own, "f": own, "c": other, "r": other + RAISES[stage]}[action]
        now = (chips, put_in[1]) if player == 0 else (put_in[0], chips)
        if action == "f":
            children.append(End(_folded(player, put_in, board)))
        elif action == "r":
            children.append(_tree((*done, "r"), now, 1 - player, stage, raises + 1, board))
        elif not done:  # the other one has not acted in this round yet
            children.append(_tree((*done, action), now, 1 - player, stage, raises, board))
        elif stage == 0:
            # Who would be next begins the second round.
            rounds = [_tree((), now, 1 - player, 1, 0, rank) for rank in range(len(RANKS))]
            children.append(Deal(tuple(node for node in rounds if isinstance(node, Node))))
        else:
            assert board is not None
            children.append(End(_shown(now, board)))
    return Node(player, actions, tuple(children))


def _chance(board: int | None) -> Floats:
    """The chance of two ranks, and of the board's if there is one: [small blind's, big blind's]."""
    cards = len(RANKS) * _COPIES
    chance = np.empty((len(RANKS), len(RANKS)))
    for own in range(len(RANKS)):
        for other in range(len(RANKS)):
            chance[own, other] = _COPIES * (_COPIES - (own == other)) / (cards * (cards - 1))
            if board is not None:
                left = _COPIES - (board == own) - (board == other)
                chance[own, other] *= max(0, left) / (cards - 2)
    return chance


def _folded(player: int, put_in: tuple[int, int], board: int | None) -> Floats:
    return _chance(board) * (put_in[1] if player == 1 else -put_in[0])


def _shown(put_in: tuple[int, int], board: int) -> Floats:
    strength = np.array([rank + len(RANKS) * (rank == board) for rank in range(len(RANKS))])
    gains: Floats = _chance(board) * np.sign(strength[:, None] - strength[None, :]) * put_in[0]
    return gains


def _walk(node: "Node | Deal | End", player: int, reach: Floats, other: Floats, weight: int, astray: float) -> Floats:
    """Update one player's regrets; return its values [rank]. `reach` is its own share of the way here [rank], `other`
    the other's."""
    if isinstance(node, End):
        return node.gains @ other if player == 0 else -(other @ node.gains)
    if isinstance(node, Deal):
        values = [_walk(child, player, reach, other, weight, astray) for child in node.children]
        return sum(values, np.zeros(len(RANKS)))
    strategy = node.strategy()
    if node.player != player:
        strategy = (1 - astray) * strategy + astray / len(node.actions)
        values = [
            _walk(child, player, reach, other * strategy[:, i], weight, astray) for i, child in enumerate(node.children)
        ]
        return sum(values, np.zeros(len(RANKS)))
    each = np.stack(
        [_walk(child, player, reach * strategy[:, i], other, weight, astray) for i, child in enumerate(node.children)],
        axis=1,
    )
    value: Floats = (each * strategy).sum(axis=1)
    node.regrets = np.maximum(0.0, node.regrets + each - value[:, None])
    node.sums += weight * reach[:, None] * strategy
    return value


def _normal(weights: Floats) -> Floats:
    """Rows that add up to 1; even ones where nothing is."""
    totals = weights.sum(axis=1, keepdims=True)
    return np.where(totals > 0, weights / np.where(totals > 0, totals, 1.0), 1.0 / weights.shape[1])


def _shares(node: "Node | Deal | End", done: str, board: int | None) -> Iterator[tuple[str, dict[str, float]]]:
    if isinstance(node, Deal):
        for rank, dealt in enumerate(node.children):
            yield from _shares(dealt, done + _ROUND_OVER, rank)
    elif isinstance(node, Node):
        mean = _normal(node.sums)
        # What rounding errors might turn is not said.
        mean = np.round(_normal(np.where(mean < _LEAST, 0.0, mean)), 2)
        for rank in range(len(RANKS)):
            name = key(done, RANKS[rank], None if board is None else RANKS[board])
            yield name, dict(zip(node.actions, map(float, mean[rank]), strict=True))
        for action, child in zip(node.actions, node.children, strict=True):
            yield from _shares(child, done + action, board)


def _best_answer(
    node: "Node | Deal | End",
    player: int,
    other: Floats,
    shares: Mapping[str, Mapping[str, float]],
    done: str,
    board: int | None,
) -> Floats:
    if isinstance(node, End):
        return node.gains @ other if player == 0 else -(other @ node.gains)
    if isinstance(node, Deal):
        parts = [_best_answer(c, player, other, shares, done + _ROUND_OVER, r) for r, c in enumerate(node.children)]
        return sum(parts, np.zeros(len(RANKS)))
    values = []
    for action, child in zip(node.actions, node.children, strict=True):
        seen = None if board is None else RANKS[board]
        mix = np.array([shares[key(done, rank, seen)][action] for rank in RANKS])
        reach = other if node.player == player else other * mix
        values.append(_best_answer(child, player, reach, shares, done + action, board))
    if node.player != player:
        return sum(values, np.zeros(len(RANKS)))
    best: Floats = np.max(values, axis=0)
    return best
