"""A decision is one forward: the exact log-probability of every listed answer, from spans behind the observation.

Whole answers end with the end-of-turn token, so none is the beginning of another. They share their beginnings as a
token tree; only the inner nodes of that tree need a row, for a leaf is read off its parent's logits. An answer without
that token (the name of an action whose parameters are decoded later) is scored as the beginning it is, and has a row
for its last token, too: what comes behind it is known with the decision.

Shapes: V vocabulary.
"""

import hashlib
import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy
import torch

from agent_runtime.engine.copies import there
from agent_runtime.engine.errors import AnswersCollide
from agent_runtime.engine.forward import Logits
from agent_runtime.engine.span import Span

# Stands behind an answer that goes on, where others have their end; never a row nor a token that is read.
_GOES_ON = -1
# How many sets of answers' branches are kept: the actions of a game's turns are often the same again. A set takes its
# tokens and 32 bytes for every token that is read.
_MOST_KEPT = 16


@dataclass(frozen=True)
class _Branches:
    """What answers have in common, wherever they stand. They are kept from turn to turn.

    Nodes are numbered parents first, the observation is number 0. Of every other node: its parent, how many tokens of
    an answer come before it, and its own. `reads` are, of every token of every answer that is read: the answer, the
    node whose row it is read off, the row (-1: the last), and the token. `behind` are node and row of the last token of
    each answer that goes on, by its number.

    Shapes: R tokens that are read.
    """

    nodes: tuple[tuple[int, int, tuple[int, ...]], ...]
    behind: Mapping[int, tuple[int, int]]
    reads: Sequence[tuple[int, int, int, int]]

    @cached_property
    def columns(self) -> numpy.ndarray:
        """Return the reads as int64 [4, R]. Asked for behind a forward: a GPU computes it meanwhile."""
        return numpy.array(self.reads, dtype=numpy.int64).reshape(-1, 4).T


@dataclass(frozen=True, slots=True)
class AnswerTree:
    """The spans of all inner nodes behind the observation `root`, and how answers branch."""

    root: Span
    spans: tuple[Span, ...]
    num_answers: int
    branches: _Branches

    @property
    def num_rows(self) -> int:
        """Return the forward rows that scoring takes, the observation's own last row not counted."""
        return sum(len(span.ids) for span in self.spans)

    def behind(self, answer: int, logits: Logits) -> torch.Tensor:
        """Return the logits [V] of what comes behind an answer that goes on, by its number."""
        node, row = self.branches.behind[answer]
        return logits[self.root if node == 0 else self.spans[node - 1]][row]


def grow_tree(answers: Sequence[Sequence[int]], parent: Span, *, going_on: Collection[int] = ()) -> AnswerTree:
    """Lay out `answers` (token ids, each with its end-of-turn token) behind `parent`, whose last logits are wanted.

    Those numbered in `going_on` have no such token. Raises AnswersCollide if two answers are the same tokens.
    """
    marked = [(*answer, _GOES_ON) if number in going_on else tuple(answer) for number, answer in enumerate(answers)]
    branches = _branches_of(tuple(marked))
    spans = [parent]
    behind, view = parent.start + len(parent.ids), parent.view
    for number, depth, tokens in branches.nodes:
        spans.append(Span(tokens, behind + depth, view, parent=spans[number], wanted="all"))
    return AnswerTree(parent, tuple(spans[1:]), len(answers), branches)


