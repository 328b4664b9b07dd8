"""Small things that a device has to know, copied there without waiting for what it is doing."""

import numpy
import torch


def there(array: numpy.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a host's array as a tensor on `device`; on a CPU it is the same memory.

    A copy from ordinary memory makes the host wait until a GPU has done all it was given, one from pinned memory does
    not. Pinned memory is torch's, which keeps it for the next copy once this one is done.
    """
    tensor = torch.from_numpy(array) if isinstance(array, numpy.ndarray) else array
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
