"""Whole turns from pool, host memory, packs and fresh encodings: the same answers, and accounts that say which."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from agent_runtime.config import RuntimeSettings
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.engine.runs import Run
from agent_runtime.runtime import AgentRuntime
from agent_runtime.turn import Mode, Outcome
from kv_store import Store
from kv_store.limits import StoreLimits
from tests.agent_runtime.worlds import account, load_tiny, logprobs, open_duel, play, runtime, state, write_game


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture
def games(tmp_path: Path) -> Path:
    return write_game(tmp_path / "games")


def empty_pool(made: AgentRuntime) -> None:
    """Evict everything, as a long night of other matches would."""
    served = made.served_model()
    served.prefetcher.finish(30)
    served.cache.written_behind(30)
    served.engine.ask(lambda: served.cache.residents.make_room(served.cache.pool.num_slots), 30)


def lay(result: Any) -> set[str]:
    return {use.why for use in account(result).changed}


def behind_a_gpu(made: AgentRuntime) -> None:
    """Have the tier do as it does behind a GPU's pool: what is loaded or read stays."""
    host = made.served_model().cache.supply.host
    assert host is not None
    host.keeps_loaded = True


@pytest.mark.parametrize("is_gpus", [True, False])
@pytest.mark.parametrize("mode", [Mode.STAR, Mode.ANCHORED])
def test_a_turn_says_the_same_from_pool_host_memory_packs_and_fresh_encodings(
    loaded: LoadedModel, games: Path, tmp_path: Path, mode: Mode, is_gpus: bool
) -> None:
    with runtime(loaded, games, store=tmp_path / "store", host_cache_mib=4) as made:
        if is_gpus:
            behind_a_gpu(made)
        open_duel(made, mode)
        made.put_state("m", 0, state=state(6))
        encoded, there = play(made, 0), play(made, 1)
        assert lay(encoded) == {"new"} and lay(there) == set()
        made.flush("m")
        results = [encoded, there]
        for turn in (2, 3):
            empty_pool(made)
            results.append(play(made, turn))
            assert lay(results[-1]) == {"in host memory"} and account(results[-1]).blocks_encoded == 0
            assert account(results[-1]).not_durable == ()
    with runtime(loaded, games, store=tmp_path / "store", host_cache_mib=4) as made:
        if is_gpus:
            behind_a_gpu(made)
        open_duel(made, mode)
        made.put_state("m", 1, state=state(6))
        empty_pool(made)
        results.append(play(made, 4, 1))
        assert lay(results[-1]) == {"in host memory"}
    with runtime(loaded, games, store=tmp_path / "store") as made:
        open_duel(made, mode)
        made.put_state("m", 2, state=state(6))
        empty_pool(made)
        results.append(play(made, 5, 2))
        assert lay(results[-1]) == {"in the store"}
    with runtime(loaded, games, store=tmp_path / "store", load_or_encode="encode") as made:
        open_duel(made, mode)
        made.put_state("m", 3, state=state(6))
        empty_pool(made)
        results.append(play(made, 6, 3))
        assert account(results[-1]).blocks_loaded == 0 and account(results[-1]).blocks_encoded > 0
    for result in results[1:]:
        assert logprobs(result) == pytest.approx(logprobs(encoded), abs=1e-5)


def test_what_the_store_refused_is_written_when_it_comes_back_from_host_memory(
    loaded: LoadedModel, games: Path, tmp_path: Path
) -> None:
    limits = StoreLimits(queue_bytes=1 << 16, linger_s=0.5)
    with runtime(loaded, games, store=tmp_path / "store", limits=limits, host_cache_mib=4) as made:
        open_duel(made)
        made.put_state("m", 0, state=state(20))
        play(made, 0)
        empty_pool(made)
        back = account(play(made, 1))
        assert back.not_durable and back.blocks_encoded == 0
        for turn in range(2, 30):
            made.served_model().cache.written_behind(30)
            made.flush("m")
            empty_pool(made)
            if not account(play(made, turn)).not_durable:
                return
        raise AssertionError("some blocks were never kept")


