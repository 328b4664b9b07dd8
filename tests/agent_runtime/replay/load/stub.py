"""A server that is none: it speaks the protocol, decides at once or when it is told to, and remembers what it heard."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from agent_runtime.replay.recording_format import FORMAT, VERSION, seal
from agent_runtime.server.config import Limits
from agent_runtime.turn import Account, Mode

Message = dict[str, Any]
ANSWERS = {
    "match.open": "match.opened",
    "match.state": "match.applied",
    "match.close": "match.closed",
    "session.open": "session.opened",
    "session.close": "session.closed",
    "block.put": "block.ready",
    "turn": "turn.result",
    "turn.applied": "turn.noted",
}
PATIENCE_S = 20.0
_READY = {"tokens": 9, "encoded": 9, "loaded": 0, "shared": 0, "ms": 0.1}
_APPLIED = {"added": [], "replaced": [], "removed": []}


@dataclass
class Stub:
    """`answers` returns what a message is answered with: several messages, none, or None to end the connection.

    `heard` are the messages in their order, without those that every connection begins with.
    """

    answers: Callable[["Stub", Message], list[Message] | None] = lambda stub, message: [stub.answer(message)]
    heard: list[Message] = field(default_factory=list)
    remembers: bool = True
    account: Account | None = field(default_factory=lambda: Account(Mode.STAR, "tiny", False, tokens_prompt=90))
    num_connections: int = 0
    url: str = ""
    say: Callable[[list[Message]], None] = lambda messages: None

    def answer(self, message: Message, **fields: Any) -> Message:
        """The friendliest answer to a message."""
        kind = message["type"]
        known: Message = {"type": ANSWERS[kind], "reply_to": message["id"]}
        known |= {name: message[name] for name in ("match", "session", "turn_id", "frame", "name") if name in message}
        if kind == "match.open":
            mode = message["mode"] if message.get("mode", "auto") != "auto" else "prefix"
            known |= {"game": message["game"], "model": "tiny", "block_tuned": False, "mode": mode, "resumed": False}
        elif kind == "match.state":
            known |= _APPLIED
        elif kind == "session.open":
            known |= {"type": "session.ready", **_READY}
        elif kind == "block.put":
            known |= _READY
        elif kind == "turn":
            known |= {"outcome": "ok", "action": {"id": message["actions"][0]["id"]}}
            known |= {"account": _plain(self.account)} if self.account else {}
        elif kind == "turn.applied":
            known |= {"what": "applied"}
        return {**known, **fields}

    def error(self, message: Message, code: str = "bad_state", sentence: str = "No.") -> Message:
        """A refusal."""
        return {"type": "error", "reply_to": message["id"], "code": code, "message": sentence, "retryable": False}

    def kinds(self) -> list[str]:
        """The types of what was heard."""
        return [message["type"] for message in self.heard]

    def of_type(self, kind: str) -> list[Message]:
        """What was heard of one type."""
        return [message for message in self.heard if message["type"] == kind]


def _plain(account: Account) -> Message:
    return {name: getattr(account, name) for name in ("mode", "model", "block_tuned", "tokens_prompt", "ttft_ms")}


@contextmanager
def running(stub: Stub) -> Iterator[Stub]:
    """Serve the stub on a thread."""
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, str]] = Future()

    async def handle(socket: ServerConnection) -> None:
        loop = asyncio.get_running_loop()
        stub.num_connections += 1

        def say(messages: list[Message]) -> None:
            for each in messages:
                asyncio.run_coroutine_threadsafe(_send(socket, each), loop)

        stub.say = say
        try:
            async for text in socket:
                message = json.loads(text)
                if message["type"] == "hello":
                    await _send(socket, welcome(message))
                    continue
                if stub.remembers:
                    stub.heard.append(message)
                answers = stub.answers(stub, message)
                if answers is None:
                    await socket.close(1011, "the stub has had enough")
                    return
                for answer in answers:
                    await _send(socket, answer)
        except ConnectionClosed:
            pass

    async def main() -> None:
        stop = asyncio.Event()
        async with serve(handle, "127.0.0.1", 0, subprotocols=[Subprotocol("hotseat.v1")], compression=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            started.set_result((asyncio.get_running_loop(), stop, f"ws://127.0.0.1:{port}"))
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    loop, stop, stub.url = started.result(PATIENCE_S)
    try:
        yield stub
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)


async def _send(socket: ServerConnection, message: Message) -> None:
    await socket.send(json.dumps(message))


def welcome(hello: Message) -> Message:
    limits = Limits().model_dump()
    models = [{"name": "tiny", "block_tuned": False}]
    told = {
        "protocol": "hotseat.v1",
        "server": "stub 1",
        "limits": limits,
        "models": models,
        "games": [{"name": "duel"}],
    }
    return {"type": "welcome", "reply_to": hello["id"], **told}


OPEN: Message = {"type": "match.open", "id": 1, "match": "m", "game": "duel", "mode": "star"}
STATE: Message = {"type": "match.state", "id": 2, "match": "m", "frame": 1, "state": {"clock": 1}}
SESSION: Message = {"type": "session.open", "id": 3, "session": "s", "match": "m", "persona": "guard"}


def turn(turn_id: int, **fields: Any) -> Message:
    told = {"frame": 1, "observation": "A noise.", "actions": [{"id": "hold"}, {"id": "go"}]}
    return {"type": "turn", "id": f"t{turn_id}", "session": "s", "turn_id": turn_id, **told, **fields}


def result(turn_id: int, action: str = "hold") -> Message:
    return {"type": "turn.result", "session": "s", "turn_id": turn_id, "outcome": "ok", "action": {"id": action}}


def applied(turn_id: int, **fields: Any) -> Message:
    return {"type": "turn.applied", "id": f"a{turn_id}", "session": "s", "turn_id": turn_id, "ok": True, **fields}


def match_of(num_turns: int, **fields: Any) -> list[Message]:
    """A match of that many turns, each answered and applied before the next."""
    messages = [OPEN, STATE, SESSION]
    for number in range(1, num_turns + 1):
        messages += [turn(number, **fields), result(number), applied(number)]
    return messages


def record(file: Path, messages: list[Message], *, gap_ms: float = 0.0, header: Message | None = None) -> Path:
    """A recording of messages, `gap_ms` from one line to the next; who sent a message follows from its type."""
    told = {"format": FORMAT, "version": VERSION, "created": "now", "protocol": "hotseat.v1", "server": "x"}
    with file.open("wb") as out:
        out.write(seal({**told, "match": "m", "game": "duel", "mode": "star", **(header or {})}))
        for seq, message in enumerate(messages, 1):
            direction = "s2c" if message["type"] in ("turn.result", "error") else "c2s"
            line = {"t_ns": int(seq * gap_ms * 1e6), "seq": seq, "dir": direction, "conn": "c1"}
            out.write(seal({**line, "kind": message["type"], "payload": json.dumps(message)}))
    return file
