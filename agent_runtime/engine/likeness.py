"""How far logits are from others that should be the same, so that no single one of millions decides."""

import torch

EXACT = 1e-4
"""How far rows may be from each other in float32, where rounding leaves 1e-6."""

UNLIKE = 0.5
"""How far rows are from each other at least that have nothing to do with each other, whatever the dtype leaves."""

_TIMES_NOISE = 4


def rounding(noise: float, most: float = UNLIKE) -> float:
    """Return how far rows may be from the right ones where two right ways differ by `noise`.

    It is never more than `most`: beyond that they are not noisy but wrong. In float32 the noise may be given as 0.
    """
    return min(max(EXACT, _TIMES_NOISE * noise), most)


def distances(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return how far each row [R, V] is from the other, relative to the other's length, [R]; NaN if a logit is none.

    Both are taken without their mean, which no probability depends on. Rows that have nothing to do with each other
    are 1 to 1.5 apart.
    """
    others = others - others.mean(-1, keepdim=True)
    rows = rows - rows.mean(-1, keepdim=True)
    distance: torch.Tensor = (rows - others).norm(dim=-1) / others.norm(dim=-1)
    return distance