@lru_cache(maxsize=_MOST_KEPT)
def _branches_of(answers: tuple[tuple[int, ...], ...]) -> _Branches:
    first_of: dict[tuple[int, ...], int] = {}
    for index, answer in enumerate(answers):
        if first_of.setdefault(answer, index) != index:
            raise AnswersCollide(first_of[answer], index)
    nodes: list[tuple[int, int, tuple[int, ...]]] = []
    reads: list[tuple[int, int, int, int]] = []
    behind: dict[int, tuple[int, int]] = {}

    def branch(at: int, row: int, members: list[int], depth: int) -> None:
        by_token: dict[int, list[int]] = {}
        for member in members:
            by_token.setdefault(answers[member][depth], []).append(member)
        for token, group in by_token.items():
            if token == _GOES_ON:
                behind[group[0]] = at, row
                continue
            reads.extend((member, at, row, token) for member in group)
            if len(group) == 1:  # as most are: what is left of an answer that shares nothing more
                (member,) = group
                if inner := tuple(answers[member][depth:-1]):
                    nodes.append((at, depth, inner))
                    rest = answers[member][depth + 1 :]
                    if rest[-1] == _GOES_ON:
                        rest = rest[:-1]
                        behind[member] = len(nodes), len(rest)
                    reads.extend([(member, len(nodes), index, after) for index, after in enumerate(rest)])
                continue
            group = [member for member in group if len(answers[member]) > depth + 1]
            if not group:
                continue
            chain = [token]
            while (common := _common_inner(answers, group, depth + len(chain))) is not None:
                chain.append(common)
            nodes.append((at, depth, tuple(chain)))
            number = len(nodes)
            reads.extend(
                (member, number, index - 1, chain[index]) for member in group for index in range(1, len(chain))
            )
            branch(number, len(chain) - 1, group, depth + len(chain))

    branch(0, -1, list(range(len(answers))), 0)
    return _Branches(tuple(nodes), behind, reads)


def _common_inner(answers: Sequence[Sequence[int]], group: list[int], depth: int) -> int | None:
    """Return the token that all of `group` have at `depth` with something behind it, or None."""
    first = answers[group[0]]
    if any(len(answers[member]) <= depth + 1 or answers[member][depth] != first[depth] for member in group):
        return None
    return first[depth]


def read_logprobs(tree: AnswerTree, logits: Logits) -> list[float]:
    """Return each answer's log-probability in nats: the sum over its tokens, temperature 1.

    All spans are read at once, by one look-up whose result leaves the device once: with one each, a device would be
    waited for eighteen times a decision.
    """
    answers_R, nodes_R, places_R, tokens_R = tree.branches.columns
    read = [logits[span] for span in (tree.root, *tree.spans)]
    counts = numpy.array([len(each) for each in read])
    rows_R = (numpy.cumsum(counts) - counts)[nodes_R] + places_R % counts[nodes_R]
    logits_NV = torch.cat(read)
    at = there(numpy.stack((rows_R, tokens_R)), logits_NV.device)
    picked = logits_NV[at[0], at[1]].double() - logits_NV.logsumexp(-1).double()[at[0]]
    totals = numpy.bincount(answers_R, picked.cpu().numpy(), tree.num_answers)
    found: list[float] = totals.tolist()
    return found


def probabilities(logprobs: Sequence[float], temperature: float, divisors: Sequence[int] | None = None) -> list[float]:
    """Return the softmax of `logprobs` (each divided by its divisor, if `divisors` are given) over `temperature`."""
    values = [value / (divisors[i] if divisors else 1) for i, value in enumerate(logprobs)]
    top = max(values)
    weights = [math.exp((value - top) / temperature) for value in values]
    total = sum(weights)
    return [weight / total for weight in weights]


def draw(shares: Sequence[float], seed: int, *names: object) -> int:
    """Return an index drawn from `shares`; it depends on `seed` and `names` only, not on what else is computed."""
    digest = hashlib.blake2b(repr((seed, *names)).encode(), digest_size=8).digest()
    point = random.Random(int.from_bytes(digest, "big")).random()
    for index, share in enumerate(shares):
        point -= share
        if point < 0:
            return index
    return max(range(len(shares)), key=shares.__getitem__)


def legal_mass(logprobs: Sequence[float]) -> float:
    """Return the probability that the model, unconstrained, would have given one of these answers."""
    return min(1.0, math.fsum(math.exp(value) for value in logprobs))
