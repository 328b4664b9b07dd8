"""A whole runtime on a GPU: what its pool has no room for. The engine alone runs without the packages it needs."""

from pathlib import Path

import pytest
import torch

from agent_runtime.engine.errors import DeviceTooSmall
from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model
from tests.tiny_models import save_tiny_model

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def packages() -> None:
    for package in ("pydantic", "sqlalchemy", "llguidance"):
        pytest.importorskip(package)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.backends.cuda.matmul.allow_tf32 = False
    folder = save_tiny_model(tmp_path_factory.mktemp("models") / "guard")
    return load_model(ModelSpec(str(folder), dtype="float32", device="cuda"), folder.parent / "cache")


def test_in_a_full_pool_blocks_go_first_and_then_the_newest_turn(loaded: LoadedModel, tmp_path: Path) -> None:
    from tests.agent_runtime.crowding import check_crowd

    assert loaded.device.type == "cuda"
    check_crowd(loaded, tmp_path / "games", tolerance=5e-3)


def test_a_pool_too_large_for_the_card_says_so_and_a_smaller_one_is_served(loaded: LoadedModel) -> None:
    from agent_runtime.block_cache import MemoryStore
    from agent_runtime.served_model import serve_model

    total = torch.cuda.get_device_properties(loaded.device).total_memory
    with pytest.raises(DeviceTooSmall, match=r"^A pool of \d+ MiB beside .* does not fit into .* Lower --pool-mib\.$"):
        serve_model("m", loaded, MemoryStore(), pool_mib=2 * total // 2**20, max_rows=64)
    torch.cuda.empty_cache()
    assert serve_model("m", loaded, MemoryStore(), pool_mib=16, max_rows=64).close()
