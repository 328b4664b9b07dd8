"""Stored blocks copied to a GPU beside what it is doing."""

import math
from collections.abc import Callable

import numpy
import pytest
import torch

from agent_runtime.engine.gpu.scattering import KernelScattering
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.scattering import TorchScattering, chosen_scattering
from agent_runtime.engine.staging import Staging, Stored
from tests.gpu.worlds import nobody_waits

pytestmark = pytest.mark.gpu
LAYERS = 4
WAYS = [KernelScattering, TorchScattering]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_gpu_has_the_kernel_and_says_nothing(dtype: torch.dtype, caplog: pytest.LogCaptureFixture) -> None:
    layers = [torch.zeros((8, 8, 128), dtype=dtype, device="cuda") for _ in range(2)]
    assert isinstance(chosen_scattering(layers[:1], layers[1:]), KernelScattering) and not caplog.messages


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_pinned", [True, False])
def test_who_was_there_before_reads_the_old_and_who_comes_later_the_new(
    is_pinned: bool, way: Callable[..., KernelScattering | TorchScattering]
) -> None:
    device = torch.device("cuda:0")
    pool = Pool(KVGeometry(2, 64, torch.bfloat16, (device,) * LAYERS), 4096)
    # Several batches, and buffers used again.
    pool._staging = Staging(pool.keys, pool.values, buffer_bytes=2**18, scattering=way(pool.keys, pool.values))
    runs = [pool.acquire(85) for _ in range(20)]
    stored = [torch.randn((2, LAYERS, 85, 2, 64)).bfloat16() for _ in runs]
    if is_pinned:
        stored = [each.pin_memory() for each in stored]
    for layer in (*pool.keys, *pool.values):
        layer.fill_(7)
    torch.cuda.synchronize()
    torch.cuda._sleep(200_000_000)  # so that all of the following waits on the device
    before = [layer.clone() for layer in (*pool.keys, *pool.values)]
    pool.write_all([(run, each[0], each[1]) for run, each in zip(runs, stored, strict=True)])
    behind = [layer.clone() for layer in (*pool.keys, *pool.values)]
    for layer in (*pool.keys, *pool.values):
        layer.fill_(0)
    assert all(bool((layer == 7).all()) for layer in before)
    for run, each in zip(runs, stored, strict=True):
        slots = torch.from_numpy(run.slots()).to(device)
        for number in range(LAYERS):
            assert torch.equal(behind[number][slots].cpu(), each[0, number])
            assert torch.equal(behind[LAYERS + number][slots].cpu(), each[1, number])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("row", [(8, 128), (1, 33)])
def test_blocks_sent_and_fresh_come_by_the_kernel_as_by_plain_torch_and_nobody_waits(
    row: tuple[int, int], dtype: torch.dtype
) -> None:
    rng = numpy.random.default_rng(1)
    lengths = [int(n) for n in rng.integers(1, 170, size=40)]
    free = rng.permutation(sum(lengths) + 50)
    blocks, taken = [], 0
    for length in lengths:
        numbers = torch.randint(-(2**15), 2**15, (2 * LAYERS * length * math.prod(row) * dtype.itemsize // 2,))
        blocks.append((free[taken : taken + length], numbers.short().view(dtype).pin_memory()))
        taken += length
    made = []
    for way in WAYS:
        layers = [torch.zeros((len(free), *row), dtype=dtype, device="cuda") for _ in range(2 * LAYERS)]
        keys, values = layers[:LAYERS], layers[LAYERS:]
        staging = Staging(keys, values, 2**22, scattering=way(keys, values))
        for _ in range(2):  # the second time everything is compiled, and allocators have what they need
            for layer in layers:
                layer.zero_()
            torch.cuda.synchronize()
            torch.cuda._sleep(200_000_000)
            with nobody_waits():
                sent = staging.send([Stored([numbers]) for _, numbers in blocks[::4]])
                assert len(sent) == 10
                on_the_way = [Stored([numbers]) for _, numbers in blocks]
                on_the_way[::4] = sent
                staging.write([(slots, stored) for (slots, _), stored in zip(blocks, on_the_way, strict=True)])
                is_busy = not torch.cuda.current_stream().query()
            del sent, on_the_way
            torch.empty(2**22, dtype=torch.uint8, device="cuda").fill_(1)  # takes no memory that is still read
        assert is_busy
        made.append([layer.view(torch.uint8) for layer in layers])  # not all of these numbers equal themselves
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*made, strict=True))
    slots, numbers = blocks[7]
    block = numbers.view(2, LAYERS, len(slots), *row)
    for half in range(2):
        for number in range(LAYERS):
            found = made[0][half * LAYERS + number][torch.from_numpy(slots).cuda()].cpu()
            assert torch.equal(found, block[half, number].contiguous().view(torch.uint8))
