"""`hotseat bench gamecore`, `capacity`, `throughput`, `load`: what they print, and what they refuse."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from agent_runtime import cli
from agent_runtime.cli import app
from tests.agent_runtime.bench.worlds import write_geometry
from tests.tiny_models import save_tiny_model

SMALL_STATE = ("--blocks", "9", "--block-tokens", "30", "--turns", "2")
SMALL = {
    "capacity": ("--size", "sessions=3"),
    "throughput": ("--size", "sessions=3", "--size", "region_tokens=20"),
    "load": ("--size", "hz=100", "--size", "num_blocks=3", "--turns", "2"),
}


@pytest.fixture(scope="module")
def geometry(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_geometry(tmp_path_factory.mktemp("geometry")))


def bench(*words: str) -> str:
    ran = CliRunner().invoke(app, ["bench", *words, "--device", "cpu"])
    assert ran.exit_code == 0, (ran.output, ran.exception)
    return ran.stdout


def refused(*words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence with which a command ends, its exit code 2."""
    monkeypatch.setattr(sys, "argv", ["hotseat", "bench", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code == 2 and not said.out
    lines = [line for line in said.err.splitlines() if line.startswith("hotseat: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("command", SMALL)
def test_a_case_of_the_engine_comes_with_its_floor_and_its_check(command: str, geometry: str) -> None:
    report = json.loads(bench(command, "--geometry", geometry, "--random-weights", "--json", *SMALL[command]))
    assert report["checked"]["distance"] <= report["checked"]["limit"]
    assert report["floors"]["bandwidth_B_s"] > 0 and report["weights"] == "random"
    [found] = report["cases"]
    assert found["case"].startswith(command)
    assert found["ratio_to_floor"] == pytest.approx(found["median_ms"] / found["floor_ms"], rel=1e-3, abs=1e-3)
    match command:
        case "capacity":
            assert (found["sessions"], found["visible_tokens"], found["agrees"]) == (3, 8 * 85 + 40, True)
            assert [each["encoded_tokens"] for each in found["rounds"]] == [0, 0]
        case "throughput":
            assert (found["sessions"], found["static_tokens"], found["encoded_tokens"]) == (3, 8 * 20, 0)
        case "load":
            assert (found["hz"], found["static_tokens"], found["turns"]) == (100.0, 3 * 85, 2)


def test_a_real_model_is_loaded_and_timed(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    report = json.loads(bench("capacity", "--model", str(folder), "--json", "--size", "sessions=2"))
    assert (report["weights"], report["geometry"]) == ("loaded", "model")
    assert report["cases"][0]["agrees"]
    drawn = json.loads(bench("gamecore", "--model", str(folder), "--random-weights", "--json", *SMALL_STATE))
    assert drawn["weights"] == "random"


def test_gamecore_is_timed_in_the_engine_alone_unless_more_is_asked_for(geometry: str) -> None:
    report = json.loads(bench("gamecore", "--geometry", geometry, "--json", *SMALL_STATE))
    assert [case["new_tokens"] for case in report["cases"]] == [50, 50 + 2 * 30, 50 + 30 + 16 * 4, 50 + 30 + 16]
    words = ("--through", "agent", "--actions", "4", "--changed", "2", "--json")
    report = json.loads(bench("gamecore", "--geometry", geometry, *words, *SMALL_STATE))
    *decided, written = report["cases"]
    assert [(case["blocks_encoded"], case["legal"], case["turns"]) for case in decided] == [(2, 2, 2)] * 2
    assert (written["sampled"], written["legal"], written["turns"]) == (16, 2, 2)


def test_people_read_times_floors_ratios_stages_and_what_was_checked(geometry: str) -> None:
    said = bench("gamecore", "--geometry", geometry, "--through", "agent", "--actions", "4", *SMALL_STATE)
    assert said.count("times that") == 5 and "random weights, float32" in said
    assert "Scores differ from those by plain torch, queries moved by " in said
    assert "stages ms: read frame " in said and "engine: median " in said and "more than engine ms " in said
    said = bench("capacity", "--geometry", geometry, *SMALL["capacity"])
    assert "static unchanged yes" in said and said.count("rounds: turns s") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["capacity", "--geometry", "no-such"], "--geometry: there is no geometry no-such: name one of llama-3.1-8b"),
        (["load", "--device", "cuda"], "'cuda' cannot be used: torch"),
        (["load", "--dtype", "int4"], "--dtype: nothing is measured in 'int4': name float32"),
        (["throughput", "--geometry", "{}", "--way", "x"], "--way: there is no way 'x': name kernels or torch"),
        (["load", "--geometry", "{}", "--size", "hz"], "--size: 'hz' is not of the form NAME=NUMBER"),
        (["load", "--geometry", "{}", "--size", "sessions=2"], "--size: no case has a size 'sessions'"),
        (["capacity", "--geometry", "{}", "--size", "sessions=99999999"], "name a smaller geometry or model"),
        (["capacity", "--geometry", "{}", "--pool-gib", "1000000"], "name a smaller geometry or model"),
        (["load", "--geometry", "{}", "--size", "num_blocks=400"], "raise max_position_embeddings"),
        (["load", "--geometry", "{}", "--adapter", "x"], "--adapter: random weights have none"),
        (["gamecore", "--tokenizer", "x"], "--tokenizer: a model has its own"),
        (["gamecore", "--geometry", "{}", "--changed", "1"], "--changed: it is for turns in words: name --through"),
        (["gamecore", "--geometry", "{}", "--through", "agent", "--way", "torch"], "--way: a runtime takes the best"),
        (["gamecore", "--geometry", "{}", "--through", "socket", "--blocks", "3"], "--blocks: 3 is out of range"),
        (["gamecore", "--model", "no/such/folder"], "There is no model at 'no/such/folder'"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(
    words: list[str], said: str, geometry: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    filled = [word.format(geometry) if word == "{}" else word for word in words]
    assert said in refused(*filled, monkeypatch=monkeypatch, capsys=capsys)


def test_heads_that_the_kernels_cannot_do_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    folder = write_geometry(tmp_path / "wide", head_dim=512)
    words = ("capacity", "--geometry", str(folder), "--way", "kernels", "--device", "cpu", *SMALL["capacity"])
    said = refused(*words, monkeypatch=monkeypatch, capsys=capsys)
    assert "heads have 512 dimensions" in said and "--way torch" in said


def test_flags_are_few_and_these() -> None:
    commands: Any = typer.main.get_command(app)
    found = {
        name: {option for parameter in command.params for option in parameter.opts} - {"--help"}
        for name, command in commands.commands["bench"].commands.items()
        if name in ("gamecore", *SMALL)
    }
    every = {"--model", "--adapter", "--geometry", "--random-weights", "--device", "--dtype", "--way", "--json"}
    in_words = {"--tokenizer", "--through", "--blocks", "--block-tokens", "--changed", "--actions", "--turns"}
    assert found == {
        "gamecore": every | in_words,
        "capacity": every | {"--size", "--observation", "--pool-gib"},
        "throughput": every | {"--size", "--observation"},
        "load": every | {"--size", "--observation", "--turns"},
    }
