"""By which way a model attends: by our kernels on an NVIDIA GPU where they prove themselves, else by plain torch.

The proof is a small forward of every kind of work there is, once by the kernels and once by plain torch, before the
first turn: closely by the first layers, where roundings have not grown yet, and roughly by all of them. Where the
kernels fail or say something else, answers are plain torch's, and the log says why, once. Where only the kernel is at
fault that is some GPUs' alone, the others go on without it, and the log says that.
"""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel

from agent_runtime.engine import attention
from agent_runtime.engine.errors import first_line
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.gpu.support import not_of_this_model, not_on_this_machine, specialises
from agent_runtime.engine.gpu.tiling import tiling_of
from agent_runtime.engine.likeness import UNLIKE, distances, rounding
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import NOTHING, Placed, Span, View

_log = logging.getLogger(__name__)

# The proof's blocks and rows. Many sessions see one block many times over: enough to be read once for all of them.
_BLOCK_TOKENS, _ROWS, _SESSIONS, _TIMES = 24, 17, 16, 20
# How many blocks one prompt sees that no other does: enough that tiles of keys are of two blocks, and that a program
# has more of them than there is room for at once. The kernel for few rows takes fewer than a prompt has.
_OWN_BLOCKS = 200
_PLACE = 97
# Behind the first layers kernels may differ from plain torch as two of its own ways do. Of what rounding leaves there
# (1 % in bfloat16) a model can make twenty times as much until its last layer: behind that, but for float32, only what
# has nothing to do with the right answer is told apart.
_FIRST_LAYERS = 8
_MOST_BEHIND_FIRST = 0.1
_SLOWER = "Answers are the same, and take longer."


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why the kernels are not used, and what to do about it."""

    why: str
    advice: str


def chosen_runner(model: PreTrainedModel, pool: Pool, rope: RotaryTable, *, max_rows: int = 512) -> ForwardRunner:
    """Return what runs a model's forwards in the way that is best for it; on CUDA, the log says which and why.

    `max_rows` is the scheduler's.
    """
    by_torch = partial(ForwardRunner, model, pool, rope)
    if not is_for_kernels(pool):
        return by_torch()
    trouble = _known_trouble(pool, rope)
    if trouble is None:
        runner, trouble = _proved_at_best(model, pool, rope, max_rows)
        if runner is not None:
            _log.info("attention runs in our kernels, which agree with plain torch")
            return runner
    assert trouble is not None
    text = "attention runs in plain torch, not in our kernels: %s. %s %s"
    _log.warning(text, trouble.why, _SLOWER, trouble.advice)
    return by_torch()


def is_for_kernels(pool: Pool) -> bool:
    """Whether all layers lie on GPUs, where kernels are compiled."""
    return all(device.type == "cuda" for device in pool.geometry.devices)


def _known_trouble(pool: Pool, rope: RotaryTable) -> _Trouble | None:
    why = not_of_this_model(pool.geometry, rope)
    if why is not None:
        return _Trouble(why, "Use another model where speed matters.")
    found = (not_on_this_machine(device) for device in dict.fromkeys(pool.geometry.devices))
    return next((_Trouble(*each) for each in found if each is not None), None)


def _proved_at_best(
    model: PreTrainedModel, pool: Pool, rope: RotaryTable, max_rows: int
) -> tuple[ForwardRunner | None, _Trouble | None]:
    """Return what runs a model by the kernels, all of them if possible, or what is wrong with them."""
    prove = partial(_proved, model, pool, rope, max_rows)
    best = tiling_of(pool.geometry.dtype, pool.geometry.head_dim, specialised=True)
    if not best.wide.is_specialised or not all(specialises(device) for device in pool.geometry.devices):
        return prove(specialised=False)
    runner, trouble = prove(specialised=True)
    if trouble is None:
        return runner, None
    runner, without = prove(specialised=False)
    if runner is not None:
        text = "attention runs in our kernels but for the one whose warps are specialised: %s. %s %s"
        _log.warning(text, trouble.why, _SLOWER, trouble.advice)
    return runner, without


def _proved(
    model: PreTrainedModel, pool: Pool, rope: RotaryTable, max_rows: int, *, specialised: bool
) -> tuple[ForwardRunner | None, _Trouble | None]:
    """Return what runs a model by the kernels, or what is wrong with them."""
    if pool.num_free < _BLOCK_TOKENS:
        return None, _Trouble(f"the pool's {pool.num_slots} tokens are too few to try them", "Raise --pool-mib.")
    make = partial(ForwardRunner, model, pool, rope)
    by_kernels = partial(make, way=attention.BY_KERNELS, max_rows=max_rows, specialised=specialised)
    runner = None
    try:
        with _first_layers_alone(model, pool):
            by_queries, by_keys = (_asked_once(make(way=way)) for way in (attention.MOVE_QUERIES, attention.MOVE_KEYS))
            limit = rounding(_furthest(by_queries, by_keys), _MOST_BEHIND_FIRST)
            difference = _furthest(_asked_once(by_kernels()), by_keys)
        is_close = difference <= limit
        if is_close:
            by_keys = _asked_once(make())
            runner = by_kernels()
            found = _asked(runner)
            if pool.geometry.dtype == torch.float32:
                difference = _furthest(found, by_keys)
            else:
                difference, limit = _on_average(found, by_keys), UNLIKE
    except Exception as error:
        if runner is not None:
            runner.close()
        return None, _failed(error)
    if runner is None or not difference <= limit:
        if runner is not None:
            runner.close()
        behind = "all" if is_close else f"the first {_FIRST_LAYERS}"
        why = f"behind {behind} layers their logits are {difference:.1e} off torch's, where {limit:.1e} may be rounding"
        return None, _Trouble(why, "Please report this with the model's name, the GPU's and torch's version.")
    runner.rows = runner.forwards = 0
    return runner, None


@contextmanager
def _first_layers_alone(model: PreTrainedModel, pool: Pool) -> Iterator[None]:
    """Let a model consist of its first layers, of several GPUs the first of each, and its head."""
    decoder: Any = model.get_decoder()
    layers, devices = decoder.layers, pool.geometry.devices
    each = max(1, _FIRST_LAYERS // len({*devices}))
    firsts = [layer for number, layer in enumerate(layers) if devices[:number].count(devices[number]) < each]
    decoder.layers = torch.nn.ModuleList(firsts)
    try:
        yield
    finally:
        decoder.layers = layers


def _asked_once(runner: ForwardRunner) -> list[torch.Tensor]:
    with closing(runner):
        return _asked(runner)


def _failed(error: Exception) -> _Trouble:
    why = f"{type(error).__name__}: {first_line(error)}"
    if isinstance(error, torch.OutOfMemoryError):
        return _Trouble(why, "Lower --pool-mib: kernels and graphs need memory beside it.")
    return _Trouble(
        why, "The whole error is shown by: python -m agent_runtime.engine.bench --way kernels --case nothing"
    )


def _asked(runner: ForwardRunner) -> list[torch.Tensor]:
    """Return the logits of one forward, [rows, V] of each kind of work.

    A block, a prompt behind it, that one's forks, a prompt behind many blocks of its own, many views.
    """
    pool, vocabulary = runner.pool, runner.model.config.get_text_config().vocab_size
    ids = torch.randint(vocabulary, (256,), generator=torch.Generator().manual_seed(0)).tolist()
    block = pool.acquire(_BLOCK_TOKENS)
    try:
        # One block is enough: runs may share slots. What is to be seen by one session alone is a run of its own.
        times = min(_TIMES, max(1, runner.rope.num_positions // (2 * _BLOCK_TOKENS)))
        long = Run(block.extents * times, block.length * times)
        place = min(_PLACE, runner.rope.num_positions - _BLOCK_TOKENS - 2 * _ROWS)
        view = View((Placed(Run(block.extents, block.length), place),))
        spans = [Span(ids[:_BLOCK_TOKENS], 0, NOTHING, keep=block, wanted="all")]
        spans.append(Span(ids[30 : 30 + _ROWS], place + _BLOCK_TOKENS, view, wanted="all"))
        ends = spans[1].start + _ROWS
        spans += [Span(ids[n : n + 2], ends, view, parent=spans[1], wanted="all") for n in (60, 70)]
        num_own = min(_OWN_BLOCKS, (runner.rope.num_positions - _ROWS) // _BLOCK_TOKENS)
        own = [Placed(Run(block.extents, block.length), number * _BLOCK_TOKENS) for number in range(num_own)]
        spans.append(Span(ids[50 : 50 + _ROWS], num_own * _BLOCK_TOKENS, View(tuple(own)), wanted="all"))
        for number in range(_SESSIONS):
            shown = View((Placed(Run(block.extents, block.length), number), Placed(long, number % 7)))
            spans.append(Span([ids[80 + number]], runner.rope.num_positions - 1 - number, shown, wanted="all"))
        logits = runner.run(spans)
        row_V = logits[spans[1]][-1]
        if logits.best(spans[1]) != int(row_V.argmax()) and row_V.isfinite().all():
            raise ArithmeticError("what is found as a row's likeliest token is another one")
        kinds = (spans[:1], spans[1:2], spans[2:4], spans[4:5], spans[5:])
        return [torch.cat([logits[span] for span in kind]).float().cpu() for kind in kinds]
    finally:
        pool.release(block)


def _furthest(kinds: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    """Return how far the row is from the other one that is furthest from it; NaN if a logit is none."""
    return float(torch.stack([distances(rows, other).max() for rows, other in zip(kinds, others, strict=True)]).max())


def _on_average(kinds: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    """Return how far rows of a kind of work are from the others on average, in the kind where that is most."""
    return float(torch.stack([distances(rows, other).mean() for rows, other in zip(kinds, others, strict=True)]).max())
