"""A decision is one forward: the exact log-probability of every listed answer, from spans behind the observation.

Whole answers end with the end-of-turn token, so none is the beginning of another. They share their beginnings as a
token tree; only the inner nodes of that tree need a row, for a leaf is read off its parent's logits. An answer without
that token (the name of an action whose parameters are decoded later) is scored as the beginning it is.
"""

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from agent_runtime.engine.copies import there
from agent_runtime.engine.errors import AnswersCollide
from agent_runtime.engine.forward import Logits
from agent_runtime.engine.span import Span


@dataclass(frozen=True, slots=True)
class AnswerTree:
    """The spans of all inner nodes; for every answer the (span, row, token) steps whose log-probabilities add up."""

    spans: tuple[Span, ...]
    steps: tuple[tuple[tuple[Span, int, int], ...], ...]

    @property
    def num_rows(self) -> int:
        """Return the forward rows that scoring takes, the observation's own last row not counted."""
        return sum(len(span.ids) for span in self.spans)


def grow_tree(answers: Sequence[Sequence[int]], parent: Span) -> AnswerTree:
    """Lay out `answers` (token ids, each with its end-of-turn token) behind `parent`, whose last logits are wanted.

    Raises AnswersCollide if two answers are the same tokens.
    """
    first_of: dict[tuple[int, ...], int] = {}
    for index, answer in enumerate(answers):
        if first_of.setdefault(tuple(answer), index) != index:
            raise AnswersCollide(first_of[tuple(answer)], index)
    spans: list[Span] = []
    steps: list[list[tuple[Span, int, int]]] = [[] for _ in answers]

    def branch(at: Span, row: int, position: int, members: list[int], depth: int) -> None:
        by_token: dict[int, list[int]] = {}
        for member in members:
            by_token.setdefault(answers[member][depth], []).append(member)
        for token, group in by_token.items():
            for member in group:
                steps[member].append((at, row, token))
            group = [member for member in group if len(answers[member]) > depth + 1]
            if not group:
                continue
            chain = [token]
            while (common := _common_inner(answers, group, depth + len(chain))) is not None:
                chain.append(common)
            span = Span(tuple(chain), position, at.view, parent=at, wanted="all")
            spans.append(span)
            for member in group:
                steps[member].extend((span, index - 1, chain[index]) for index in range(1, len(chain)))
            branch(span, len(chain) - 1, position + len(chain), group, depth + len(chain))

    branch(parent, -1, parent.start + len(parent.ids), list(range(len(answers))), 0)
    return AnswerTree(tuple(spans), tuple(tuple(path) for path in steps))


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
    wanted: dict[Span, list[tuple[int, int, int]]] = {}
    for answer, path in enumerate(tree.steps):
        for span, row, token in path:
            wanted.setdefault(span, []).append((answer, row, token))
    reads: list[tuple[int, int, int]] = []
    first = 0
    for span, own in wanted.items():
        count = logits[span].shape[0]
        reads += [(answer, first + row % count, token) for answer, row, token in own]
        first += count
    logits_RV = torch.cat([logits[span] for span in wanted])
    answers, rows, tokens = torch.tensor(list(zip(*reads, strict=True)))
    at = there(torch.stack((rows, tokens)), logits_RV.device)
    picked = logits_RV[at[0], at[1]].double() - logits_RV.logsumexp(-1).double()[at[0]]
    totals = torch.zeros(len(tree.steps), dtype=torch.float64).index_add_(0, answers, picked.cpu())
    return [float(total) for total in totals.tolist()]


def probabilities(logprobs: Sequence[float], temperature: float, lengths: Sequence[int] | None = None) -> list[float]:
    """Return the softmax of `logprobs` (each divided by its length, if `lengths` is given) over `temperature`."""
    values = [value / (lengths[i] if lengths else 1) for i, value in enumerate(logprobs)]
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
