"""How far logits are from others that should be the same, so that no single one of millions decides."""

import torch


def distances(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return how far each row [R, V] is from the other, relative to the other's length, [R]; NaN if a logit is none.

    Both are taken without their mean, which no probability depends on. Rows that have nothing to do with each other
    are 1 to 1.5 apart.
    """
    others = others - others.mean(-1, keepdim=True)
    rows = rows - rows.mean(-1, keepdim=True)
    distance: torch.Tensor = (rows - others).norm(dim=-1) / others.norm(dim=-1)
    return distance
