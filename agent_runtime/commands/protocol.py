"""`hotseat protocol`."""

from pathlib import Path
from typing import Annotated

import typer


def protocol(
    message: Annotated[str | None, typer.Argument(help="One message, as match.open; default: all of them.")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder to write a file into for each message.")] = None,
) -> None:
    """Print the JSON Schemas of every message of hotseat.v1, from clients and from servers."""
    from agent_runtime.commands.protocol_output import print_protocol

    print_protocol(message, out)
