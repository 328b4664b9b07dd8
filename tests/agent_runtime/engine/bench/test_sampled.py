"""Turns that end in text: how many forwards they take, and what is drawn."""

import pytest
import torch

from agent_runtime.engine.bench import sampled
from agent_runtime.engine.bench.cases import chosen, gamecore
from agent_runtime.engine.bench.sampled import Sampled
from agent_runtime.engine.bench.setting import WARM_UP, Sizes
from tests.agent_runtime.engine.bench.small import small_setting


def test_the_first_token_comes_of_the_forward_that_asks_and_each_other_takes_one() -> None:
    case = Sampled("text", num_blocks=6, block_tokens=9, num_sampled=5)
    setting = small_setting(case, observation=7, turns=3)
    found = case.measure(setting)
    assert (found["static_tokens"], found["new_tokens"], found["turns"]) == (54, 7 + 9 + 5, 3)
    turns = WARM_UP + 3
    assert setting.runner.forwards == turns * 5
    assert setting.runner.rows == turns * (9 + 7 + 4)
    assert found["median_ms"] > 0 and found["floor_ms"] > 0
    setting.bare.pool.check([])


def test_what_is_sampled_is_what_the_mask_lets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed: list[torch.Tensor] = []
    drawn: list[int] = []
    real = sampled.allowed_of

    def seen(*asked: object) -> torch.Tensor:
        allowed.append(real(*asked))  # type: ignore[arg-type]
        return allowed[-1]

    monkeypatch.setattr(sampled, "allowed_of", seen)
    monkeypatch.setattr(
        sampled._Bits, "advance", lambda mask, token: (drawn.append(token), setattr(mask, "_left", mask._left - 1))
    )
    case = Sampled("text", num_blocks=4, block_tokens=5, num_sampled=4)
    case.measure(small_setting(case, observation=3, turns=2))
    assert len(drawn) == len(allowed) == 4 * (WARM_UP + 2)
    assert all(mask[token] for mask, token in zip(allowed, drawn, strict=True))
    assert len({*drawn}) > 10


def test_it_is_among_the_turns_of_gamecore_in_its_size() -> None:
    *_, case = gamecore(20, 30)
    assert isinstance(case, Sampled) and (case.num_blocks, case.block_tokens, case.num_sampled) == (20, 30, 16)
    assert case.positions(Sizes(50, 3, 64, 64)) == 600 + 50 + 16
    assert [each.name for each in chosen("16 tokens sampled", {})] == [case.name]
