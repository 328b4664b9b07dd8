"""Token by token: what listed actions cannot say (free text, parameters under a schema) is decoded behind a cursor.

Shapes: V vocabulary.
"""

import hashlib
import random
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from agent_runtime.engine.cursor import Cursor
from agent_runtime.engine.forward import Logits
from agent_runtime.engine.span import Span
from agent_runtime.engine.token_mask import TokenMask

Choose = Callable[[torch.Tensor], int]


@dataclass(frozen=True, slots=True)
class Generated:
    """What was decoded. `unfed` are its last tokens, whose keys no forward has computed; `rows` is what it cost.

    `appended` counts the tokens that a schema left no choice about. `ended` is False when the limit cut it.
    """

    ids: tuple[int, ...]
    unfed: tuple[int, ...]
    rows: int
    appended: int
    ended: bool


def generate(
    cursor: Cursor,
    logits_V: torch.Tensor,
    *,
    limit: int,
    stop_ids: Collection[int],
    choose: Choose,
    mask: TokenMask | None = None,
    unfed: Sequence[int] = (),
    on_tokens: Callable[[Sequence[int]], None] = lambda ids: None,
) -> Generator[Sequence[Span], Logits, Generated]:
    """Decode up to `limit` tokens behind `cursor` and the tokens `unfed`, whose next-token logits are `logits_V` [V].

    `unfed` are known, and have no keys at the cursor yet: they go into the first forward. Without a mask it ends at a
    stop id, which is not part of the result; with one it ends when the mask is finished.
    """
    ids: list[int] = []
    waiting = list(unfed)
    likeliest: Callable[[], int] = partial(greedy, logits_V)
    rows = appended = 0
    while len(ids) < limit:
        if mask is not None and mask.finished:
            return Generated(tuple(ids), tuple(waiting), rows, appended, ended=True)
        tokens = forced = _forced(mask, limit - len(ids))
        if not tokens:
            if mask is None and choose is greedy:
                token = likeliest()  # found for all that share a forward
            else:
                token = choose(logits_V if mask is None else logits_V.masked_fill(~mask.allowed(), float("-inf")))
            if mask is None and token in stop_ids:
                return Generated(tuple(ids), tuple(waiting), rows, appended, ended=True)
            if mask is not None:
                mask.advance(token)
            # What must follow goes into the same forward.
            forced = _forced(mask, limit - len(ids) - 1)
            tokens = [token, *forced]
        appended += len(forced)
        ids.extend(tokens)
        waiting.extend(tokens)
        on_tokens(ids)
        if len(ids) < limit and (mask is None or not mask.finished):
            span = cursor.extend(tuple(waiting))
            rows += len(waiting)
            waiting = []
            logits = yield [span]
            logits_V, likeliest = logits[span][-1], partial(logits.best, span)
    return Generated(tuple(ids), tuple(waiting), rows, appended, ended=mask is not None and mask.finished)


def _forced(mask: TokenMask | None, most: int) -> list[int]:
    """Return up to `most` tokens that must come next, which the mask has taken then."""
    tokens = [] if mask is None or mask.finished else list(mask.forced()[:most])
    for token in tokens:
        mask.advance(token)  # type: ignore[union-attr]
    return tokens


def greedy(logits_V: torch.Tensor) -> int:
    """Choose the likeliest token."""
    return int(logits_V.argmax())


class Sampler:
    """Chooses tokens at a temperature; the n-th draw depends on `seed` and `names` only.

    A draw is a point below the sum of all shares, and what is chosen is whose share it lies in: found on the device
    that has the logits, of which nothing but a token's number leaves it.
    """

    def __init__(self, temperature: float, seed: int, *names: object) -> None:
        digest = hashlib.blake2b(repr((seed, *names)).encode(), digest_size=8).digest()
        self._random = random.Random(int.from_bytes(digest, "big"))
        self._temperature = temperature

    def __call__(self, logits_V: torch.Tensor) -> int:
        """Draw one token."""
        # The largest becomes 0 first: divided by a tiny temperature it would be infinite, and infinite shares are none.
        shares_V = ((logits_V.double() - logits_V.max()) / self._temperature).exp()
        reached_V = shares_V.cumsum(-1)
        # 52 bits: one step of a float64 below 1 at the least, and so the point is below the sum.
        point = reached_V[-1:] * (self._random.getrandbits(52) / 2**52)
        return int(torch.searchsorted(reached_V, point, right=True))
