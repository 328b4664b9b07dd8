"""What a model must have to be served."""

import copy
from dataclasses import replace

import pytest
import torch
from tokenizers.normalizers import Replace

from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine.errors import DeviceTooSmall, UnsupportedModel
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.engine.text import TextEncoder
from agent_runtime.served_model import serve_model
from tests.agent_runtime.worlds import (
    load_tiny,
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(tmp_path_factory.mktemp("models"))


def test_a_tokenizer_that_drops_line_ends_is_refused(loaded: LoadedModel) -> None:
    tokenizer = copy.deepcopy(loaded.text.tokenizer)
    tokenizer.backend_tokenizer.normalizer = Replace("\n", "")
    with pytest.raises(UnsupportedModel, match="drops line ends"):
        serve_model("m", replace(loaded, text=TextEncoder(tokenizer)), MemoryStore(), pool_mib=1, max_rows=1)


@pytest.mark.parametrize(("what", "pool_mib"), [("Pool", 64_000), ("measure", 1)])
def test_a_pool_too_large_for_the_card_or_for_a_forward_beside_it_is_refused_with_its_size(
    loaded: LoadedModel, what: str, pool_mib: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(f"agent_runtime.served_model.{what}", full)
    with pytest.raises(
        DeviceTooSmall, match=f"A pool of {pool_mib} MiB beside the model .* does not fit.*Lower --pool-mib"
    ):
        serve_model("m", loaded, MemoryStore(), pool_mib=pool_mib, max_rows=1, host_cache_mib=1, load_or_encode="auto")
