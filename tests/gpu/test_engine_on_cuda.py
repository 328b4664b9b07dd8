"""The engine on a CUDA device against plain transformers on the CPU. Run by `make test-gpu` where there is a GPU."""

import numpy
import pytest
import torch
from accelerate import dispatch_model

from agent_runtime.engine.admission import probe
from agent_runtime.engine.cursor import Cursor
from agent_runtime.engine.decision import grow_tree, read_logprobs
from agent_runtime.engine.decoding import Generated, Sampler, generate, greedy
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.scheduler import Engine, Script
from agent_runtime.engine.span import NOTHING, Span
from agent_runtime.engine.token_mask import allowed_of
from tests.agent_runtime.engine.reference import anchored_logits, star_logits, teacher_forced
from tests.agent_runtime.engine.worlds import World, encode, random_ids, view_of
from tests.gpu.worlds import cuda_world
from tests.tiny_models import ACCEPTED, CONTEXT, tiny_model

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("kind", ACCEPTED)
def test_blocks_and_observation_equal_the_reference(kind: str, anchored: bool) -> None:
    w, rng = cuda_world(kind), numpy.random.default_rng(1)
    blocks = [random_ids(rng, int(n)) for n in rng.integers(1, 60, size=30)]
    observation = random_ids(rng, 50)
    runs, spans = encode(w, blocks, anchored=anchored)
    asked = Span(observation, sum(map(len, blocks)), view_of(runs, anchored=anchored), wanted="all")
    logits = w.runner.run([*spans, asked])[asked].cpu()
    reference = (anchored_logits if anchored else star_logits)(w.twin, blocks, observation)
    torch.testing.assert_close(logits, reference, atol=5e-4, rtol=5e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["llama", "ungrouped"])
def test_a_long_observation_behind_blocks_is_attended_in_pieces(kind: str, dtype: torch.dtype) -> None:
    # 99 + 301 is a multiple of 8, as kernels want a mask's rows, and the first piece's mask begins 45 columns in.
    w, ids = cuda_world(kind, dtype), random_ids(numpy.random.default_rng(6), 400)
    runs, spans = encode(w, [ids[:99]])
    asked = Span(ids[99:], 99, view_of(runs), wanted="last")
    pieces = w.runner.run([*spans, asked])[asked]
    whole = Span(ids, 0, NOTHING, wanted="last")
    torch.testing.assert_close(pieces, w.runner.run([whole])[whole], atol=0.5 if dtype.itemsize == 2 else 5e-4, rtol=0)


def test_scores_equal_teacher_forced_logprobs() -> None:
    w, prompt = cuda_world("llama"), random_ids(numpy.random.default_rng(2), 400)
    answers = [[7, 1], [7, 8, 1], [7, 8, 9, 1], [11, 1]]
    root = Span(prompt, 0, NOTHING, wanted="last")
    tree = grow_tree(answers, root)
    logprobs = read_logprobs(tree, w.runner.run([root, *tree.spans]))
    assert logprobs == pytest.approx([teacher_forced(w.twin, prompt, answer) for answer in answers], abs=5e-4)


def test_decoding_equals_transformers_generate() -> None:
    w, prompt = cuda_world("qwen3"), random_ids(numpy.random.default_rng(3), 50)
    engine = Engine(w.runner)

    def script() -> Script[Generated]:
        cursor = Cursor(w.pool, NOTHING, 0)
        span = cursor.extend(prompt)
        logits = yield [span]
        return (yield from generate(cursor, logits[span][-1], limit=30, stop_ids=(), choose=greedy))

    ours = engine.submit(script()).future.result(60)
    engine.close()
    theirs = w.twin.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, 50), max_new_tokens=30, do_sample=False, eos_token_id=None
    )
    assert list(ours.ids) == theirs[0, 50:].tolist()


def test_tokens_are_masked_and_sampled_on_the_device_as_on_the_host() -> None:
    rng, host, device = numpy.random.default_rng(4), torch.device("cpu"), torch.device("cuda")
    logits = torch.from_numpy(rng.normal(0, 4, 128_256).astype(numpy.float32))
    bits = rng.integers(0, 256, 128_256 // 8, dtype=numpy.uint8)
    masks = [allowed_of(bits, len(logits), each) for each in (host, device)]
    assert masks[1].is_cuda and torch.equal(masks[0], masks[1].cpu())
    masked = logits.masked_fill(~masks[0], float("-inf"))
    found = [[Sampler(2.0, seed, "guard")(each) for seed in range(50)] for each in (masked, masked.cuda())]
    assert found[0] == found[1] and len({*found[0]}) > 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_probe_passes_on_the_gpu(dtype: torch.dtype) -> None:
    w = cuda_world("llama3", dtype)
    probe(w.runner, w.runner.model)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_layers_on_two_devices_equal_the_reference() -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    places = {"model.embed_tokens": 0, "model.layers.0": 0, "model.rotary_emb": 0}
    places |= {name: 1 for name in ("model.layers.1", "model.layers.2", "model.norm", "lm_head")}
    model = dispatch_model(tiny_model("llama"), places)
    devices = tuple(torch.device("cuda", number) for number in (0, 1, 1))
    pool = Pool(KVGeometry(model.config.num_key_value_heads, model.config.head_dim, torch.float32, devices), 4096)
    runner = ForwardRunner(model, pool, RotaryTable(model.model.rotary_emb.inv_freq, CONTEXT))
    probe(runner, model)
    w, rng = World(runner, tiny_model("llama")), numpy.random.default_rng(5)
    blocks, observation = [random_ids(rng, 20) for _ in range(5)], random_ids(rng, 30)
    runs, spans = encode(w, blocks)
    asked = Span(observation, 100, view_of(runs), wanted="all")
    logits = runner.run([*spans, asked])[asked].cpu()
    torch.testing.assert_close(logits, star_logits(w.twin, blocks, observation), atol=5e-4, rtol=5e-4)


def test_a_forward_that_nobody_reads_is_waited_for_by_its_mark() -> None:
    w = cuda_world("llama")
    # The first forward takes what a later one does not: the device has to be busier than the host.
    w.runner.run([Span([5, 6, 7], 0, NOTHING, keep=w.pool.acquire(3))])
    torch.cuda.synchronize()
    torch.cuda._sleep(2_000_000_000)
    w.runner.run([Span([5, 6, 7], 0, NOTHING, keep=w.pool.acquire(3))])
    wait = w.runner.mark()
    assert not torch.cuda.current_stream().query()
    wait()
    assert torch.cuda.current_stream().query()