def test_what_is_encoded_although_the_store_has_it_is_not_copied_out_again(
    loaded: LoadedModel, games: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runtime(loaded, games, store=tmp_path / "store", load_or_encode="encode") as made:
        open_duel(made)
        made.put_state("m", 0, state=state(6))
        play(made, 0)
        made.flush("m")
        empty_pool(made)
        pool, copied = made.served_model().cache.pool, list[Run]()
        read = pool.read
        monkeypatch.setattr(pool, "read", lambda run: copied.append(run) or read(run))
        again = account(play(made, 1))
        made.served_model().cache.written_behind(30)
        assert again.blocks_encoded > 0 and again.not_durable == () and copied == []
        assert not made.served_model().cache._outbox._on_the_way


def test_a_machine_without_memory_for_the_tier_plays_on(
    loaded: LoadedModel, games: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with runtime(loaded, games, host_cache_mib=4) as made:
        host = made.served_model().cache.supply.host
        assert host is not None

        def none(size: int) -> torch.Tensor:
            raise RuntimeError("can't allocate memory")

        monkeypatch.setattr(host._memory, "_ways", [none])
        open_duel(made)
        made.put_state("m", 0, state=state(6))
        first = play(made, 0)
        for turn in (1, 2):
            empty_pool(made)
            again = play(made, turn)
            assert again.outcome is Outcome.OK and logprobs(again) == pytest.approx(logprobs(first), abs=1e-5)
            assert lay(again) == {"left the pool and is not in the store"}
    assert sum("--host-cache-mib" in said for said in caplog.messages) == 1


@pytest.mark.parametrize("broken", ["load", "save"])
def test_a_copy_that_fails_costs_one_turn_at_most_and_no_slot(
    loaded: LoadedModel, games: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(blocks: Sequence[Any]) -> None:
        if blocks:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    with runtime(loaded, games, host_cache_mib=4) as made:
        open_duel(made)
        made.put_state("m", 0, state=state(6))
        first, pool = play(made, 0), made.served_model().cache.pool
        with monkeypatch.context() as failing:
            failing.setattr(pool, broken, fail)
            empty_pool(made)
            outcome = play(made, 1).outcome
        assert outcome is (Outcome.ERROR if broken == "load" else Outcome.OK)
        after = play(made, 2)
        assert after.outcome is Outcome.OK and logprobs(after) == pytest.approx(logprobs(first), abs=1e-5)
        assert lay(after) == ({"in host memory"} if broken == "load" else set())


def test_what_is_quicker_is_measured_at_start_and_both_ways_say_the_same(
    loaded: LoadedModel, games: Path, tmp_path: Path
) -> None:
    with runtime(loaded, games, store=tmp_path / "store", load_or_encode="auto") as made:
        rates = made.served_model().cache.supply.rates
        assert rates is not None and rates.encode_tokens_s > 0
        open_duel(made)
        made.put_state("m", 0, state=state(6))
        first = play(made, 0)
        made.flush("m")
        empty_pool(made)
        again = play(made, 1)
        how = account(again)
        assert how.blocks_loaded + how.blocks_encoded == account(first).blocks_hit + account(first).blocks_encoded
    assert logprobs(again) == pytest.approx(logprobs(first), abs=1e-5)


def test_a_store_on_a_disk_that_crawls_is_left_alone(
    loaded: LoadedModel, games: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runtime(loaded, games, store=tmp_path / "store", load_or_encode="auto") as made:
        open_duel(made)
        made.put_state("m", 0, state=state(6))
        play(made, 0)
        made.flush("m")
        empty_pool(made)
        made.served_model().cache.supply.meter.add(1, 10.0)
        monkeypatch.setattr(Store, "get_many", lambda store, keys: pytest.fail("it was read"))
        result = play(made, 1)
    assert lay(result) == {"encoding it is quicker than loading it"} and account(result).not_durable == ()


def test_settings_and_flags_name_both() -> None:
    settings = RuntimeSettings().changed(host_cache_mib=7, load_or_encode="load")
    assert (settings.engine.host_cache_mib, settings.engine.load_or_encode) == (7, "load")
    assert (RuntimeSettings().engine.host_cache_mib, RuntimeSettings().engine.load_or_encode) == (None, "auto")
