"""Whatever multiplies on this process's CPU does it on one thread, and that thread keeps all its cores."""

import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch

from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine import compute_thread
from agent_runtime.engine.compute_thread import at_once, computed, without_team
from agent_runtime.engine.span import NOTHING, Span
from agent_runtime.served_model import ServedModel, serve_model
from tests.agent_runtime.worlds import load_tiny
from tests.tiny_models import save_tiny_model


def here() -> int:
    return threading.get_ident()


def test_calls_from_every_thread_meet_on_one() -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(computed(here))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 4 and len({*found, computed(here)}) == 1 and here() not in found
    assert at_once(here) == here()


def test_a_call_may_make_another() -> None:
    assert computed(lambda: computed(here)) == computed(here)


def test_what_a_call_raises_reaches_whoever_asked_and_the_next_call_runs() -> None:
    with pytest.raises(ZeroDivisionError):
        computed(lambda: 1 / 0)
    assert computed(lambda: 7) == 7


def test_the_compute_thread_keeps_its_cores_while_another_thread_has_only_itself() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="cut"), without_team():
        assert torch.get_num_threads() == 1
        assert computed(torch.get_num_threads) == before
        raise ValueError("cut short")
    assert torch.get_num_threads() == before == computed(torch.get_num_threads)


def test_threads_that_are_lonely_one_after_the_other_leave_every_thread_its_cores() -> None:
    before, inside, go_on = torch.get_num_threads(), threading.Event(), threading.Event()
    found: list[int] = []

    def first() -> None:
        with without_team():
            inside.set()
            go_on.wait(30)

    def second() -> None:
        with without_team():
            pass

    def third() -> None:
        found.append(torch.get_num_threads())

    threads = [threading.Thread(target=call) for call in (first, second)]
    threads[0].start()
    assert inside.wait(30)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(30)
    last = threading.Thread(target=third)
    last.start()
    last.join(30)
    assert found == [before]


def test_what_was_not_begun_when_its_waiter_was_interrupted_is_never_run() -> None:
    go_on, ran = threading.Event(), []
    first = threading.Thread(target=lambda: computed(lambda: go_on.wait(30)))
    first.start()
    waiting = compute_thread._thread().asked(lambda: ran.append(1))
    assert waiting.cancel()
    go_on.set()
    first.join(30)
    assert computed(here) and not ran


@pytest.mark.skipif(os.name == "nt", reason="a process sends itself Ctrl-C")
def test_a_process_that_is_interrupted_while_it_computes_ends_and_does_not_abort() -> None:
    ended = subprocess.run([sys.executable, "-c", _IS_INTERRUPTED], capture_output=True, timeout=120)
    assert b"KeyboardInterrupt" in ended.stderr and b"terminate called" not in ended.stderr, ended


_IS_INTERRUPTED = """
import os, signal, threading, time
import torch
from agent_runtime.engine.compute_thread import computed

def computes():
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        torch.ones(500, 500) @ torch.ones(500, 500)

computed(computes)
"""


@pytest.mark.skipif(os.name == "nt", reason="a process sends itself Ctrl-C")
def test_forwards_without_end_stop_at_a_layer_when_their_process_ends() -> None:
    ended = subprocess.run([sys.executable, "-c", _COMPUTES_ON], capture_output=True, timeout=120)
    assert b"KeyboardInterrupt" in ended.stderr and b"terminate called" not in ended.stderr, ended


_COMPUTES_ON = """
import os, signal, threading
from agent_runtime.engine.bench.decode import Decode
from agent_runtime.engine.compute_thread import computed
from agent_runtime.engine.span import NOTHING, Span
from tests.agent_runtime.engine.bench.small import small_setting

setting = small_setting(Decode("any", sessions=1, num_regions=1, region_tokens=4))

def computes():
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    while True:
        setting.runner.run([Span([1] * 200, 0, NOTHING, wanted="last")])

computed(computes)
"""


def test_who_hears_of_one_engines_result_may_ask_another_engine(tmp_path: Path) -> None:
    one, other = [serve_model("m", load_tiny(tmp_path), MemoryStore(), pool_mib=4, max_rows=512) for _ in range(2)]
    heard: Future[int] = Future()

    def script():  # type: ignore[no-untyped-def]
        yield [Span([5, 6, 7], 0, NOTHING, wanted="last")]

    def then(_: object) -> None:
        heard.set_result(other.engine.ask(here) and _played(other))

    one.engine.submit(script()).future.add_done_callback(then)
    assert heard.result(60) == computed(here)
    one.close()
    other.close()


def test_two_engines_and_the_probes_of_both_compute_on_one_thread(tmp_path: Path) -> None:
    loaded = [load_tiny(tmp_path, seed=seed) for seed in (0, 1)]
    where: set[int] = set()
    for each in loaded:
        each.model.get_input_embeddings().register_forward_pre_hook(lambda *_: where.add(here()))
    served = [serve_model("m", each, MemoryStore(), pool_mib=4, max_rows=512) for each in loaded]
    assert where == {computed(here)}
    where.clear()
    assert [_played(each) for each in served] == [computed(here)] * 2
    assert where == {computed(here)}
    for each in served:
        each.close()


def _played(served: ServedModel) -> int:
    """Run a forward; return the thread on which its script ran."""

    def script():  # type: ignore[no-untyped-def]
        yield [Span([5, 6, 7], 0, NOTHING, wanted="last")]
        return here()

    return served.engine.submit(script()).future.result(60)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted as Linux lists them")
def test_from_load_to_turn_no_other_thread_gets_a_team(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model")
    told = subprocess.run(
        [sys.executable, "-c", _COUNTS_THREADS, str(tmp_path)],
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    by_itself, behind_a_turn = map(int, told.stdout.split())
    assert by_itself == behind_a_turn == torch.get_num_threads() - 1, told


_COUNTS_THREADS = """
import os, sys, threading
from pathlib import Path
import torch
from agent_runtime.engine.compute_thread import computed
from agent_runtime.engine.loading import ModelSpec, load_model
from tests.agent_runtime.worlds import open_duel, play, runtime, state, write_game

def num_native():
    return len(os.listdir("/proc/self/task")) - threading.active_count()

before, folder = num_native(), Path(sys.argv[1])
computed(lambda: torch.ones(2**20).sin())
print(num_native() - before)
# Enough positions for a table that torch would compute with all cores.
spec = ModelSpec(str(folder / "model"), overrides={"max_position_embeddings": 65536})
with runtime(load_model(spec, folder / "cache"), write_game(folder / "games"), store=folder / "store") as made:
    open_duel(made)
    made.put_state("m", 0, state=state())
    play(made, 0)
    print(num_native() - before)
"""
