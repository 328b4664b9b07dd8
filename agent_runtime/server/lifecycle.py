"""Running the server: in the foreground until a signal comes, or on a thread of another program."""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

from agent_runtime.server.config import ServerConfig
from agent_runtime.server.recorder import Recorder
from agent_runtime.server.runtime import Runtime
from agent_runtime.server.shell import run_server


def print_address(url: str) -> None:
    """The one line that says the server is ready, for people and for programs that started it."""
    print(f"Hotseat listens on {url}", flush=True)


def serve(
    runtime: Runtime,
    config: ServerConfig,
    *,
    recorder: Recorder | None = None,
    ready: Callable[[str], None] = print_address,
    sockets: Sequence[socket.socket] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, drain within `config.drain_s`, close the runtime and return. On the main thread.

    A second signal acts as it did before. `sockets` are those of `binding.bound(config)`: who has to load a model first
    takes the address before that. Raises StartError when the server cannot be started.
    """

    async def until_signal() -> None:
        stop = asyncio.Event()
        with _on_signals(asyncio.get_running_loop(), stop.set):
            await run_server(runtime, config, stop=stop, ready=ready, recorder=recorder, sockets=sockets)

    asyncio.run(until_signal())


@contextmanager
def serve_in_background(runtime: Runtime, config: ServerConfig, *, recorder: Recorder | None = None) -> Iterator[str]:
    """A server on a thread of this process; the value is its URL. Leaving drains it and closes the runtime."""
    with run_in_background(
        "hotseat-server", lambda stop, ready: run_server(runtime, config, stop=stop, ready=ready, recorder=recorder)
    ) as url:
        yield url


@contextmanager
def run_in_background(
    name: str, run_until: Callable[[asyncio.Event, Callable[[str], None]], Coroutine[Any, Any, None]]
) -> Iterator[str]:
    """Run what serves until an event is set, and calls back with its URL, on a thread with an event loop of its own.

    The value is the URL. Leaving sets the event and waits for the end. Raises what was raised before the URL was there.
    """
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, str]] = Future()

    async def until_left() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def ready(url: str) -> None:
            started.set_result((loop, stop, url))

        await run_until(stop, ready)

    def run() -> None:
        try:
            asyncio.run(until_left())
            if not started.done():
                raise RuntimeError(f"{name} has ended before it was ready")
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    loop, stop, url = started.result()
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@contextmanager
def _on_signals(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> Iterator[None]:
    """Call on the first SIGINT, SIGTERM or (Windows) SIGBREAK; the next one acts as it did before."""
    names = ("SIGINT", "SIGTERM", "SIGBREAK")
    before = {number: signal.getsignal(number) for name in names if (number := getattr(signal, name, None)) is not None}

    def restore() -> None:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)

    def on_signal() -> None:
        restore()
        call()

    for number in before:
        try:
            loop.add_signal_handler(number, on_signal)
        except NotImplementedError:  # Windows, whose loop wakes up for signals by itself
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(on_signal))
    try:
        yield
    finally:
        restore()
