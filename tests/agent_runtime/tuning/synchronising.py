"""What would make a host wait for a GPU, found on a CPU: operations whose answer the host has to see."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# Values that Python asks for, and results whose length depends on values.
_WAITING = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.bincount.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.unique_consecutive.default,
    aten.repeat_interleave.Tensor,
    aten.equal.default,
}
_INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}


class _Watch(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        masks = func in _INDEXING and any(each is not None and each.dtype is torch.bool for each in args[1])
        if func in _WAITING or masks:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@contextmanager
def synchronising() -> Iterator[list[str]]:
    """Yield a list of what is done inside the block and would synchronise."""
    watch = _Watch()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("tolist", "numpy"):  # which ask for a CPU's values without any operation
            real = getattr(torch.Tensor, name)

            def noted(tensor: torch.Tensor, *given: Any, real: Any = real, name: str = name, **more: Any) -> Any:
                watch.found.append(name)
                return real(tensor, *given, **more)

            patch.setattr(torch.Tensor, name, noted)
        with watch:
            yield watch.found
