"""A recording that is written, and played against a stub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent_runtime.replay.load.options import LoadOptions, Server
from agent_runtime.replay.load.play import Played, play
from agent_runtime.replay.load.script import Script, written_script
from agent_runtime.replay.recording_format import read_recording
from tests.agent_runtime.replay.load.stub import (
    Message,
    Stub,
    record,
    running,
)


@contextmanager
def script_of(file: Path, messages: list[Message], *, gap_ms: float = 1.0) -> Iterator[Script]:
    with written_script(read_recording(record(file, messages, gap_ms=gap_ms))) as script:
        yield script


def run(file: Path, stub: Stub, messages: list[Message], options: LoadOptions, *, gap_ms: float = 1.0) -> Played:
    with script_of(file, messages, gap_ms=gap_ms) as script, running(stub):
        return play(script, Server(stub.url), options)
