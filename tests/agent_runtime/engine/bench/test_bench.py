"""The engine's own bench: every case runs, on a CPU too, and needs nothing but torch and transformers."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig

from agent_runtime.engine.bench import floors
from agent_runtime.engine.bench.__main__ import main
from agent_runtime.engine.bench.cases import chosen
from agent_runtime.engine.bench.geometry import bare_model
from agent_runtime.engine.bench.ttft import CASES, Case, _least_work
from tests.agent_runtime.engine.bench.small import SIZES

CPU = ("--device", "cpu", "--dtype", "float32", "--way", "torch")
# Of the cases whose names do not say how large they are.
SMALL = (
    "num_blocks=4",
    "block_tokens=10",
    "times=1",
    "sessions=3",
    "num_regions=5",
    "num_seen=4",
    "region_tokens=8",
    "hz=200",
)
# What a machine that is lent for an hour does not have.
ABSENT = ("pydantic", "websockets", "sqlalchemy", "alembic", "pettingzoo", "gguf", "typer", "rich", "llguidance")


@pytest.fixture(scope="module")
def geometry(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("geometry")
    (folder / "config.json").write_text(json.dumps(SIZES))
    return str(folder)


def test_every_case_is_timed_beside_its_floor(geometry: str, capsys: pytest.CaptureFixture[str]) -> None:
    small = [word for size in SMALL for word in ("--size", size)]
    main([*CPU, "--geometry", geometry, "--turns", "1", "--json", *small])
    report = json.loads(capsys.readouterr().out)
    assert report["checked"]["distance"] <= report["checked"]["limit"] == 1e-4
    assert (report["weights"], report["way"], report["dtype"]) == ("random", "torch", "float32")
    assert [case["case"] for case in report["cases"]] == [case.name for case in chosen("", {})]
    for found in report["cases"][: len(CASES)]:
        assert found["ratio_to_floor"] == pytest.approx(found["median_ms"] / found["floor_ms"], rel=0.02)
    by_name = {case["case"]: case for case in report["cases"]}
    assert by_name["gamecore, two changed"]["new_tokens"] == 50 + 2 * 85
    assert by_name["gamecore, one changed, 16 actions"]["new_tokens"] == 50 + 85 + 16 * 4


def test_the_floor_counts_attention_and_charges_the_head_for_wanted_rows_alone() -> None:
    case = Case("two turns", 3, 10, encoded=1, num_actions=2, action_tokens=2, sessions=2)
    assert (case.new_tokens(5), case.num_wanted()) == (2 * 5 + 10 + 2 * 2 * 2, 2 * (1 + 2 * 2))
    observation, action = 5 * 30 + 15, 2 * (30 + 5) + 3
    assert case.num_seen(5) == 2 * (observation + 2 * action) + 55
    config = LlamaConfig(**{name: value for name, value in SIZES.items() if name != "model_type"})
    bare = bare_model(config, 8, torch.device("cpu"), torch.float32)
    num_bytes, operations = _least_work(case, bare, 5)
    layers = 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64)
    norms = 5 * 32
    assert operations == 2 * ((layers + norms) * 28 + 128 * 32 * 10) + 4 * 2 * 16 * 2 * case.num_seen(5)
    assert num_bytes == 4 * (layers + norms + 128 * 32) + (30 + 28) * bare.pool.geometry.bytes_per_token


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--geometry", "no-such"], "no geometry no-such"),
        (["--case", "none"], "no case is called"),
        (["--size", "rooms=3"], "no case has a size 'rooms': block_tokens, "),
        (["--size", "sessions"], "'sessions' is not NAME=NUMBER"),
        (["--size", "sessions=many"], "'many'"),
        (["--size", "sessions=0"], "above zero"),
        (["--turns", "0"], "above zero"),
        (["--dtype", "int8"], "nothing is measured in 'int8': name float32"),
        (["--device", "tpu"], "there is no device 'tpu': name cpu or cuda"),
    ],
)
def test_what_there_is_not_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_it_runs_where_only_torch_and_transformers_are(geometry: str) -> None:
    blocked = f"import sys; sys.modules.update(dict.fromkeys({ABSENT}))"
    words = ["--geometry", geometry, *CPU, "--turns", "1"]
    code = f"{blocked}\nfrom agent_runtime.engine.bench.__main__ import main\nmain({[*words, '--case', 'nothing']})"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout.splitlines()[-1])["case"] == "nothing static"


def test_a_floor_takes_the_faster_library_and_more_memory_than_caches_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []

    def timed(work: Callable[[], object], device: torch.device) -> float:
        made = work()
        assert isinstance(made, torch.Tensor)
        copied.append(made.numel())
        return float(len(copied))

    monkeypatch.setattr(floors, "best_of", timed)
    found = floors.measure_floors(torch.device("cpu"), torch.float32, scale=1e-6)
    assert copied[0] == 2**27 and found.bandwidth_B_s == 2 * 2**27
    assert found.matmul_FLOP_s == 2 * 16**3 / 2, "the second measurement, torch's, took less than oneDNN's"
