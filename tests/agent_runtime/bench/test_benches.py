"""The benches with a tiny model: what they count. What they time is for people to look at."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agent_runtime.bench.llama_server import LlamaServer, NoLlamaServer
from agent_runtime.bench.overhead import bench_overhead
from agent_runtime.bench.seats import SeatsWorkload, bench_seats
from agent_runtime.bench.turn import Workload, bench_turn
from agent_runtime.engine.loading import LoadedModel
from tests.agent_runtime.worlds import load_tiny

WORKLOAD = Workload(
    num_blocks=4,
    block_tokens=30,
    observation_tokens=25,
    turns=3,
    pool_mib=16,
    small_blocks=(12, 20),
    large_blocks=(2, 120),
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(tmp_path_factory.mktemp("models"))


@contextmanager
def llama_server(num_extra: int = 0) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = json.dumps({"tokens_evaluated": len(asked[-1]["prompt"]) + num_extra}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/", asked
        finally:
            server.shutdown()
            thread.join()


def test_every_mode_and_every_rival_plays_the_same_turns(loaded: LoadedModel) -> None:
    with llama_server() as (url, asked):
        report = bench_turn(loaded, WORKLOAD, lambda text: None, LlamaServer(url))
    cases = {(case["case"], case["mode"]): case for case in report["cases"]}
    star, full = cases["changed", "star"], cases["changed", "full"]
    assert star["forwards"] == full["forwards"] == 1
    assert full["tokens_cached"] == 0
    assert full["tokens_computed"] == pytest.approx(star["tokens_computed"] + star["tokens_cached"], abs=1)
    assert star["tokens_computed"] < cases["changed", "prefix"]["tokens_computed"] < full["tokens_computed"]
    assert cases["hit", "prefix"]["tokens_computed"] == pytest.approx(cases["hit", "star"]["tokens_computed"], abs=1)
    assert cases["changed", "llama.cpp"]["turns"] == cases["hit", "llama.cpp"]["turns"] == WORKLOAD.turns
    assert {"changed_star_over_full", "hit_star_over_llama_cpp"} <= report["ratios"].keys()
    assert [len(each["prompt"]) for each in asked[2:]] == pytest.approx([full["tokens_computed"]] * 6, abs=8)


def test_the_overhead_is_told_by_stage(loaded: LoadedModel) -> None:
    report = bench_overhead(loaded, num_blocks=10, block_tokens=20, turns=2)
    assert [case["case"] for case in report["cases"]] == ["patch", "whole"]
    for case in report["cases"]:
        stages = case["stages_ms"]
        assert all(ms > 0 for ms in stages.values())
        assert case["overhead_ms"]["p50"] <= case["overhead_ms"]["max"]


def test_both_ways_of_many_seats_play_the_same_turns(loaded: LoadedModel) -> None:
    workload = SeatsWorkload(num_envs=3, num_blocks=2, observations=(3, 12), rounds=2, pool_mib=16)
    report = bench_seats(loaded, workload, lambda text: None)
    assert [(case["mode"], case["observation_tokens"]) for case in report["cases"]] == [
        (mode, tokens) for mode in ("star", "prefix") for tokens in (3, 12)
    ]
    for case in report["cases"]:
        assert case["forwards"] == 1
        assert case["ratio"] == pytest.approx(case["ms_a_turn"]["apart"] / case["ms_a_turn"]["together"], rel=0.05)
    short, longer = (case["tokens_computed"] for case in report["cases"][:2])
    assert longer - short == pytest.approx(9, abs=4), "blocks are there, only the observation is computed"


def test_what_is_no_llama_server_or_has_another_model_is_said(loaded: LoadedModel) -> None:
    with llama_server(num_extra=1) as (url, _):
        with pytest.raises(NoLlamaServer, match="another one"):
            bench_turn(loaded, WORKLOAD, lambda text: None, LlamaServer(url))
    with pytest.raises(NoLlamaServer, match="llama-server"):
        LlamaServer(url).first_token_ms([1])


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "http://127.0.0.1:x", "http://[::1"])
def test_what_is_no_address_is_said_in_a_sentence(url: str) -> None:
    with pytest.raises(NoLlamaServer, match="give its address"):
        LlamaServer(url).first_token_ms([1])


def test_a_server_that_speaks_no_http_is_said_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with listening.accept()[0] as client:
                client.recv(1 << 16)
                client.sendall(b"SSH-2.0-OpenSSH\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NoLlamaServer, match="SSH-2.0"):
            LlamaServer(f"http://127.0.0.1:{listening.getsockname()[1]}").first_token_ms([1])
        thread.join()
