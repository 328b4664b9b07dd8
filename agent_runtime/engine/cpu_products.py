"""Matrix products on a CPU in float32, by the faster of the two libraries that torch brings.

torch multiplies float32 by MKL, which is slow on processors that are not Intel's: on two cores of an AMD EPYC, 208 rows
by a 576 x 1,536 matrix came to 50 GFLOP/s, and to 150 by oneDNN, which torch has as well and uses for other dtypes. So
a long prefill took half the time, and so did sixteen short turns in one forward. Few rows gain as much: all layers of
SmolLM2 for one row 18 ms instead of 28, its vocabulary for the three rows of a decision 4 ms instead of 23. Which is
faster is measured when a model is loaded. Attention of few rows over many keys follows what is chosen here
(`attention.py`).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

# Smaller matrices are nobody's bottleneck; larger ones would take long to try.
_MIN_WEIGHTS, _MAX_WEIGHTS = 2**18, 2**26
_TRIES = 4
# Rows that are tried, and what share of torch's time oneDNN's may be: it has to be worth it for a prefill, and for the
# few rows of a decision or a decoded token no worse.
_TRIED = ((256, 0.8), (3, 1.1))


class OneDnnLinear(torch.nn.Linear):
    """A Linear whose products are oneDNN's."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return input W^T + b. What gradients are asked of goes torch's way, and what is no float32 on a CPU."""
        is_plain = input.is_cpu and input.dtype is self.weight.dtype is torch.float32
        is_plain = is_plain and input.numel() > 0 and input.shape[-1] == self.in_features
        is_plain = is_plain and (self.bias is None or self.bias.dtype is torch.float32)
        if is_plain and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu"):
            return product(input, self.weight, self.bias)
        return _by_torch(input, self.weight, self.bias)


def product(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return input W^T + b by oneDNN: `input` [..., I], `weight` [O, I], `bias` [O], all float32 on a CPU.

    `weight` or its transpose has to be contiguous: a strided one takes a thousand times as long.
    """
    made: torch.Tensor = torch.ops.mkldnn._linear_pointwise(input, weight, bias, "none", [], "")
    return made


def choose_products(model: PreTrainedModel) -> bool:
    """Have a float32 model on a CPU multiply by oneDNN if that is faster here; return whether it does."""
    linears = [module for module in model.modules() if type(module) is torch.nn.Linear]
    weights = [linear.weight for linear in linears]
    tried = [weight for weight in weights if _MIN_WEIGHTS <= weight.numel() <= _MAX_WEIGHTS]
    if not tried or not all(map(_is_plain, weights)) or not has_onednn():
        return False
    # What most layers are like, not the one vocabulary, which is large and is given few rows.
    frequency = Counter(weight.shape for weight in tried)
    if not _is_faster(max(tried, key=lambda weight: (frequency[weight.shape], weight.numel()))):
        return False
    for linear in linears:
        linear.__class__ = OneDnnLinear
    return True


def multiplies_by_onednn(model: PreTrainedModel) -> bool:
    """Whether `choose_products` has found oneDNN to be the faster one for this model."""
    return any(type(module) is OneDnnLinear for module in model.modules())


@contextmanager
def torchs_own_products(model: PreTrainedModel) -> Iterator[None]:
    """Have a model multiply as it would without us, for as long as it is measured as a baseline."""
    linears: list[torch.nn.Module] = [module for module in model.modules() if type(module) is OneDnnLinear]
    for linear in linears:
        linear.__class__ = torch.nn.Linear
    try:
        yield
    finally:
        for linear in linears:
            linear.__class__ = OneDnnLinear


def has_onednn() -> bool:
    """Whether this build of torch brings oneDNN, and the call that torch.compile makes of a Linear on a CPU."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _is_plain(weight: torch.Tensor) -> bool:
    """False as well for weights that were quantised: they say the dtype of their products, and are another class."""
    return type(weight) is torch.nn.Parameter and weight.dtype is torch.float32 and weight.device.type == "cpu"


def _is_faster(weight: torch.Tensor) -> bool:
    return all(_takes_less(weight, *each) for each in _TRIED)


def _takes_less(weight: torch.Tensor, num_rows: int, share: float) -> bool:
    """Try both on one matrix, in turn; the first of each is not counted. False as well if they do not agree."""
    rows = torch.randn((num_rows, weight.shape[1]), generator=torch.Generator().manual_seed(0))
    ours, theirs = partial(product, rows, weight), partial(_by_torch, rows, weight, None)
    with torch.inference_mode():
        try:
            difference = (ours() - theirs()).abs().max() / theirs().abs().max()
        except RuntimeError:  # not on this processor
            return False
        took = [(_seconds(ours), _seconds(theirs)) for _ in range(_TRIES)]
    best_ours, best_theirs = (min(column) for column in zip(*took, strict=True))
    return bool(difference < 1e-4) and best_ours < share * best_theirs


def _seconds(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _by_torch(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return F.linear(input, weight, bias)
