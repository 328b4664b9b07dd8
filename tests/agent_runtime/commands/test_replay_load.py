"""`hotseat replay` over the wire: what it prints, and how it ends when the other end does."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agent_runtime.cli import app
from agent_runtime.replay.errors import LacksGame
from agent_runtime.replay.load.errors import BadPace, LacksName, NoServer
from tests.agent_runtime.replay.duel import NUM_TURNS, record_duel
from tests.agent_runtime.replay.load.stub import PATIENCE_S, Message, Stub, match_of, record, running
from tests.agent_runtime.worlds import load_tiny, write_game
from tests.readme import ROOT

START_S = 60.0


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return record(tmp_path / "m.jsonl", match_of(3, deadline_ms=60_000.0), gap_ms=1)


@pytest.fixture
def stub() -> Iterator[Stub]:
    with running(Stub()) as stub:
        yield stub


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["replay", *map(str, arguments)])


def test_a_replay_over_the_wire_takes_the_recorded_mode_and_is_reported_like_any_other(
    recording: Path, stub: Stub, tmp_path: Path
) -> None:
    ran = run(recording, "--url", stub.url, "--json", "--html", tmp_path / "a.html")
    assert ran.exit_code == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert [(mode["label"], mode["turns"], mode["deadline_miss_rate"]) for mode in told["modes"]] == [("star", 3, 0)]
    assert told["modes"][0]["traffic"]["asked"] == 3 and len(told["turns"]) == 3
    assert (told["settings"]["url"], told["settings"]["pace"]) == (stub.url, "closed")
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_load_is_printed_as_a_table_within_100_columns(recording: Path, stub: Stub) -> None:
    options = ("--pace", "2", "--copies", "4", "--connections", "2", "--deadline-ms", "5000")
    ran = run("load", recording, "--url", stub.url, *options)
    assert ran.exit_code == 0 and "12 turns" in ran.stdout and "a second" in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 100
    assert len(stub.of_type("match.open")) == 4 and stub.of_type("turn")[0]["deadline_ms"] == 5000


def test_load_goes_at_the_recorded_pace_and_copies_share_blocks_only_if_told(recording: Path, stub: Stub) -> None:
    told = json.loads(run("load", recording, "--url", stub.url, "--copies", "2", "--json").stdout)
    assert (told["settings"]["pace"], told["settings"]["shared_blocks"]) == (1.0, False)
    assert "Every copy had a cache_salt of its own" in " ".join(told["warnings"])
    salts = {message["cache_salt"] for message in stub.of_type("match.open")}
    assert len(salts) == 2
    stub.heard.clear()
    told = json.loads(run("load", recording, "--url", stub.url, "--copies", "2", "--shared-blocks", "--json").stdout)
    assert told["settings"]["shared_blocks"] is True and "share its blocks" in " ".join(told["warnings"])
    assert all("cache_salt" not in message for message in stub.of_type("match.open"))


def test_the_options_are_those_that_are_needed_and_no_more() -> None:
    commands = typer.main.get_command(app).commands["replay"].commands  # type: ignore[attr-defined]
    both = {"mode", "model", "adapter", "games", "pool_mib", "url", "token", "deadline_ms", "verify"}
    both |= {"fail_if", "out", "html", "as_json", "recording"}
    names = {name: {each.name for each in commands[name].params} for name in ("run", "load")}
    assert names["run"] == both | {"store", "seed", "turns"}
    assert names["load"] == both | {"pace", "copies", "connections", "shared_blocks"}
    assert not any(len(each) > 18 for each in names.values())


def test_conditions_on_what_went_over_the_wire_decide_how_it_ends(recording: Path, stub: Stub) -> None:
    assert run(recording, "--url", stub.url, "--fail-if", "star.unanswered>0").exit_code == 0
    ran = run(recording, "--url", stub.url, "--fail-if", "turns_per_s>0")
    assert ran.exit_code == 1 and "star.turns_per_s is" in ran.stderr


def test_modes_can_be_named(recording: Path, stub: Stub) -> None:
    told = json.loads(run(recording, "--url", stub.url, "--mode", "full,star", "--json").stdout)
    assert [mode["label"] for mode in told["modes"]] == ["full", "star"]
    assert set(told["modes"][1]["ratios"]) == {"full"}


@pytest.mark.parametrize(
    "option", [("--games", "."), ("--pool-mib", "64"), ("--adapter", "."), ("--store", "warm")], ids=str
)
def test_what_a_running_server_has_chosen_already_is_refused(
    recording: Path, stub: Stub, option: tuple[str, str]
) -> None:
    ran = run(recording, "--url", stub.url, *option)
    assert ran.exit_code == 2 and option[0] in ran.stderr and "server" in ran.stderr
    assert stub.heard == []


def test_a_token_goes_where_the_server_wants_it(recording: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTSEAT_TOKEN", "a token of some length")
    assert run(recording, "--url", stub.url).exit_code == 0


def test_what_cannot_begin_is_a_typed_error(recording: Path, stub: Stub) -> None:
    for options, error in ((("--pace", "fast"), BadPace), (("--model", "big"), LacksName)):
        assert isinstance(run("load", recording, "--url", stub.url, *options).exception, error)
    assert isinstance(run(recording, "--url", "ws://127.0.0.1:1").exception, NoServer)


def environment(*paths: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*paths, ROOT))), "PYTHONUTF8": "1"}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "agent_runtime.cli", "replay", *map(str, arguments)]


def test_a_refusal_is_one_sentence_and_neither_it_nor_a_replay_loads_torch(
    recording: Path, stub: Stub, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')", encoding="utf-8")
    for url, exit_code in (("ws://127.0.0.1:1", 2), (stub.url, 0)):
        ran = subprocess.run(
            command(recording, "--url", url),
            capture_output=True,
            encoding="utf-8",
            timeout=START_S,
            env=environment(tmp_path),
        )
        assert ran.returncode == exit_code, ran.stderr
        assert (ran.stderr.count("\n"), bool(ran.stdout)) == ((1, False) if exit_code else (0, True))


def test_a_server_that_dies_is_named_and_what_was_measured_is_printed(recording: Path, stub: Stub) -> None:
    def answers(stub: Stub, message: Message) -> list[Message] | None:
        return None if message.get("turn_id") == 3 else [stub.answer(message)]

    stub.answers = answers
    ran = run(recording, "--url", stub.url)
    assert ran.exit_code == 2
    assert "duel: 2 turns" in ran.stdout and "not played to its end" in ran.stdout
    assert re.search(r"^hotseat: The server at .* ended the connection with code 1011", ran.stderr, re.MULTILINE)


def test_a_server_that_dies_at_once_leaves_nothing_to_print(recording: Path, stub: Stub) -> None:
    stub.answers = lambda stub, message: None
    ran = run(recording, "--url", stub.url, "--fail-if", "ttft_mean_ms>1")
    assert (ran.exit_code, ran.stdout) == (2, "") and "ended the connection" in ran.stderr


def test_ctrl_c_closes_the_matches_and_prints_what_there_is(recording: Path, stub: Stub) -> None:
    waits = threading.Event()

    def answers(stub: Stub, message: Message) -> list[Message]:
        if message.get("turn_id") == 2:
            waits.set()
            return []
        return [stub.answer(message)]

    stub.answers = answers
    process = subprocess.Popen(
        command(recording, "--url", stub.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(),
    )
    try:
        assert waits.wait(START_S)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 130, error
    assert "duel: 1 turns" in out and "not played to its end: It was interrupted." in out
    assert error == "hotseat: It was interrupted.\n"
    assert stub.kinds()[-1] == "match.close"


def test_without_a_url_load_is_put_on_a_server_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOTSEAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HOTSEAT_TOKEN", "a token of some length")
    games = write_game(tmp_path / "games")
    recording = record_duel(tmp_path / "recordings", games, load_tiny(tmp_path))
    common = ("--model", tmp_path / "llama-0", "--games", games, "--pool-mib", 16)
    assert isinstance(run("load", recording, *common[:2]).exception, LacksGame), "said before a model is loaded"
    ran = run("load", recording, *common, "--pace", "5", "--copies", "2", "--json")
    assert ran.exit_code == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert (told["modes"][0]["label"], told["modes"][0]["turns"]) == ("star", 2 * NUM_TURNS)
    assert told["modes"][0]["outcomes"] == {"ok": 2 * NUM_TURNS}
