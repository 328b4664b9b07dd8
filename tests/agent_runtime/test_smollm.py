"""The embedded model, once: real weights, real tokenizer, the same references."""

import copy
import random

import pytest
import torch

from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.span import Span
from agent_runtime.served_model import geometry_of
from tests.agent_runtime.engine.reference import anchored_logits, star_logits
from tests.agent_runtime.engine.worlds import World, encode, view_of

_PLACES = ("the gate", "the mill", "the ford", "the tower")


@pytest.mark.smollm
@pytest.mark.parametrize("anchored", [False, True])
def test_real_weights_equal_the_reference(smollm: LoadedModel, anchored: bool) -> None:
    rng, text = random.Random(0), smollm.text
    blocks = [text.anchor_ids("You are a scout. Say where each unit stands.")] + [
        text.block_ids(f"unit/{i}\nUnit {i} stands at {rng.choice(_PLACES)} with {rng.randrange(90)} men.\n")
        for i in range(12)
    ]
    observation = text.observation_ids("Where does unit 7 stand?")
    twin = copy.deepcopy(smollm.model)
    twin.set_attn_implementation("sdpa")
    pool = Pool(geometry_of(smollm), 1024)
    rope = RotaryTable(smollm.model.get_decoder().rotary_emb.inv_freq, smollm.context_limit)
    runner = ForwardRunner(smollm.model, pool, rope)
    w = World(runner, twin)
    runs, spans = encode(w, blocks, anchored=anchored)
    view = view_of(runs, anchored=anchored)
    asked = Span(observation, view.length, view, wanted="all")
    logits = runner.run([*spans, asked])[asked]
    runner.close()
    reference = (anchored_logits if anchored else star_logits)(twin, blocks, observation)
    # Largest logit about 30; the reference's own angles are float32 products.
    torch.testing.assert_close(logits, reference, atol=1e-3, rtol=1e-4)
    assert (logits - reference).abs().max() <= 1e-4 * reference.abs().max()
