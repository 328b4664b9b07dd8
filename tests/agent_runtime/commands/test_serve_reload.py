"""`hotseat serve --reload` as a process: what a designer edits is in the next turn, what is broken is told once."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from agent_runtime.replay.recording_format import read_recording
from agent_runtime.server import Client
from agent_runtime.turn import Outcome
from tests.agent_runtime.worlds import ACTIONS, GAME, load_tiny, state, write_game
from tests.game_adapters.installed import write_folder

_PATIENCE_S = 60.0


class Server:
    """A server process, and the lines that it says."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: queue.Queue[str] = queue.Queue()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            threading.Thread(target=self._hear, args=(stream,), daemon=True).start()

    def _hear(self, stream: IO[str]) -> None:
        for line in stream:
            self.lines.put(line)

    def says(self, words: str) -> str:
        """The next line with these words."""
        while words not in (line := self.lines.get(timeout=_PATIENCE_S)):
            pass
        return line


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    load_tiny(tmp_path)
    write_game(tmp_path / "games")
    words = [
        "serve",
        "--model",
        str(tmp_path / "llama-0"),
        "--games",
        str(tmp_path / "games"),
        "--port",
        "0",
        "--reload",
        "--record",
        str(tmp_path / "recordings"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "agent_runtime.cli", *words, "--mode", "star", "--pool-mib", "16"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "HOTSEAT_CACHE": str(tmp_path / "cache")},
    )
    try:
        yield Server(process)
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def test_an_edit_is_in_the_next_turn_and_a_broken_one_is_told_once(server: Server, tmp_path: Path) -> None:
    edited = tmp_path / "games" / GAME / "rules.md"
    url = server.says("listens on").split()[-1]
    with Client(url, timeout_s=_PATIENCE_S) as client:
        client.open_match("m", GAME)
        client.put_state("m", 1, state=state())
        client.open_session("s", "m")
        client.wait_ready("s")
        assert changed(client, 1) == set()
        edited.write_text("Answer with one of the listed actions, at once.\n", encoding="utf-8")
        assert "1 block changed (duel/rules)" in server.says("read anew (rules.md)")
        assert changed(client, 2) == {"duel/rules"}
        edited.write_text("", encoding="utf-8")
        assert "rules.md:1: this file is empty" in server.says("stays as it was")
        assert changed(client, 3) == set()
        edited.write_text("Answer.\n", encoding="utf-8")
        assert "duel/rules" in server.says("duel")  # and not the complaint once more
        assert changed(client, 4) == {"duel/rules"}
        client.close_match("m")
        write_folder(tmp_path / "games" / "harbour", "The harbour")
        assert "matches of it can be opened" in server.says("Game 'harbour' is new")
        assert client.open_match("h", "harbour").game == "harbour"
    [file] = (tmp_path / "recordings").glob("match-m-*.jsonl")
    [part] = read_recording(file).parts
    assert part.header.digests is not None and len(part.later_digests) == 2
    rules = [digests["game/rules.md"] for digests in (part.header.digests, *part.later_digests)]
    assert len(set(rules)) == 3


def changed(client: Client, turn_id: int) -> set[str]:
    """The blocks that a turn had to encode."""
    result = client.turn("s", turn_id, frame=1, observation="A noise.", actions=ACTIONS)
    assert result.outcome is Outcome.OK and result.account is not None
    return {use.name for use in result.account.changed}
