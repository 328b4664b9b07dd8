"""Kernels are taken where they prove themselves; here they are interpreted, as if the CPU were a GPU that has them."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch

from agent_runtime.engine import choice
from agent_runtime.engine.attention import BY_KERNELS, MOVE_KEYS
from agent_runtime.engine.choice import chosen_runner
from agent_runtime.engine.errors import UnsupportedModel
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.gpu import attention, merged, planning, sharing, support
from agent_runtime.engine.gpu.key_tiles import KEY_TILE_FIELDS, SHIFT_FIELDS
from agent_runtime.engine.gpu.tiling import Tiling, tiling_of
from agent_runtime.engine.gpu.work_list import ITEM_FIELDS, Shape
from agent_runtime.engine.layout import Layout
from agent_runtime.engine.span import Span
from tests.agent_runtime.engine.gpu.emulated import EmulatedKernel
from tests.agent_runtime.engine.worlds import World, encode, random_ids, view_of, world

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are compiled here, for a GPU")

FEWER = {"_OWN_BLOCKS": 30, "_SESSIONS": 5, "_TIMES": 6}
WHOLE = {name: getattr(choice, name) for name in FEWER}
LEAST_SAVED = sharing._LEAST_SAVED
BLOCKS = (20, 1, 17, 6)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "agent_runtime.engine.choice")
    # The interpreter takes long over much: fewer blocks and sessions, which share what they see all the same.
    for name, fewer in FEWER.items():
        monkeypatch.setattr(choice, name, fewer)
    monkeypatch.setattr(sharing, "_LEAST_SAVED", 4)
    monkeypatch.setattr(choice, "is_for_kernels", lambda pool: True)
    monkeypatch.setattr(choice, "not_on_this_machine", lambda device: None)


def chosen(w: World) -> tuple[str, ForwardRunner]:
    runner = chosen_runner(w.runner.model, w.pool, w.runner.rope)
    return runner.model.config._attn_implementation, runner


def answers_as_torch_does(w: World, runner: ForwardRunner) -> bool:
    rng, answers = numpy.random.default_rng(0), []
    blocks, ids = [random_ids(rng, length) for length in BLOCKS], None
    for each in (World(runner, w.twin), world()):
        runs, spans = encode(each, blocks)
        ids = ids or random_ids(rng, 20)
        asked = Span(ids, sum(map(len, blocks)), view_of(runs), wanted="all")
        answers.append(each.runner.run([*spans, asked])[asked])
    return torch.allclose(*answers, atol=1e-4)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_kernels_that_agree_with_torch_are_taken_and_the_log_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    w = world()
    way, runner = chosen(w)
    assert way == BY_KERNELS and answers_as_torch_does(w, runner)
    assert [record.getMessage() for record in caplog.records] == [
        "attention runs in our kernels, which agree with plain torch"
    ]
    assert runner.forwards == 1 and w.pool.num_free == w.pool.num_slots - sum(BLOCKS)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_model_whose_weights_are_not_merged_is_served_by_kernels_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged, "_KNOWN", ())
    w = world()
    way, runner = chosen(w)
    assert way == BY_KERNELS and answers_as_torch_does(w, runner)


@pytest.fixture
def as_on_hopper(as_on_a_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def tiling(dtype: torch.dtype, head_dim: int, *, specialised: bool) -> Tiling:
        found, best = tiling_of(dtype, head_dim), tiling_of(torch.float16, 128, specialised=True)
        return found._replace(wide=best.wide) if specialised else found

    for module in (choice, attention):
        monkeypatch.setattr(module, "specialises", lambda device: True)
        monkeypatch.setattr(module, "tiling_of", tiling)


@pytest.mark.usefixtures("as_on_hopper")
def test_the_kernel_whose_warps_are_specialised_is_taken_where_it_proves_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kernel, by_triton = EmulatedKernel(), attention._attending
    monkeypatch.setattr(attention, "_attending", lambda tile: kernel if tile.is_specialised else by_triton(tile))
    w = world()
    way, runner = chosen(w)
    assert way == BY_KERNELS and kernel.launches > 0 and answers_as_torch_does(w, runner)
    [record] = caplog.records
    assert record.getMessage() == "attention runs in our kernels, which agree with plain torch"


@pytest.mark.usefixtures("as_on_hopper")
def test_kernels_go_on_without_one_that_only_some_gpus_have_where_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    w = world()
    way, runner = chosen(w)  # Gluon has no interpreter
    assert way == BY_KERNELS and answers_as_torch_does(w, runner)
    [warning, told] = caplog.records
    assert "in our kernels but for the one whose warps are specialised" in warning.getMessage()
    assert warning.levelno == logging.WARNING and "Answers are the same" in warning.getMessage()
    assert told.getMessage() == "attention runs in our kernels, which agree with plain torch"


def wrong(*given: Any, **named: Any) -> Any:
    arrays = planning_of(*given, **named)
    tiles = arrays.new["key_tiles"].reshape(-1, KEY_TILE_FIELDS).copy()
    tiles[:, SHIFT_FIELDS] += 1
    arrays.new["key_tiles"] = tiles.ravel()
    return arrays


def wrong_in_second_blocks(*given: Any, **named: Any) -> Any:
    arrays = planning_of(*given, **named)
    tiles = arrays.new["key_tiles"].reshape(-1, KEY_TILE_FIELDS).copy()
    tiles[tiles[:, -1] > 0, -2] += 1
    arrays.new["key_tiles"] = tiles.ravel()
    return arrays


def test_the_proof_has_all_that_a_kernel_may_do_wrong(as_on_a_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(layout: Layout, shape: Shape, *given: Any, **named: Any) -> Any:
        asked.append((layout, replace(shape, num_multiprocessors=132, tiling=tiling_of(torch.float16, 128))))
        raise RuntimeError("that is enough")

    asked: list[tuple[Layout, Shape]] = []
    for name, number in WHOLE.items():
        monkeypatch.setattr(choice, name, number)
    monkeypatch.setattr(sharing, "_LEAST_SAVED", LEAST_SAVED)
    monkeypatch.setattr("agent_runtime.engine.gpu.forward.plan_work", seen)
    chosen(world())
    [(layout, shape)] = asked
    for per_group, groups in ((4, 8), (1, 8), (8, 8)):  # Llama 8B's heads, ungrouped ones, and 64 to 8
        arrays = planning_of(layout, replace(shape, per_group=per_group, num_groups=groups))
        tiles = arrays.parts["key_tiles"].reshape(-1, KEY_TILE_FIELDS)
        items = arrays.parts["wide"].reshape(-1, ITEM_FIELDS)
        longest = items[items[:, 4].argmax()]
        shown = tiles[longest[3] : longest[3] + longest[4]]
        # More tiles of two blocks than a program has room for at once, and rows of its own behind them.
        assert len(shown) >= 4 and (shown[:, -1] > 0).sum() >= 3
        assert all(arrays.counts[1:]) and arrays.num_parts


def broken(*given: Any, **named: Any) -> Any:
    raise RuntimeError("out of resource: shared memory, Required: 327680, Hardware limit: 232448.\nReduce")


def without_memory(*given: Any, **named: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


planning_of = planning.plan_work


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize(
    ("instead", "said"),
    [
        (wrong, ["behind the first 8 layers their logits are", "may be rounding", "Please report this"]),
        (wrong_in_second_blocks, ["behind the first 8 layers their logits are", "Please report this"]),
        (broken, ["RuntimeError: out of resource: shared memory", "python -m agent_runtime.engine.bench"]),
        (without_memory, ["OutOfMemoryError: CUDA out of memory", "Lower --pool-mib"]),
    ],
)
def test_kernels_that_fail_are_not_taken_and_one_warning_says_why(
    instead: Callable[..., Any], said: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("agent_runtime.engine.gpu.forward.plan_work", instead)
    w = world()
    way, runner = chosen(w)
    assert way == MOVE_KEYS and answers_as_torch_does(w, runner)
    [record] = caplog.records
    assert record.levelno == logging.WARNING and "in plain torch, not in our kernels" in record.getMessage()
    assert all(part in record.getMessage() for part in said), record.getMessage()
    assert "Answers are the same" in record.getMessage()


@pytest.mark.usefixtures("as_on_a_gpu")
def test_kernels_that_are_wrong_behind_the_first_layers_alone_are_not_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong_where_all_are(*given: Any, **named: Any) -> Any:
        seen.append(len(w.runner.model.get_decoder().layers))
        return (wrong if seen[-1] > 1 else planning_of)(*given, **named)

    seen: list[int] = []
    monkeypatch.setattr(choice, "_FIRST_LAYERS", 1)
    monkeypatch.setattr("agent_runtime.engine.gpu.forward.plan_work", wrong_where_all_are)
    w = world()
    num_layers = len(w.runner.model.get_decoder().layers)
    way, runner = chosen(w)
    assert way == MOVE_KEYS and answers_as_torch_does(w, runner)
    assert seen == [1, num_layers] and "behind all layers their logits are" in caplog.text
    assert len(w.runner.model.get_decoder().layers) == num_layers > 1


@pytest.mark.usefixtures("as_on_a_gpu")
def test_what_the_kernels_cannot_do_is_known_without_trying(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    w = world()
    monkeypatch.setattr(support, "LARGEST_HEAD", 8)
    assert chosen(w)[0] == MOVE_KEYS and "heads have 16 dimensions, and the kernels do up to 8" in caplog.text
    assert "Use another model where speed matters." in caplog.text
    with pytest.raises(UnsupportedModel, match="heads have 16 dimensions"):
        ForwardRunner(w.runner.model, w.pool, w.runner.rope, way=BY_KERNELS)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_pool_too_small_to_try_them_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert chosen(world(num_slots=8))[0] == MOVE_KEYS and "Raise --pool-mib" in caplog.text


def test_on_a_cpu_nothing_is_tried_and_nothing_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert chosen(world())[0] == MOVE_KEYS and caplog.records == []


def test_a_gpu_that_is_too_old_and_a_missing_triton_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    for capability, found in (((7, 5), "Tesla T4 has compute capability 7.5"), ((9, 0), None)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, given=capability: given)
        trouble = support.not_on_this_machine(device)
        assert trouble == (None if found is None else (found, "Use a GPU of 8.0 or more (Ampere or newer)."))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert support.not_on_this_machine(device) == ("Triton is not installed", "Install it with: pip install triton")
