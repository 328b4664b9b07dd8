"""Small things that a device has to know, or that it has found, copied by way of pinned memory."""

import numpy
import torch


def there(array: numpy.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a host's array as a tensor on `device`; on a CPU it is the same memory.

    A copy from ordinary memory makes the host wait until a GPU has done all it was given, one from pinned memory does
    not. Pinned memory is torch's, which keeps it for the next copy once this one is done.
    """
    tensor = torch.from_numpy(array) if isinstance(array, numpy.ndarray) else array
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def here(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor on the host, when its device has come to it.

    To ordinary memory a copy would begin only then; to pinned memory it lies in the device's queue, behind the rest.
    """
    if not tensor.is_cuda:
        return tensor
    found = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensor.device).synchronize()
    return found
