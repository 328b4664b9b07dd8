"""What `hotseat replay` prints when it plays over the wire: against a server that runs, or one of its own."""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent_runtime.adapter_choice import Adapter, adapter_arguments
from agent_runtime.commands.options import say_that_it_loads
from agent_runtime.commands.replay_output import Wanted, deliver
from agent_runtime.demo.server import ServerProcess
from agent_runtime.replay.load.options import LoadOptions, Server
from agent_runtime.replay.load.replay import INTERRUPTED, replay_against
from agent_runtime.replay.recording_format import read_recording
from agent_runtime.turn import Mode

# A first start unpacks the embedded model, and machines are slow.
_START_S = 300.0
# Drawing takes time of whoever is measured.
_TELL_EVERY_S = 1.0
_ENDED_EARLY, _INTERRUPTED = 2, 130


def recorded_mode(recording: Path, verify: bool) -> tuple[Mode, ...]:
    """Return the mode that a recording was made in, nothing if it does not say. Raises what reading it raises."""
    modes = (part.header.mode for part in read_recording(recording, verify=verify).parts)
    return tuple(Mode(mode) for mode in modes if mode in tuple(Mode))[:1]


def print_load(recording: Path, server: Server, options: LoadOptions, wanted: Wanted, verify: bool) -> int:
    """Play a recording against a server and deliver the report; returns the exit code."""
    report = replay_against(recording, server, options, _Teller().tell, verify=verify)
    fine = deliver(report, wanted) if report.modes else False  # with nothing measured there is nothing to show
    if report.ended is None:
        return 0 if fine else 1
    print(f"hotseat: {report.ended}", file=sys.stderr)
    return _INTERRUPTED if report.ended == INTERRUPTED else _ENDED_EARLY


@contextmanager
def own_server(model: str, adapter: Adapter, games: Sequence[Path], pool_mib: int) -> Iterator[Server]:
    """A server for this run alone, in a process of its own: in this one, both would wait for one interpreter.

    Raises ServerEnded and ServerSilent.
    """
    arguments: list[object] = ["--model", model, *adapter_arguments(adapter), "--pool-mib", pool_mib, "--port", 0]
    for folder in games:
        arguments += ["--games", folder.absolute()]
    say_that_it_loads()
    with tempfile.TemporaryDirectory(prefix="hotseat-replay-", ignore_cleanup_errors=True) as home:
        with ServerProcess([str(each) for each in arguments], Path(home) / "server.log", start_s=_START_S) as process:
            yield Server(process.start(), is_own=True)


class _Teller:
    """Says on one line how far a run has come, seldom."""

    def __init__(self) -> None:
        self._told_at = 0.0

    def tell(self, done: int, turns: int) -> None:
        if not sys.stderr.isatty() or (time.monotonic() < self._told_at + _TELL_EVERY_S and done < turns):
            return
        self._told_at = time.monotonic()
        print(f"\r{done} of {turns} turns", end="" if done < turns else "\r\x1b[K", file=sys.stderr, flush=True)
