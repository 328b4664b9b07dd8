"""Rotary positions, owned by the engine: keys are stored once and moved by a difference of positions.

The angles are computed in float64 from the model's own inverse frequencies and kept as float32: a float32 product of
position and frequency is off by 2.6e-3 rad at 100,000 positions. Rotations are done in float32 and rounded once.

Shapes: T rows or tokens, H heads, D head dimension, R rotary dimension (<= D), P positions.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Rotation:
    """How far each of T tokens is turned. `sin_TR` carries the sign of the half-split layout."""

    cos_TR: torch.Tensor
    sin_TR: torch.Tensor

    def apply(self, x_THD: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """Return `x_THD` with its first R dimensions rotated, in the dtype it came in; in `out`, if it is given.

        On a CPU it takes less time where the heads of both lie one behind the other, not the tokens.
        """
        rotary_dim = self.cos_TR.shape[-1]
        half = rotary_dim // 2
        out_THD = torch.empty_like(x_THD) if out is None else out
        head_THR = x_THD[..., :rotary_dim].float()
        is_rounded = x_THD.dtype is not torch.float32
        turned_THR = torch.empty_like(head_THR) if is_rounded else out_THD[..., :rotary_dim]
        torch.mul(head_THR, self.cos_TR[:, None], out=turned_THR)
        turned_THR[..., :half].addcmul_(head_THR[..., half:], self.sin_TR[:, None, :half])
        turned_THR[..., half:].addcmul_(head_THR[..., :half], self.sin_TR[:, None, half:])
        if is_rounded:
            out_THD[..., :rotary_dim] = turned_THR
        out_THD[..., rotary_dim:] = x_THD[..., rotary_dim:]
        return out_THD


class RotaryTable:
    """cos and sin for every position up to the model's context limit, on one or more devices."""

    def __init__(self, inv_freq: torch.Tensor, num_positions: int) -> None:
        angles_PF = torch.outer(torch.arange(num_positions, dtype=torch.float64), inv_freq.double().cpu())
        cos_PF, sin_PF = angles_PF.cos().float(), angles_PF.sin().float()
        self._cos_PR = torch.cat((cos_PF, cos_PF), dim=-1)
        self._sin_PR = torch.cat((-sin_PF, sin_PF), dim=-1)
        self._on: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}
        self._halves_on: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}
        self.num_positions = num_positions
        self.rotary_dim = self._cos_PR.shape[-1]

    def halves(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cos and sin of the angles of all positions, [P, R / 2] each, on `device`."""
        half = self.rotary_dim // 2
        if device not in self._halves_on:
            cos_PF, sin_PF = self._cos_PR[:, :half], self._sin_PR[:, half:]
            self._halves_on[device] = (cos_PF.contiguous().to(device), sin_PF.contiguous().to(device))
        return self._halves_on[device]

    def at(self, positions_T: torch.Tensor, *, backwards: bool = False) -> Rotation:
        """Return the rotation by each of `positions_T` (int64, 0 <= p < num_positions), or by minus that."""
        device = positions_T.device
        if device not in self._on:
            self._on[device] = (self._cos_PR.to(device), self._sin_PR.to(device))
        cos_PR, sin_PR = self._on[device]
        sin_TR = sin_PR.index_select(0, positions_T)
        return Rotation(cos_PR.index_select(0, positions_T), -sin_TR if backwards else sin_TR)
