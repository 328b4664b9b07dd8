"""What a run does not learn from, but stays as it was on: told by plain transformers, with and without the adapter."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from agent_runtime.adapter_choice import AdapterChoice
from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model
from agent_runtime.tuning import remembering as remembering_module
from agent_runtime.tuning.config import TuneConfig
from agent_runtime.tuning.rows import TokenSample
from agent_runtime.tuning.samples import Ask, Header, Sample, SampleWriter
from agent_runtime.tuning.tokens import in_tokens
from tests.agent_runtime.tuning.test_training import config, home, on_a_cpu, run

__all__ = ["home", "on_a_cpu"]
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

SAID = Ask("Who are you?", "A guard, and this is my gate.", "A guard, and this is my gate.", "chat")
TALK = Sample("chat", "chat", "train", 0, "You are a guard.", (), (SAID,))


@pytest.fixture
def talk(home: Path) -> Path:
    with SampleWriter(home / "talk.jsonl", Header("chat", {}, "1", 0, "train")) as writer:
        writer.write(TALK)
    return home


def remembering(home: Path, **changes: Any) -> TuneConfig:
    made = config(home, **{"steps": 1, "remember_every": 1, **changes})
    return replace(made, data=replace(made.data, remember=("talk.jsonl",)))


def logprobs(loaded: LoadedModel, sample: TokenSample) -> torch.Tensor:
    """What a model as transformers has it says at every token of the answer, [tokens, vocabulary]."""
    [ask] = sample.asks
    [answer] = ask.answers
    loaded.model.set_attn_implementation("eager")
    before = [token for span in (*sample.blocks, ask.observation) for token in span]
    with torch.no_grad():
        logits = loaded.model(torch.tensor([[*before, *answer]])).logits[0]
    return logits[len(before) - 1 : -1].double().log_softmax(-1)


@pytest.mark.parametrize("at_once", [2048, 5])
def test_it_is_how_far_the_adapted_model_is_from_its_bare_weights_at_their_own_positions(
    talk: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(remembering_module, "_TOKENS_AT_ONCE", at_once)
    run(config(talk, steps=8, rope_theta=300.0, learning_rate=0.05), talk / "first")
    _, [line] = run(remembering(talk, adapter=str(talk / "first" / "adapter")), talk / "second")
    bare, tuned = (
        load_model(ModelSpec(str(talk / "guard"), adapter=adapter, dtype="float32", device="cpu"))
        for adapter in (AdapterChoice.NONE, talk / "first" / "adapter")
    )
    sample = in_tokens(TALK, bare.text)
    was, now = (logprobs(loaded, sample) for loaded in (bare, tuned))
    divergence = float((was.exp() * (was - now)).sum(-1).mean())
    assert divergence > 0.01
    assert line["loss_remembered"] == line["loss"] == pytest.approx(divergence, rel=1e-4)


def test_the_way_back_keeps_no_table_but_the_logits_and_its_gradient_is_that_of_the_whole() -> None:
    logits_NV, bare_NV = torch.randn(2, 5000, 11, dtype=torch.float64)
    logits_NV.requires_grad_()
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        found = remembering_module._divergence(logits_NV, bare_NV)
    given = {each.untyped_storage().data_ptr() for each in (logits_NV, bare_NV)}
    assert {each.untyped_storage().data_ptr() for each in kept if each.numel() > 100} == given
    whole = F.kl_div(logits_NV.log_softmax(-1), bare_NV.log_softmax(-1), reduction="batchmean", log_target=True)
    [gradient], [expected] = (torch.autograd.grad(each, [logits_NV]) for each in (found, whole))
    torch.testing.assert_close(found, whole)
    torch.testing.assert_close(gradient, expected)


def test_a_model_that_has_learned_nothing_is_what_it_was(talk: Path) -> None:
    _, [line] = run(remembering(talk), talk / "run")
    assert line["loss_remembered"] == pytest.approx(0.0, abs=1e-6)


def test_every_third_step_is_remembered_in_one_run_as_in_two(talk: Path) -> None:
    made = remembering(talk, steps=12, remember_every=3, full_every=2, rope_theta=300.0)
    _, whole = run(made, talk / "whole")
    _, first = run(made, talk / "halves", stop_after=5)
    _, second = run(made, talk / "halves")
    names = [sorted(name for name in line if name.startswith("loss_")) for line in whole]
    block, both, remembered = ["loss_anchored"], ["loss_anchored", "loss_full"], ["loss_remembered"]
    assert names == [both, block, remembered, block, both, remembered] * 2
    losses = [line["loss"] for line in whole]
    assert [line["loss"] for line in [*first, *second]] == pytest.approx(losses, abs=1e-5)
