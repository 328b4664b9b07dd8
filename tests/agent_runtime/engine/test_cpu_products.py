"""Two libraries, one product: which is taken, and that nothing else changes."""

import pytest
import torch
from torch import nn

from agent_runtime.engine import cpu_products
from agent_runtime.engine.cpu_products import (
    OneDnnLinear,
    choose_products,
    has_onednn,
    multiplies_by_onednn,
    torchs_own_products,
)

pytestmark = pytest.mark.skipif(not has_onednn(), reason="this build of torch has no oneDNN")


def model(size: int = 512, **options: object) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 16, bias=False)).to(**options)  # type: ignore[call-overload, no-any-return]


def kinds(made: nn.Module) -> list[type]:
    return [type(module) for module in made.modules() if isinstance(module, nn.Linear)]


def chosen(made: nn.Module) -> bool:
    return choose_products(made)  # type: ignore[arg-type]


@pytest.fixture
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_products, "_is_faster", lambda weight: True)


@pytest.mark.parametrize("rows", [0, 1, 3, 300])
def test_both_give_the_same_product(faster: None, rows: int) -> None:
    plain, made = model(), model()
    assert chosen(made) and kinds(made) == [OneDnnLinear] * 2
    input = torch.randn(1, rows, 512, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.allclose(made(input), plain(input), atol=1e-5, rtol=1e-5)


def test_a_baseline_is_measured_with_torchs_own(faster: None) -> None:
    made = model()
    chosen(made)
    with torchs_own_products(made):  # type: ignore[arg-type]
        assert kinds(made) == [nn.Linear] * 2 and not multiplies_by_onednn(made)  # type: ignore[arg-type]
    assert kinds(made) == [OneDnnLinear] * 2 and multiplies_by_onednn(made)  # type: ignore[arg-type]


def test_gradients_go_torchs_way(faster: None) -> None:
    made = model()
    chosen(made)
    made(torch.randn(64, 512)).sum().backward()
    assert all(parameter.grad is not None for parameter in made.parameters())


@pytest.mark.parametrize("made", [model(size=64), model(dtype=torch.bfloat16)], ids=["small", "bfloat16"])
def test_what_is_small_or_of_another_dtype_is_left_alone(faster: None, made: nn.Module) -> None:
    assert not chosen(made) and kinds(made) == [nn.Linear] * 2


@pytest.mark.parametrize(
    ("many_rows", "few_rows", "taken"),
    [((1.0, 2.0), (1.0, 1.1), True), ((1.0, 1.1), (1.0, 9.0), False), ((1.0, 2.0), (1.1, 1.0), False)],
)
def test_the_faster_one_is_taken_if_a_prefill_gains_and_few_rows_do_not_lose(
    monkeypatch: pytest.MonkeyPatch, many_rows: tuple[float, float], few_rows: tuple[float, float], taken: bool
) -> None:
    clock = iter([*(many_rows * cpu_products._TRIES), *(few_rows * cpu_products._TRIES)])
    monkeypatch.setattr(cpu_products, "_seconds", lambda call: next(clock))
    assert chosen(model()) is taken


def test_a_library_that_is_wrong_fails_or_is_not_there_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1.0, 9.0] * cpu_products._TRIES)
    monkeypatch.setattr(cpu_products, "_seconds", lambda call: next(clock))
    real = cpu_products.product
    monkeypatch.setattr(cpu_products, "product", lambda *given: 1.01 * real(*given))
    assert not chosen(model())

    def fails(*given: object) -> torch.Tensor:
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(cpu_products, "product", fails)
    assert not chosen(model())
    monkeypatch.setattr(cpu_products, "has_onednn", lambda: False)
    assert not chosen(model())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_that_is_given_another_dtype_later_goes_torchs_way(faster: None, dtype: torch.dtype) -> None:
    plain, made = model().to(dtype), model()
    chosen(made)
    input = torch.randn(64, 512, generator=torch.Generator().manual_seed(1)).to(dtype)
    with torch.inference_mode():
        assert torch.equal(made.to(dtype)(input), plain(input))


def test_under_autocast_torch_converts_what_ours_would_not(faster: None) -> None:
    plain, made = model(), model()
    chosen(made)
    input = torch.randn(64, 512, generator=torch.Generator().manual_seed(1)).bfloat16()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made(input), plain(input))


class QuantisedWeight(torch.Tensor):
    """As torchao's: it says that it is float32 on a CPU, and knows how a Linear multiplies by it."""


def test_weights_that_only_look_like_float32_are_left_alone(faster: None) -> None:
    made = model()
    made[0].weight = nn.Parameter(made[0].weight.detach().as_subclass(QuantisedWeight))  # type: ignore[index]
    assert not chosen(made) and kinds(made) == [nn.Linear] * 2


def test_a_vocabulary_is_not_what_the_libraries_are_tried_on(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[torch.Size] = []

    def is_faster(weight: torch.Tensor) -> bool:
        tried.append(weight.shape)
        return True

    monkeypatch.setattr(cpu_products, "_is_faster", is_faster)
    made = nn.Sequential(nn.Linear(512, 512), nn.Linear(512, 512), nn.Linear(512, 49_152, bias=False))
    assert chosen(made) and tried == [(512, 512)] and kinds(made) == [OneDnnLinear] * 3
