"""What is timed is checked first, against plain torch in its other way."""

import pytest
import torch
from transformers import LlamaConfig

from agent_runtime.engine import attention
from agent_runtime.engine.bench.checking import agreed, check_way, checked_slots
from agent_runtime.engine.bench.errors import ScoresDiffer
from agent_runtime.engine.bench.geometry import bare_model
from tests.agent_runtime.engine.bench.small import SIZES

CPU = torch.device("cpu")


def test_plain_torch_is_held_against_its_other_way_and_gives_its_slots_back() -> None:
    config = LlamaConfig(**{**SIZES, "max_position_embeddings": 600})
    bare = bare_model(config, checked_slots(600, "torch"), CPU, torch.float32)
    check = check_way(bare, "torch")
    assert check.against == "plain torch, queries moved"
    assert 0 < check.distance <= check.limit == 1e-4
    bare.pool.check([])


@pytest.mark.parametrize(("context", "slots"), [(40_000, 6359), (1000, 950), (200, 150), (60, 10)])
def test_a_check_fits_the_context_of_a_model(context: int, slots: int) -> None:
    assert checked_slots(context, "kernels") == slots
    assert checked_slots(context, "torch") == min(slots, 359 + 600)


@pytest.mark.parametrize("context", [600, 60])
def test_what_stands_there_is_what_the_model_has_made(context: int) -> None:
    bare = bare_model(LlamaConfig(**{**SIZES, "max_position_embeddings": context}), 600, CPU, torch.float32)
    for layer in (*bare.pool.keys, *bare.pool.values):
        layer.fill_(torch.nan)
    assert check_way(bare, "torch").distance < 1e-4


def test_a_way_that_computes_something_else_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def confused(step: attention.Step, *given: object) -> None:
        attend(step, *given)  # type: ignore[arg-type]
        given[-2].mul_(1.5)  # type: ignore[attr-defined]

    attend = attention._attend_bundle
    bare = bare_model(LlamaConfig(**{**SIZES, "max_position_embeddings": 600}), 600, CPU, torch.float32)
    monkeypatch.setattr(attention, "_attend_bundle", confused)
    with pytest.raises(ScoresDiffer, match="Nothing was timed: scores by torch"):
        check_way(bare, "torch")


def test_half_precision_may_differ_as_far_as_plain_torch_differs_from_itself() -> None:
    one, noise = torch.tensor([[1.0, -1.0, 2.0, -2.0]]), torch.tensor([[1.0, -1.0, -1.0, 1.0]])
    near, far = one + 0.01 * noise, one + 0.1 * noise
    check = agreed("kernels", one + 0.03 * noise, one, near, dtype=torch.bfloat16)
    assert check.against == "plain torch" and check.limit == pytest.approx(4 * 0.01 * 2 / 10**0.5, rel=1e-2)
    with pytest.raises(ScoresDiffer):
        agreed("kernels", far, one, near, dtype=torch.bfloat16)
    with pytest.raises(ScoresDiffer):
        agreed("kernels", one * torch.nan, one, near, dtype=torch.bfloat16)
    with pytest.raises(ScoresDiffer, match="1.0e-04 would be rounding"):
        agreed("kernels", near, one, one, dtype=torch.float32)
