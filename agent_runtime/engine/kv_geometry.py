"""What a model keeps of a token."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class KVGeometry:
    """What one token's keys and values look like: the sizes, the dtype, and the device of each layer."""

    num_kv_heads: int
    head_dim: int
    dtype: torch.dtype
    devices: tuple[torch.device, ...]

    @property
    def num_layers(self) -> int:
        """Return the number of attention layers."""
        return len(self.devices)

    @property
    def is_on_one_gpu(self) -> bool:
        """Return whether all layers lie on one GPU: blocks then come and go beside what it computes."""
        return len(set(self.devices)) == 1 and self.devices[0].type == "cuda"

    @property
    def bytes_per_token(self) -> int:
        """Return the bytes that one token takes over all layers, keys and values together."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim * self.dtype.itemsize
