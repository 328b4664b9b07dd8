"""What `hotseat protocol` prints and writes."""

import json
from pathlib import Path

from agent_runtime.errors import CannotWrite, named
from agent_runtime.server.messages import PROTOCOL, message_schemas, protocol_schema
from agent_runtime.turn import Json


def print_protocol(message: str | None, out: Path | None) -> None:
    """Print the schema of one message or of all, or write each into a file. Raises UnknownName and CannotWrite."""
    every = message_schemas()
    if message is not None:
        every = {message: named("message", message, every)}
    if out is None:
        print(_text(every[message] if message is not None else protocol_schema()))
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        if message is None:
            _write(out / f"{PROTOCOL}.json", protocol_schema())
        for name, schema in every.items():
            _write(out / f"{name}.json", schema)
    except OSError as error:
        raise CannotWrite(out, error.strerror or str(error)) from error
    print(f"{len(every)} messages of {PROTOCOL} are in {out}.")


def _write(file: Path, schema: Json) -> None:
    file.write_text(_text(schema) + "\n", encoding="utf-8")


def _text(schema: Json) -> str:
    return json.dumps(schema, indent=1)
