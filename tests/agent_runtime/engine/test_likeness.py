import math

import pytest
import torch

from agent_runtime.engine.likeness import EXACT, UNLIKE, distances, rounding


def test_a_row_is_as_far_as_what_was_added_to_it_whatever_it_is_moved_by() -> None:
    torch.manual_seed(0)
    others = torch.randn(4, 4000)
    added = 0.01 * torch.randn(4, 4000)
    assert torch.allclose(
        distances(others + added + torch.arange(4.0)[:, None], others), torch.full((4,), 0.01), rtol=0.1
    )
    assert torch.equal(distances(others, others), torch.zeros(4))


def test_rows_that_have_nothing_to_do_with_each_other_are_more_than_one_apart() -> None:
    torch.manual_seed(0)
    rows = torch.randn(8, 4000)
    assert 1.2 < float(distances(rows, rows.roll(1, 0)).min()) < 1.6


def test_one_logit_that_is_none_is_seen_in_its_row_alone() -> None:
    torch.manual_seed(0)
    rows = torch.randn(2, 10)
    broken = rows.clone()
    broken[1, 3] = math.nan
    found = distances(broken, rows)
    assert found[0] == 0 and found[1].isnan()


@pytest.mark.parametrize(
    ("noise", "limit"), [(0.0, EXACT), (1e-6, EXACT), (0.01, 0.04), (0.2, UNLIKE), (math.inf, UNLIKE)]
)
def test_what_may_be_rounding_is_four_times_the_noise_within_bounds(noise: float, limit: float) -> None:
    assert rounding(noise) == pytest.approx(limit)
    assert rounding(noise, most=0.03) == pytest.approx(min(limit, 0.03))
