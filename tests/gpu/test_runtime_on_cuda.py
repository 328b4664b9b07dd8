"""A whole runtime on a GPU: what its pool has no room for, and what comes back to it.

The engine alone runs without the packages it needs, and so do the tests of the engine.
"""

from pathlib import Path

import pytest
import torch

from agent_runtime.engine.errors import DeviceTooSmall
from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model
from agent_runtime.turn import Mode, Outcome
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


@pytest.mark.parametrize("mode", [Mode.STAR, Mode.ANCHORED])
def test_turns_say_the_same_from_pool_pinned_memory_packs_and_fresh_encodings(
    loaded: LoadedModel, tmp_path: Path, mode: Mode
) -> None:
    from tests.agent_runtime.block_cache.test_tiers import empty_pool, lay
    from tests.agent_runtime.worlds import account, logprobs, open_duel, play, runtime, state, write_game

    games = write_game(tmp_path / "games")
    with runtime(loaded, games, store=tmp_path / "store", host_cache_mib=16) as made:
        open_duel(made, mode)
        made.put_state("m", 0, state=state(12))
        results = [play(made, 0), play(made, 1)]
        made.flush("m")
        for turn in (2, 3):
            empty_pool(made)
            results.append(play(made, turn))
            assert lay(results[-1]) == {"in host memory"} and account(results[-1]).blocks_encoded == 0
        host = made.served_model().cache.supply.host
        assert host is not None and host.keeps_loaded and host.stats().is_pinned
    for tier_mib, policy, where in (
        (16, "load", {"in host memory"}),
        (0, "load", {"in the store"}),
        (0, "encode", None),
    ):
        with runtime(
            loaded,
            games,
            store=tmp_path / "store",
            host_cache_mib=tier_mib,
            load_or_encode=policy,  # type: ignore[arg-type]
        ) as made:
            open_duel(made, mode)
            made.put_state("m", len(results), state=state(12))
            empty_pool(made)
            results.append(play(made, len(results), len(results)))
            assert results[-1].outcome is Outcome.OK and where in (None, lay(results[-1]))
    for result in results[1:]:
        assert logprobs(result) == pytest.approx(logprobs(results[0]), abs=2e-3)
