"""`hotseat demo`."""

from pathlib import Path
from typing import Annotated

import typer

from agent_runtime.commands.options import ModelOption


def demo(
    model: ModelOption = "embedded",
    folder: Annotated[Path | None, typer.Option(help="A new folder to keep store and recordings in.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Fewer hands, fewer blocks, fewer turns.")] = False,
) -> None:
    """Watch agents play over a real WebSocket, a killed server resume from disk, and all modes side by side."""
    from agent_runtime.demo import DemoOptions, run_demo
    from agent_runtime.demo.screen import Screen

    run_demo(DemoOptions.fast(model, folder) if fast else DemoOptions(model, folder), Screen())
