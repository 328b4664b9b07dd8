"""`hotseat replay` and `hotseat replay diff`: what they print and write, and how they end."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent_runtime.cli import app
from agent_runtime.demo.server import ServerProcess
from agent_runtime.engine import loading
from agent_runtime.engine.loading import ModelSpec, load_model
from agent_runtime.errors import CannotWrite
from agent_runtime.replay.errors import (
    BadCondition,
    EditedRecording,
    LacksGame,
    NotAReport,
    NotComparable,
    NothingToReplay,
    NoValue,
    UnknownMetric,
)
from tests.agent_runtime.embedded import bring, embed
from tests.agent_runtime.replay.duel import NUM_TURNS, record_duel, write_long_duel
from tests.agent_runtime.worlds import load_tiny, write_game


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replay")


@pytest.fixture(scope="module")
def recording(folder: Path) -> Path:
    return record_duel(folder / "recordings", write_game(folder / "games"), load_tiny(folder))


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["replay", *map(str, arguments)])


@pytest.fixture
def replay(recording: Path, folder: Path) -> Any:
    def replayed(*arguments: object) -> Any:
        common = ("--model", folder / "llama-0", "--games", folder / "games", "--pool-mib", 16)
        return run(recording, *common, *arguments)

    return replayed


def test_json_has_a_lane_for_each_mode_and_every_turn(replay: Any) -> None:
    ran = replay("--mode", "star,full", "--mode", "star", "--json")
    told = json.loads(ran.stdout)
    assert [mode["label"] for mode in told["modes"]] == ["star", "full", "star (2)"]
    assert told["modes"][0]["as_recorded"] == 1
    assert len(told["turns"]) == 3 * NUM_TURNS
    assert {"mode", "session", "turn_id", "ttft_ms", "engine_ms", "best"} <= told["turns"][0].keys()
    assert "turns" not in json.loads(replay("--mode", "star", "--json", "--no-turns").stdout)


def test_tables_are_printed_within_100_columns(replay: Any) -> None:
    ran = replay()
    assert f"duel: {NUM_TURNS} turns" in ran.stdout
    assert "prefix" in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 100


def test_the_report_is_written_beside_what_is_printed(replay: Any, tmp_path: Path) -> None:
    ran = replay("--mode", "star", "--out", tmp_path / "a.json", "--html", tmp_path / "a.html")
    assert ran.exit_code == 0 and "duel" in ran.stdout
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["format"] == "hotseat.replay"
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_long_form_of_the_command_is_the_same(recording: Path, folder: Path) -> None:
    common = ("--model", folder / "llama-0", "--games", folder / "games", "--pool-mib", 16, "--mode", "star", "--json")
    assert json.loads(run("run", recording, *common).stdout)["modes"][0]["turns"] == NUM_TURNS


def test_a_condition_that_holds_ends_with_one_and_a_sentence(replay: Any) -> None:
    ran = replay("--mode", "star", "--fail-if", "ttft_mean_ms>0", "--fail-if", "agreement<1")
    assert ran.exit_code == 1
    assert "ttft_mean_ms>0 holds: star.ttft_mean_ms is" in ran.stderr
    assert "agreement" not in ran.stderr
    assert "duel" in ran.stdout, "the report is printed all the same"
    assert replay("--mode", "star", "--fail-if", "star.agreement<1").exit_code == 0


def test_a_condition_without_a_value_is_an_error_and_the_report_is_there(replay: Any) -> None:
    ran = replay("--mode", "star", "--fail-if", "ttft_p95_ms>400")
    assert isinstance(ran.exception, NoValue)
    assert "duel" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--fail-if", "ttft"), BadCondition),
        (("--fail-if", "tft_mean_ms>4"), UnknownMetric),
        (("--mode", "star", "--fail-if", "full.ttft_mean_ms>4"), UnknownMetric),
        (("--mode", "star", "--fail-if", "ratio.star_over_full>4"), UnknownMetric),
        (("--out", "nowhere/a.json"), CannotWrite),
        (("--html", "nowhere/a.html"), CannotWrite),
    ],
)
def test_what_cannot_be_is_said_before_the_model_is_loaded(
    replay: Any, arguments: tuple[str, ...], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "locate", None)  # whoever loads a model looks for it first
    assert isinstance(replay(*arguments).exception, error)


def test_an_edited_recording_is_refused_before_the_model_is_loaded(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "locate", None)  # whoever loads a model looks for it first
    edited = tmp_path / "edited.jsonl"
    edited.write_bytes(recording.read_bytes().replace(b"A noise.", b"A voice.", 1))
    error = run(edited).exception
    assert isinstance(error, EditedRecording) and error.line > 1


def test_a_recording_that_was_cut_is_replayed_as_far_as_it_goes_and_said_to_be_cut(
    replay: Any, recording: Path, folder: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.jsonl"
    whole = recording.read_bytes()
    cut.write_bytes(whole[: whole.rstrip().rindex(b"\n") + 40])
    ran = run(cut, "--model", folder / "llama-0", "--games", folder / "games", "--pool-mib", 16, "--mode", "star")
    num_lines = len(whole.splitlines())
    assert ran.exit_code == 0 and f"line {num_lines}: it was cut in its middle" in ran.stderr
    assert "cut in its middle" not in replay("--mode", "star").stderr


def test_a_game_that_is_not_here_is_named_with_its_flag_before_the_model_is_loaded(
    recording: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "locate", None)
    ran = run(recording, "--model", folder / "llama-0")
    assert isinstance(ran.exception, LacksGame) and ran.output == ""
    assert "the game 'duel'" in str(ran.exception) and "with --games." in str(ran.exception)


@pytest.mark.parametrize("command", ["run", "load"])
def test_a_recording_without_a_turn_is_refused_before_the_model_is_loaded(
    command: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "locate", None)
    monkeypatch.setattr(ServerProcess, "start", None)
    write_game(folder / "games")
    silent = write_long_duel(tmp_path / "silent.jsonl", 0)
    ran = run(command, silent, "--games", folder / "games")
    assert isinstance(ran.exception, NothingToReplay) and ran.output == ""
    assert "holds no turn" in str(ran.exception)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("FILE", "--pace", "2"), "--pace: it is an option of `hotseat replay load`, and this is `hotseat replay run`"),
        (("FILE", "--copies=3"), "--copies: it is an option of `hotseat replay load`"),
        (("load", "FILE", "--store", "warm"), "--store: it is an option of `hotseat replay run`"),
        (("load", "FILE", "--no-turns"), "--no-turns: it is an option of `hotseat replay run`"),
        (("FILE", "--pase", "2"), "No such option: --pase"),
    ],
)
def test_an_option_of_another_command_is_refused_with_that_commands_name(
    recording: Path, arguments: tuple[str, ...], says: str
) -> None:
    ran = run(*(recording if word == "FILE" else word for word in arguments))
    assert ran.exit_code == 2
    assert says in " ".join(word for word in ran.output.split() if word != "\u2502")


def test_an_unknown_mode_is_refused(recording: Path) -> None:
    ran = run(recording, "--mode", "full,fast")
    assert ran.exit_code == 2
    assert "fast" in ran.output


def test_a_file_that_is_not_there_is_refused() -> None:
    ran = run("nowhere.jsonl")
    assert ran.exit_code == 2
    assert "nowhere.jsonl" in ran.output


# Diff.


@pytest.fixture
def reports(replay: Any, tmp_path: Path) -> tuple[Path, Path]:
    files = tmp_path / "a.json", tmp_path / "b.json"
    for seed, file in enumerate(files):
        assert replay("--mode", "star,full", "--seed", seed, "--out", file).exit_code == 0
    return files


def test_two_replays_of_one_recording_agree_in_all_counts_and_best_actions(reports: tuple[Path, Path]) -> None:
    ran = run("diff", *reports)
    assert ran.exit_code == 0
    assert f"star: every count is the same in all {NUM_TURNS} turns." in ran.stdout
    assert f"full: every count is the same in all {NUM_TURNS} turns." in ran.stdout
    assert "settings differ in seed: 0 in A, 1 in B." in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 100
    told = json.loads(run("diff", *reports, "--json").stdout)
    assert told["counts_agree"] and told["must_agree"]


def test_counts_that_differ_for_no_reason_end_with_one(reports: tuple[Path, Path]) -> None:
    told = json.loads(reports[1].read_text(encoding="utf-8"))
    told["turns"][2]["best"] = "dance"
    reports[1].write_text(json.dumps(told), encoding="utf-8")
    ran = run("diff", *reports)
    assert ran.exit_code == 1 and "one of the two is wrong" in ran.stdout.replace("\n", " ")
    told["digests"]["weights"] = "others"
    reports[1].write_text(json.dumps(told), encoding="utf-8")
    assert run("diff", *reports).exit_code == 0, "other weights may choose otherwise"
    ran = run("diff", *reports, "--fail-if", "differing_counts>0")
    assert ran.exit_code == 1 and "star.differing_counts is 1" in ran.stderr


def test_reports_of_different_recordings_are_refused(reports: tuple[Path, Path]) -> None:
    told = json.loads(reports[1].read_text(encoding="utf-8"))
    other = reports[1].with_name("c.json")
    other.write_text(json.dumps({**told, "recording_digest": "another", "game": "chess"}), encoding="utf-8")
    ran = run("diff", reports[0], other)
    assert isinstance(ran.exception, NotComparable) and ran.stdout == ""
    assert "(duel)" in str(ran.exception) and "(chess)" in str(ran.exception)


def test_what_is_no_report_or_no_metric_is_refused(reports: tuple[Path, Path], recording: Path) -> None:
    assert isinstance(run("diff", reports[0], recording).exception, NotAReport)
    assert isinstance(run("diff", *reports, "--fail-if", "star.ttft_mean_ms>3").exception, UnknownMetric)


def test_a_recording_of_the_packages_adapter_is_told_when_it_is_replayed_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(embed(tmp_path, monkeypatch))
    recording = record_duel(tmp_path / "recordings", write_game(tmp_path / "games"), load_model(ModelSpec()))

    def warnings(*adapter: str) -> str:
        ran = run(recording, "--games", tmp_path / "games", "--mode", "star", "--pool-mib", 16, "--json", *adapter)
        assert ran.exit_code == 0, ran.output
        return " ".join(json.loads(ran.stdout)["warnings"])

    assert "adapter" not in warnings() and "recorded with an adapter" in warnings("--adapter", "none")
