"""Stored blocks copied to a GPU beside what it is doing."""

import pytest
import torch

from agent_runtime.engine.pool import KVGeometry, Pool
from agent_runtime.engine.staging import Staging

pytestmark = pytest.mark.gpu
LAYERS = 4


@pytest.mark.parametrize("is_pinned", [True, False])
def test_who_was_there_before_reads_the_old_and_who_comes_later_the_new(is_pinned: bool) -> None:
    device = torch.device("cuda:0")
    pool = Pool(KVGeometry(2, 64, torch.bfloat16, (device,) * LAYERS), 4096)
    pool._staging = Staging(pool.keys, pool.values, buffer_bytes=2**18)  # several batches, and buffers used again
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
