"""Blocks between pool and store: what was stored, loaded and moved equals what is encoded there."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from agent_runtime.engine.forward import Logits
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.engine.span import Span
from agent_runtime.errors import NotDurable
from agent_runtime.runtime import AgentRuntime
from agent_runtime.token_blocks import KEY_FORMAT
from agent_runtime.turn import MatchSpec, Mode, Outcome, SessionReady, SessionSpec, TurnResult
from kv_store import Store, list_store
from kv_store.errors import StoreClosed
from kv_store.limits import StoreLimits
from tests.agent_runtime.worlds import (
    GAME,
    account,
    ask,
    load_tiny,
    logprobs,
    open_duel,
    play,
    runtime,
    standing_still,
    state,
    wait_until,
    write_game,
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture
def games(tmp_path: Path) -> Iterator[Path]:
    yield write_game(tmp_path / "games")


def empty_pool(made: AgentRuntime) -> None:
    """Evict everything, as a long night of other matches would."""
    served = made.served_model()
    served.cache.written_behind(30)
    residents, pool = served.cache.residents, served.cache.pool
    served.engine.ask(lambda: residents.make_room(pool.num_slots), 30)


@pytest.mark.parametrize("mode", [Mode.STAR, Mode.ANCHORED])
def test_stored_loaded_and_moved_equals_encoded_there(
    loaded: LoadedModel, games: Path, tmp_path: Path, mode: Mode
) -> None:
    moved = state(6)
    moved["units"] = [moved["units"][i] for i in (4, 1, 5, 0, 3, 2)]
    with runtime(loaded, games, store=tmp_path / "store") as made:
        open_duel(made, mode)
        made.put_state("m", 0, state=state(6))
        first = play(made, 0)
        made.flush("m")
        empty_pool(made)
        made.put_state("m", 1, state=moved)
        again = play(made, 1, 1)
        assert account(again).blocks_encoded == 0
        assert account(again).blocks_loaded == account(first).blocks_hit + account(first).blocks_encoded
        assert account(again).not_durable == ()
    with runtime(loaded, games) as fresh:
        open_duel(fresh, mode)
        fresh.put_state("m", 1, state=moved)
        there = play(fresh, 1, 1)
        assert account(there).blocks_loaded == 0
    assert logprobs(again) == pytest.approx(logprobs(there), abs=1e-5)


@pytest.mark.parametrize("mode", [Mode.STAR, Mode.ANCHORED])
def test_nothing_is_copied_out_for_a_store_that_keeps_nothing(
    loaded: LoadedModel, games: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runtime(loaded, games) as made:
        monkeypatch.setattr(made.served_model().cache.pool, "read", pytest.fail)
        open_duel(made, mode)
        for frame in range(3):
            made.put_state("m", frame, state=state(u3=frame))
            result = play(made, frame, frame)
            assert account(result).blocks_encoded > 0
        made.served_model().cache.written_behind(30)
        assert not made.served_model().cache._outbox._on_the_way
        made.close_match("m")


def test_what_is_not_on_disk_yet_is_named(loaded: LoadedModel, games: Path, tmp_path: Path) -> None:
    with runtime(loaded, games, store=tmp_path / "store") as made:
        open_duel(made)
        made.put_state("m", 0, state=state())
        play(made, 0)
        made.flush("m")
        made.put_state("m", 1, state=state(u3=99))
        assert "unit/u3" in account(play(made, 1, 1)).not_durable
        made.flush("m")
        assert account(play(made, 2, 1)).not_durable == ()


def test_a_turn_that_outlives_its_match_keeps_nothing_for_it(loaded: LoadedModel, games: Path, tmp_path: Path) -> None:
    with runtime(loaded, games, store=tmp_path / "store") as made:
        open_duel(made)
        made.put_state("m", 0, state=state())
        turn = made.begin_turn(ask(0))
        made.served_model().prefetcher.finish(30)
        made.close_match("m")
        assert turn.run().outcome is Outcome.OK
        made.served_model().cache.written_behind(30)
    assert list_store(tmp_path / "store").matches == ()


def test_a_match_opened_again_under_the_name_of_a_closed_one_keeps_its_blocks(
    loaded: LoadedModel, games: Path, tmp_path: Path
) -> None:
    with runtime(loaded, games, store=tmp_path / "store") as made:
        for _ in range(2):
            open_duel(made)
            made.put_state("m", 0, state=state())
            assert play(made, 0).outcome is Outcome.OK
            made.flush("m")
            assert account(play(made, 1)).not_durable == ()
            made.close_match("m")


def test_a_match_opened_again_while_the_old_one_closes_keeps_its_blocks(
    loaded: LoadedModel, games: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runtime(loaded, games, store=tmp_path / "store") as made:
        open_duel(made)
        made.put_state("m", 0, state=state())
        cache, again = made.served_model().cache, threading.Thread(target=lambda: open_duel(made))
        forget = cache.forget_match

        def forget_late(match: str) -> None:
            again.start()
            again.join(0.2)
            forget(match)

        monkeypatch.setattr(cache, "forget_match", forget_late)
        made.close_match("m")
        again.join()
        made.put_state("m", 1, state=state())
        play(made, 0, 1)
        made.flush("m")
        assert account(play(made, 1, 1)).not_durable == ()


def test_a_match_that_closes_while_its_forward_runs_takes_no_block_that_another_shares(
    loaded: LoadedModel, games: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runtime(loaded, games, store=tmp_path / "store") as made:
        for match in ("one", "two"):
            open_duel(made, match=match, sessions=(match,))
            made.put_state(match, 0, state=state())
        served = made.served_model()
        served.prefetcher.finish(30)
        turns = [made.begin_turn(ask(0, session=match)) for match in ("one", "two")]
        threads = [threading.Thread(target=turn.run) for turn in turns]
        closing, run = threading.Thread(target=lambda: made.close_match("one")), served.engine.runner.run

        def run_while_one_closes(spans: Sequence[Span], is_stopped: Callable[[], bool]) -> Logits:
            closing.start()
            closing.join(0.2)
            return run(spans, is_stopped)

        with monkeypatch.context() as slow:
            with standing_still(served.engine):
                slow.setattr(served.engine.runner, "run", run_while_one_closes)
                for number, thread in enumerate(threads):
                    thread.start()
                    wait_until(lambda number=number: served.engine.num_waiting > number)  # type: ignore[misc]
            for thread in (*threads, closing):
                thread.join()
        made.flush("two")
        second = account(play(made, 1, session="two"))
        assert (second.blocks_encoded, second.not_durable) == (0, ())


def test_a_block_that_leaves_the_pool_while_its_turn_waits_is_encoded_and_the_account_says_why(
    loaded: LoadedModel, games: Path, tmp_path: Path
) -> None:
    with runtime(loaded, games, store=tmp_path / "store") as made:
        open_duel(made)
        made.put_state("m", 0, state=state())
        first = play(made, 0)
        made.flush("m")
        served = made.served_model()
        turn = made.begin_turn(ask(1))
        results: Future[TurnResult] = Future()
        thread = threading.Thread(target=lambda: results.set_result(turn.run()))
        with standing_still(served.engine):
            thread.start()
            wait_until(lambda: served.engine.num_waiting > 0)
            served.cache.residents.make_room(served.cache.pool.num_slots)
        second = results.result(30)
        thread.join()
    assert {use.why for use in account(second).changed} == {"left the pool as its turn waited"}
    assert logprobs(second) == pytest.approx(logprobs(first), abs=1e-5)


def test_closing_again_does_nothing(loaded: LoadedModel, games: Path, tmp_path: Path) -> None:
    with runtime(loaded, games, store=tmp_path / "store") as made:
        open_duel(made)
    made.close()
    with pytest.raises(StoreClosed):
        open_duel(made, match="other")


def test_fifty_sessions_take_the_disk_of_one(loaded: LoadedModel, games: Path, tmp_path: Path) -> None:
    sizes = {}
    for count in (1, 50):
        folder, names = tmp_path / f"store-{count}", tuple(f"npc-{i}" for i in range(count))
        with runtime(loaded, games, store=folder) as made:
            open_duel(made, sessions=names)
            made.put_state("m", 0, state=state(40))
            for name in names:
                play(made, 0, session=name)
            made.flush("m")
        sizes[count] = sum(pack.stat().st_size for pack in folder.rglob("*.safetensors"))
    assert sizes[50] <= 1.1 * sizes[1]


def test_a_store_of_another_model_is_a_miss_and_the_match_goes_on(games: Path, tmp_path: Path) -> None:
    brought = []
    for seed in (0, 0, 1):
        loaded = load_tiny(tmp_path / "models", seed=seed)
        with runtime(loaded, games, store=tmp_path / "store") as made:
            ready: Future[SessionReady] = Future()
            opened = made.open_match(MatchSpec("m", GAME, mode=Mode.STAR))
            if opened.frame is None:
                made.put_state("m", 0, state=state())
            made.open_session(SessionSpec("s", "m"), ready.set_result)
            brought.append(ready.result(30))
            assert play(made, len(brought)).outcome is Outcome.OK
            made.flush("m")
    first, same, other = brought
    assert (same.encoded, same.loaded) == (0, first.encoded)
    assert (other.encoded, other.loaded) == (first.encoded, 0)


def test_a_match_that_closes_takes_no_block_that_another_still_uses(
    loaded: LoadedModel, games: Path, tmp_path: Path
) -> None:
    with runtime(loaded, games, store=tmp_path / "store") as made:
        for match in ("one", "two"):
            open_duel(made, match=match, sessions=(match,))
            made.put_state(match, 0, state=state())
            play(made, 0, session=match)
        made.flush("one")
        made.close_match("one")
        made.flush("two")
        empty_pool(made)
        assert account(play(made, 1, session="two")).blocks_encoded == 0
    with Store(tmp_path / "store", fingerprint=KEY_FORMAT) as store:
        assert {match.match for match in store.listing().matches} == {"two"}


def test_a_block_that_left_the_disk_with_its_last_match_is_written_again_for_the_next(
    loaded: LoadedModel, games: Path, tmp_path: Path
) -> None:
    with runtime(loaded, games, store=tmp_path / "store") as made:
        for match in ("one", "two"):
            open_duel(made, match=match, sessions=(match,))
            made.put_state(match, 0, state=state())
            encoded = account(play(made, 0, session=match)).blocks_encoded
            made.flush(match)
            if match == "one":
                made.close_match("one")
        assert encoded == 0
        assert account(play(made, 1, session="two")).not_durable == ()


def test_a_flush_puts_again_what_the_full_queue_refused(loaded: LoadedModel, games: Path, tmp_path: Path) -> None:
    limits = StoreLimits(queue_bytes=1 << 16, linger_s=0.5)
    with runtime(loaded, games, store=tmp_path / "store", limits=limits) as made:
        open_duel(made)
        made.put_state("m", 0, state=state(20))
        play(made, 0)
        made.served_model().cache.written_behind(30)
        assert made.flush("m").blocks > 0
        assert account(play(made, 1)).not_durable == ()


@pytest.mark.parametrize("verb", ["link", "put", "contains"])
def test_a_store_that_fails_costs_one_turn_at_most_and_no_slot(
    loaded: LoadedModel, games: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("gone")

    with runtime(loaded, games, store=tmp_path / "store") as made:
        open_duel(made)
        made.put_state("m", 0, state=state())
        with monkeypatch.context() as broken:
            broken.setattr(Store, verb, fail)
            outcomes = [made.begin_turn(ask(0)).run().outcome]
        if verb != "put":
            assert outcomes == [Outcome.ERROR]
        after = play(made, 1)
    with runtime(loaded, games) as fresh:
        open_duel(fresh)
        fresh.put_state("m", 0, state=state())
        assert logprobs(after) == pytest.approx(logprobs(play(fresh, 1)), abs=1e-5)


def test_a_flush_that_runs_out_of_time_says_so(loaded: LoadedModel, games: Path, tmp_path: Path) -> None:
    with runtime(loaded, games, store=tmp_path / "store") as made:
        open_duel(made)
        with standing_still(made.served_model().engine):
            with pytest.raises(NotDurable, match="0.2 s were too short"):
                made.flush("m", 0.2)
        made.flush("m")
