"""`hotseat turn`, `log`, `protocol` and `doctor`, as they are typed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent_runtime.cli import app, main
from agent_runtime.engine.errors import BrokenModel
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.first_look import doctor
from agent_runtime.first_look.errors import NoRecordings
from agent_runtime.first_look.findings import Finding, Verdict
from tests.agent_runtime.embedded import bring, embed
from tests.agent_runtime.first_look.worlds import record_match
from tests.agent_runtime.worlds import load_tiny, state, write_game
from tests.readme import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("looks")
    write_game(folder / "games")
    (folder / "s.json").write_text(json.dumps(state(), indent=1), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tiny(folder: Path) -> LoadedModel:
    return load_tiny(folder)


@pytest.fixture(scope="module")
def recording(folder: Path, tiny: LoadedModel) -> Path:
    return record_match(folder, tiny)


def printed(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one sentence that a bad command line gets."""
    monkeypatch.setattr(sys, "argv", ["hotseat", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2 and said.err.startswith("hotseat: ") and said.err.count("\n") == 1
    return said.err


def turn_words(folder: Path, tiny: LoadedModel) -> tuple[object, ...]:
    words = ("duel", "--games", folder / "games", "--state", folder / "s.json", "--observation", "A noise.")
    return ("turn", *words, "--actions", "hold,attack", "--model", folder / "llama-0", "--pool-mib", 16)


def test_a_turn_prints_its_action_its_odds_its_blocks_and_its_account(folder: Path, tiny: LoadedModel) -> None:
    said = printed(*turn_words(folder, tiny), "--mode", "star")
    assert said.startswith("duel, star, llama-0: ok, ") and said.count("%") == 2
    assert "unit/u4" in said and "tokens of prompt; computed" in said
    assert "| <|im_start|>system" in printed(*turn_words(folder, tiny), "--texts")


def test_a_turn_as_json_is_nothing_but_json(folder: Path, tiny: LoadedModel) -> None:
    said = json.loads(printed(*turn_words(folder, tiny), "--json"))
    assert said["mode"] == "prefix" and {score["id"] for score in said["scores"]} == {"hold", "attack"}
    assert [block["role"] for block in said["blocks"]] == ["anchor", *["state"] * 7, "observation"]


def test_the_example_takes_a_turn_as_the_readme_says(folder: Path, tiny: LoadedModel) -> None:
    state_file = ROOT / "examples" / "own_game" / "state.json"
    words = ("--games", ROOT / "examples", "--state", state_file, "--actions", "light the lamp,wait")
    said = printed("turn", "own_game", *words, "--model", folder / "llama-0", "--pool-mib", 16)
    assert "ship/heron" in said and "light the lamp" in said and "of the observation, " in said


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (("duell",), "There is no game named 'duell'. Did you mean 'duel'?"),
        (("duel", "--state", "missing.json"), "missing.json: it cannot be read"),
        (("duel", "--state", "broken.json"), "broken.json:2: this is not JSON"),
        (("duel", "--actions", "hold,hold"), "'hold' is named twice"),
        (("duel", "--actions", ","), "There is no action"),
        (("duel", "--actions", '["hold", ""]'), "'' is no action"),
        (("duel", "--actions", '[{"id": "go", "schema": {"properties": {"a": {"type": "x"}}}}]'), "cannot be used"),
        (("duel", "--persona", "spy"), "There is no persona named 'spy'"),
        (("duel", "--sight", "units"), "a JSON Pointer begins with '/'"),
    ],
)
def test_a_bad_turn_is_one_sentence_before_a_model_is_loaded(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: tuple[str, ...],
    says: str,
) -> None:
    (folder / "broken.json").write_text('{"a": 1,\n "b" 2}', encoding="utf-8")
    monkeypatch.chdir(folder)
    actions = () if "--actions" in changed else ("--actions", "go")
    assert says in refused(monkeypatch, capsys, "turn", *changed, "--games", "games", "--model", "no/model", *actions)


def test_a_model_that_is_not_there_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, ["turn", "duel", "--games", "games", "--actions", "go", "--model", "missing"])
    assert "There is no model at 'missing'" in str(result.exception)


def test_a_refused_turn_loads_no_torch(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')", encoding="utf-8")
    for words in (["turn", "duell", "--actions", "go"], ["turn", "camp", "--actions", ","], ["log", "nowhere"]):
        ran = subprocess.run(
            [sys.executable, "-m", "agent_runtime.cli", *words],
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, ROOT)))},
        )
        assert ran.returncode == 2 and ran.stderr.startswith("hotseat: ") and ran.stderr.count("\n") == 1


def test_a_log_lists_turns_in_columns_and_counts_them(recording: Path) -> None:
    lines = printed("log", recording).splitlines()
    assert lines[0].split() == [
        "match",
        "session",
        "turn",
        "frame",
        "action",
        "p",
        "outcome",
        "ttft",
        "ms",
        "computed",
        "prompt",
    ]
    assert lines[1].split()[:4] == ["m", "s", "1", "1"] and " ok " in lines[1]
    assert "refused" in lines[2] and "stale_frame: " in lines[2]
    assert lines[-1] == "4 turns in 1 recording: 3 ok, 1 refused"


def test_a_log_as_json_is_one_object_a_line(recording: Path) -> None:
    turns = [json.loads(line) for line in printed("log", recording.parent, "--json", "--session", "s").splitlines()]
    assert [(turn["turn_id"], turn["outcome"]) for turn in turns] == [(1, "ok"), (2, "refused"), (3, "ok"), (4, "ok")]
    assert turns[0]["file"] == str(recording) and turns[0]["ttft_ms"] > 0
    assert printed("log", recording, "--json", "--session", "nobody") == ""


