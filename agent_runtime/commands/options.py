"""Options that several commands share, and what they say while they load."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from agent_runtime.turn import Mode

ModelOption = Annotated[str, typer.Option(help="embedded, a model folder, a GGUF file, or a hub name.")]
AdapterOption = Annotated[Path | None, typer.Option(help="A LoRA folder, merged into the weights.")]
PoolOption = Annotated[int, typer.Option(min=1, help="Memory for keys and values, in MiB.")]
GamesOption = Annotated[list[Path] | None, typer.Option(help="A folder of game folders; may be given again.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def say(sentence: str) -> None:
    """Print a sentence for the person at the terminal, where it mixes with no result."""
    print(sentence, file=sys.stderr, flush=True)


def say_that_it_loads() -> None:
    """Loading is slow and says nothing; only at a terminal may it draw bars."""
    print("Loading the model: 5 to 20 seconds for the embedded one, a minute at its first start.", file=sys.stderr)
    if not sys.stderr.isatty():
        from transformers.utils import logging

        logging.disable_progress_bar()


def mode_or_auto(name: str) -> Mode | Literal["auto"]:
    """Return the mode that `--mode` names."""
    if name == "auto":
        return "auto"
    if name in tuple(Mode):
        return Mode(name)
    raise typer.BadParameter(f"{name!r} is none of auto, {', '.join(Mode)}", param_hint="--mode")


def modes_of(names: list[str]) -> tuple[Mode, ...]:
    """Return the modes that `--mode` lists, separated by commas or given again."""
    listed = [name.strip() for each in names for name in each.split(",")]
    if unknown := [name for name in listed if name not in tuple(Mode)]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(Mode)}", param_hint="--mode")
    return tuple(map(Mode, listed))
