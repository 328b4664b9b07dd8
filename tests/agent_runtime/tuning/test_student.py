from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.tuning.student import Decisions, Losses, Student, losses_of
from tests.tiny_models import tiny_model


def losses(logits_NV: torch.Tensor, labels_N: torch.Tensor, rows: list[int], distillation: float) -> Losses:
    """Return the losses of rows, given as many tokens each in two modes."""
    rows_N = torch.tensor([number for number, count in enumerate(rows) for _ in range(count)])
    rows_N = torch.cat([rows_N, rows_N + len(rows)])
    return losses_of(logits_NV, torch.cat([labels_N, labels_N]), rows_N, 2, distillation)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.sampled_from([0.0, 0.7]))
def test_rows_weigh_the_same_however_much_they_answer(rows: list[int], distillation: float) -> None:
    torch.manual_seed(sum(rows))
    full, block = torch.randn(2, sum(rows), 7)
    labels = torch.randint(7, (sum(rows),))
    together = losses(torch.cat([full, block]), labels, rows, distillation)
    each = [
        losses(torch.cat(pair[:2]), pair[2], [len(pair[2])], distillation)
        for pair in zip(full.split(rows), block.split(rows), labels.split(rows), strict=True)
    ]
    torch.testing.assert_close(together.total, torch.stack([alone.total for alone in each]).mean())
    for number in range(2):
        torch.testing.assert_close(together.answers[number], torch.stack([x.answers[number] for x in each]).mean())
    torch.testing.assert_close(together.distances[0], torch.stack([x.distances[0] for x in each]).mean())


def test_one_row_costs_what_cross_entropy_says_and_a_mode_like_full_is_not_far_from_it() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 7), torch.randint(7, (5,))
    found = losses(torch.cat([logits, logits]), labels, [5], 1.0)
    expected = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(torch.stack(found.answers), expected.expand(2))
    assert found.distances[0].abs() < 1e-6 and torch.isclose(found.total, expected)


def test_how_far_a_mode_is_from_the_teacher_is_counted_from_the_teacher_over_decisions() -> None:
    teacher = torch.tensor([0.4, 0.6, 0.7, 0.2, 0.1]).log()
    student = torch.tensor([0.9, 0.1, 0.7, 0.1, 0.2]).log()
    decisions = Decisions(torch.arange(5), torch.tensor([0, 0, 1, 1, 1]), torch.ones(5), 2)
    found = decisions.agreement(teacher, [teacher, student])
    first = 0.4 * log(0.4 / 0.9) + 0.6 * log(0.6 / 0.1)
    second = 0.2 * log(0.2 / 0.1) + 0.1 * log(0.1 / 0.2)
    assert torch.stack(found.divergence).tolist() == pytest.approx([0.0, (first + second) / 2], abs=1e-6)
    assert torch.stack(found.variation).tolist() == pytest.approx([0.0, (0.5 + 0.1) / 2], abs=1e-6)
    assert torch.stack(found.agreed).tolist() == [1.0, 0.5]
    assert found.total.item() == pytest.approx((first + second) / 4, abs=1e-6)


def test_a_model_in_few_bits_may_be_tuned_again_and_serves_behind_it_in_its_own() -> None:
    model = tiny_model("llama").to(torch.bfloat16)
    for _ in range(2):
        student = Student(model)
    assert model.get_input_embeddings()(torch.tensor([1])).dtype == torch.bfloat16
    layers = model.get_decoder().layers
    with student.compiled_layers():
        assert len(model.get_decoder().layers) == len(layers) and model.get_decoder().layers is not layers
    assert model.get_decoder().layers is layers
