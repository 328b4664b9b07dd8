"""The packed forward: any mix of spans from any sessions through the model once.

Shapes: T rows of the forward, W rows whose logits are wanted, V vocabulary.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any
from weakref import WeakSet

import numpy
import torch
from transformers import PreTrainedModel

from agent_runtime.engine import attention
from agent_runtime.engine.compute_thread import is_ending
from agent_runtime.engine.copies import here, there
from agent_runtime.engine.cpu_products import multiplies_by_onednn
from agent_runtime.engine.errors import EngineClosed, UnsupportedModel
from agent_runtime.engine.gathered import GatheredViews
from agent_runtime.engine.gpu.support import not_of_this_model
from agent_runtime.engine.layout import Layout, lay_out
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.span import Span
from agent_runtime.engine.step import make_step

_log = logging.getLogger(__name__)


Likeliest = Callable[[torch.Tensor], torch.Tensor]


def _likeliest(logits_WV: torch.Tensor) -> torch.Tensor:
    return logits_WV.argmax(-1)


class Logits(dict[Span, torch.Tensor]):
    """Float32 logits [1 or len(ids), V] of every span that wants some."""

    _best: dict[Span, int] | None = None
    _together: tuple[torch.Tensor, Sequence[int], Likeliest] | None = None

    @classmethod
    def of(
        cls, logits_WV: torch.Tensor, wanted: Sequence[tuple[Span, int]], likeliest: Likeliest = _likeliest
    ) -> "Logits":
        """Return the logits of spans whose rows, so many each, lie one behind the other.

        `likeliest` finds the token of each row's largest logit, the lowest of equals, [W].
        """
        counts = [count for _, count in wanted]
        found = cls(zip((span for span, _ in wanted), logits_WV.split(counts), strict=True))
        found._together = logits_WV, counts, likeliest
        return found

    def best(self, span: Span) -> int:
        """Return the likeliest token behind `span`, the lowest of equals.

        Those of a whole forward are found when the first is asked for: with each one, a device would be waited for.
        """
        if self._together is None:
            return int(self[span][-1].argmax())
        if self._best is None:
            logits_WV, counts, likeliest = self._together
            tokens = here(likeliest(logits_WV)).tolist()
            self._best = {span: tokens[end - 1] for span, end in zip(self, accumulate(counts), strict=True)}
        return self._best[span]


# What may be kept a second time, side by side for batches that come again, beside the pool: a share of its tokens.
_GATHERED = 0.25
# Models of which the log has said that their weights are not merged.
_NOT_MERGED: WeakSet[PreTrainedModel] = WeakSet()


class ForwardRunner:
    """Runs spans through a transformers model whose attention it has taken over.

    `rows` and `forwards` count what the model was actually given, by a hook on its embedding: the independent side of
    every account. By kernels with merged weights, which call no module, they count what was laid out.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        pool: Pool,
        rope: RotaryTable,
        *,
        way: str = attention.MOVE_KEYS,
        max_rows: int = 512,
        specialised: bool = True,
    ) -> None:
        """Take over a model's attention. `max_rows` is the scheduler's: graphs of the kernels are as large.

        `specialised` False leaves out the kernel that is only some GPUs' (`gpu/specialised.py`).
        Raises UnsupportedModel where the kernels are asked for by name and cannot serve the model.
        """
        attention.register()
        self._kernel_step: Callable[..., Any] | None = None
        self._kernels: Any = None
        if way == attention.BY_KERNELS:
            self._kernel_step, self._kernels = _by_kernels(model, pool, rope, max_rows, specialised)
        model.set_attn_implementation(way)
        self.model = model
        self.pool = pool
        self.rope = rope
        self.rows = 0
        self.forwards = 0
        self.onednn = multiplies_by_onednn(model)
        self.gathered = GatheredViews(pool.geometry, int(_GATHERED * pool.num_slots))
        self._running = False
        embedding = model.get_input_embeddings()
        self.input_device: torch.device = next(embedding.parameters()).device
        self._hook = embedding.register_forward_hook(self._count)

    def close(self) -> None:
        """Let go of the model, which would otherwise keep the pool alive as long as it lives itself, and of graphs."""
        self._hook.remove()
        self._kernel_step = self._kernels = None

    def _count(self, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if not self._running:
            return
        self.rows += inputs[0].numel()
        self.forwards += 1

    def mark(self) -> Callable[[], None]:
        """Return what waits until the devices have done all they were given so far; forwards return before that."""
        devices = [device for device in dict.fromkeys(self.pool.geometry.devices) if device.type == "cuda"]
        events = [torch.cuda.current_stream(device).record_event(torch.cuda.Event(blocking=True)) for device in devices]

        def wait() -> None:
            for event in events:
                event.synchronize()

        return wait

    def run(self, spans: Sequence[Span], is_stopped: Callable[[], bool] = is_ending) -> Logits:
        """Compute `spans` in one forward. Returns float32 logits [1 or len(ids), V] of every span that wants some.

        Raises EngineClosed at the first layer that finds it stopped; by kernels with merged weights, before the first.
        """
        layout = lay_out(spans)
        is_whole = False
        try:
            logits = self._run(layout, is_stopped)
            is_whole = True
            return logits
        finally:
            self.gathered.end_forward(is_whole=is_whole)

    def device_seconds(self, times: int) -> float | None:
        """Return what a GPU takes for the last forward, run `times` more, without the host; None if it was no graph."""
        found: float | None = None if self._kernels is None else self._kernels.device_seconds(times)
        return found

    def _torch_step(self, layout: Layout, device: torch.device) -> Any:
        dtype = self.pool.geometry.dtype
        return make_step(layout, self.pool, self.rope, device, dtype, gathered=self.gathered, onednn=self.onednn)

    def _run(self, layout: Layout, is_stopped: Callable[[], bool]) -> Logits:
        wanted: list[tuple[Span, int]] = []
        rows: list[int] = []
        for span in layout.spans:
            if span.wanted != "none":
                count, stop = len(span.ids) if span.wanted == "all" else 1, layout.first_row[span] + len(span.ids)
                wanted.append((span, count))
                rows.extend(range(stop - count, stop))
        rows_W = numpy.array(rows, dtype=numpy.int64)
        if self._kernels is not None:
            return self._run_kernels(layout, wanted, rows_W, is_stopped)
        return self._run_layers(layout, wanted, rows_W, is_stopped)

    @torch.inference_mode()
    def _run_layers(
        self,
        layout: Layout,
        wanted: list[tuple[Span, int]],
        rows_W: numpy.ndarray,
        is_stopped: Callable[[], bool],
    ) -> Logits:
        """Have transformers compute the layers."""
        make = self._torch_step if self._kernel_step is None else self._kernel_step
        steps = {device: make(layout, device) for device in dict.fromkeys(self.pool.geometry.devices)}
        ids_T = numpy.concatenate([numpy.asarray(span.ids, dtype=numpy.int64) for span in layout.spans])
        options = {
            "input_ids": there(ids_T, self.input_device)[None],
            "position_ids": torch.zeros((1, layout.num_rows), dtype=torch.int64, device=self.input_device),
            "use_cache": False,
            "steps": steps,
            "is_stopped": is_stopped,
        }
        self._running = True
        try:
            return self._call(options, wanted, rows_W)
        finally:
            self._running = False

    def _run_kernels(
        self,
        layout: Layout,
        wanted: list[tuple[Span, int]],
        rows_W: numpy.ndarray,
        is_stopped: Callable[[], bool],
    ) -> Logits:
        if is_stopped():
            raise EngineClosed
        self.forwards += 1
        self.rows += layout.num_rows
        logits_WV = self._kernels.run(layout, rows_W)
        return Logits.of(logits_WV, wanted, self._kernels.likeliest)

    def _call(self, options: dict[str, Any], wanted: list[tuple[Span, int]], rows_W: numpy.ndarray) -> Logits:
        if not wanted:
            self.model.base_model(**options)
            return Logits()
        is_on_one = len(set(self.pool.geometry.devices)) == 1
        # Where layers lie on several devices, accelerate would move a tensor to the first, and the head is on the last.
        logits_WV = (
            self.model(**options, logits_to_keep=there(rows_W, self.input_device) if is_on_one else rows_W)
            .logits[0]
            .float()
        )
        return Logits.of(logits_WV, wanted)


def _by_kernels(
    model: PreTrainedModel, pool: Pool, rope: RotaryTable, max_rows: int, specialised: bool
) -> tuple[Callable[..., Any], Any]:
    """Return what makes the steps of a model that computes its layers itself, and who runs one that need not.

    Raises UnsupportedModel where the kernels cannot serve it.
    """
    why = not_of_this_model(pool.geometry, rope)
    if why is not None:
        raise UnsupportedModel(type(model).__name__, why)
    from agent_runtime.engine.gpu import attention as kernels  # needs Triton, which torch brings for GPUs alone
    from agent_runtime.engine.gpu.forward import KernelForward
    from agent_runtime.engine.gpu.merged import why_not

    kernels.register()
    num_heads = model.config.get_text_config().num_attention_heads
    make = partial(kernels.make_kernel_step, pool=pool, rope=rope, num_heads=num_heads, specialised=specialised)
    why = why_not(model)
    if why is not None:
        if model not in _NOT_MERGED:
            _NOT_MERGED.add(model)
            _log.warning("the model computes its layers itself, its weights are not merged: %s", why)
        return make, None
    return make, KernelForward(model, pool, rope, max_rows=max_rows, specialised=specialised)
