"""`hotseat demo`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from agent_runtime.adapter_choice import adapter_named
from agent_runtime.commands.options import AdapterOption, ModelOption


def demo(
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    folder: Annotated[Path | None, typer.Option(help="A new folder to keep store and recordings in.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Fewer hands, fewer blocks, fewer turns.")] = False,
) -> None:
    """Watch agents play over a real WebSocket, a killed server resume from disk, and all modes side by side."""
    from agent_runtime.demo import DemoOptions, run_demo
    from agent_runtime.demo.screen import Screen

    options = DemoOptions.fast(model, folder) if fast else DemoOptions(model, folder)
    run_demo(replace(options, adapter=adapter_named(adapter)), Screen())