def test_one_bad_recording_in_a_folder_does_not_hide_the_others(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "match-a.jsonl").write_bytes(recording.read_bytes())
    (tmp_path / "match-b.jsonl").write_bytes(
        recording.read_bytes().replace(b'\\"observation\\":\\"A noise', b'\\"observation\\":\\"No noise')
    )
    result = CliRunner().invoke(app, ["log", str(tmp_path)])
    assert result.exit_code == 1 and "4 turns in 1 recording" in result.stdout
    assert "match-b.jsonl, line" in result.stderr and "was changed after it was written" in result.stderr
    assert "8 turns in 2 recordings" in printed("log", tmp_path, "--no-verify")


def test_a_log_of_a_recording_that_was_cut_lists_what_is_there_and_says_so(recording: Path, tmp_path: Path) -> None:
    cut = tmp_path / "match-a.jsonl"
    cut.write_bytes(recording.read_bytes()[:-20])
    for words in (["log", str(cut)], ["log", str(cut), "--json"]):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0 and "it was cut in its middle" in result.stderr
        assert result.stdout.count("refused") >= 1


def test_where_no_turn_is_listed_there_are_no_columns(recording: Path, tmp_path: Path) -> None:
    server = recording.parent / "server.jsonl"
    assert server.exists()
    result = CliRunner().invoke(app, ["log", str(server)])
    assert result.stdout == "" and isinstance(result.exception, NoRecordings)
    (tmp_path / "sessions.jsonl").write_bytes(server.read_bytes())
    result = CliRunner().invoke(app, ["log", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (1, "0 turns in 0 recordings\n")
    assert "sessions.jsonl is no recording of a match" in result.stderr


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("missing", "is not there"),
        ("empty", "holds no recording of a match"),
        ("s.json", "is not a recording"),
        ("newer.jsonl", "format version 99"),
    ],
)
def test_a_log_of_nothing_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str, says: str
) -> None:
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "newer.jsonl").write_text('{"format":"hotseat.recording","version":99}\n', encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["hotseat", "log", path])
    with pytest.raises(SystemExit):
        main()
    assert says in capsys.readouterr().err


def test_the_protocol_is_printed_whole_or_one_message(tmp_path: Path) -> None:
    whole = json.loads(printed("protocol"))
    assert whole["$id"] == "hotseat.v1" and "Turn" in whole["$defs"]
    one = json.loads(printed("protocol", "match.open"))
    assert one["$id"] == "hotseat.v1/match.open" and one["x-sender"] == "client"


def test_the_protocol_is_written_a_file_each(tmp_path: Path) -> None:
    said = printed("protocol", "--out", tmp_path / "schemas")
    assert said == f"24 messages of hotseat.v1 are in {tmp_path / 'schemas'}.\n"
    names = {file.stem for file in (tmp_path / "schemas").glob("*.json")}
    assert {"hotseat.v1", "turn", "turn.result", "match.state", "error"} <= names and len(names) == 25


def test_a_message_that_is_none_and_a_folder_that_is_a_file_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "There is no message named 'turn.reslt'. Did you mean 'turn.result'?" in refused(
        monkeypatch, capsys, "protocol", "turn.reslt"
    )
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(monkeypatch, capsys, "protocol", "--out", tmp_path / "file")


def test_doctor_prints_a_verdict_a_line(folder: Path, tiny: LoadedModel) -> None:
    words = ("doctor", "--quick", "--model", folder / "llama-0", "--port", "0", "--store", folder / "new-store")
    lines = printed(*words).splitlines()
    assert [line.split()[1] for line in lines] == ["packages", "device", "model", "cache", "store", "port", "games"]
    assert {line.split()[0] for line in lines} <= {"ok", "warn"}
    report = json.loads(printed(*words, "--json"))
    assert report["format"] == "hotseat.doctor" and report["verdict"] in ("ok", "warn")
    assert [finding["name"] for finding in report["findings"]] == [line.split()[1] for line in lines]


def test_doctor_exits_with_1_if_something_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = printed("doctor", "--quick", "--model", folder / "missing", "--port", "0", code=1)
    assert any(line.startswith("fail  model") for line in said.splitlines())
    warned = [Finding("port", Verdict.WARN, "Taken."), Finding("model", Verdict.OK, "There.")]
    monkeypatch.setattr(doctor, "examine", lambda **asked: iter(warned))
    assert printed("doctor", "--quick") == "warn  port      Taken.\nok    model     There.\n"


@pytest.mark.smollm
def test_doctor_measures_the_embedded_model() -> None:
    said = printed("doctor", "--port", "0")
    assert "ok    rates     The model encodes" in said


def test_turn_and_doctor_take_the_packages_adapter_or_none(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = bring(embed(tmp_path, monkeypatch))
    words = ("turn", "duel", "--games", folder / "games", "--actions", "hold,attack", "--pool-mib", 16, "--json")
    told = [json.loads(printed(*words, *more))["account"] for more in ((), ("--adapter", "none"))]
    assert [(each["mode"], each["block_tuned"]) for each in told] == [("star", True), ("prefix", False)]
    assert f"with the adapter in {tuned}" in printed("doctor", "--quick", "--port", "0")
    assert "not block-tuned" in printed("doctor", "--quick", "--port", "0", "--adapter", "none")
    (tuned / "adapter_model.safetensors").write_bytes(b"torn")
    with pytest.raises(BrokenModel, match=f"{re.escape(str(tuned))}.*--adapter none"):
        printed(*words)
