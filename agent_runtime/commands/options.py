"""Options that several commands share, and what they say while they load."""

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from agent_runtime.adapter_choice import Adapter, AdapterChoice, adapter_named
from agent_runtime.errors import CannotWrite
from agent_runtime.turn import Mode


def import_from_here() -> None:
    """Let `module:Class` name a module in the current folder, as `python -m` would."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())


def _games_folder(said: str) -> Path:
    """Return what `--games` names: a folder, or that of a class (module:Class)."""
    if Path(said).exists() or not re.fullmatch(r"[\w.]+:[\w.]+", said):
        return Path(said)
    import_from_here()
    from game_adapters.registry import game_folder

    return game_folder(said)


def installed_games(tell: Callable[[str], None]) -> tuple[Path, ...]:
    """Return the game folders of installed packages; `tell` hears of those that are broken."""
    if not entry_points(group="hotseat.games"):
        return ()
    from game_adapters.registry import installed_folders

    folders = []
    for name, folder in installed_folders():
        if isinstance(folder, Path):
            folders.append(folder)
        else:
            tell(f"The installed game {name!r} is left out: {folder}")
    return tuple(folders)


def game_options(said: Sequence[str] | None) -> dict[str, Any]:
    """Return the options of a game that `--option` gives: NAME=VALUE, a value that reads as JSON taken for that."""
    options: dict[str, Any] = {}
    for each in said or ():
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{each!r} is not of the form NAME=VALUE", param_hint="--option")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


GamesOption = Annotated[
    list[Path] | None,
    typer.Option(
        parser=_games_folder,
        metavar="FOLDER|MODULE:CLASS",
        help="A folder of game folders, or a game's class; may be given again.",
    ),
]
GameArgument = Annotated[str, typer.Argument(help="A name that `hotseat games` lists, or module:Class.")]
GameOptions = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="An option of the game, as its make_env takes it; may be given again."),
]
ModelOption = Annotated[str, typer.Option(help="embedded, a model folder, a GGUF file, or a hub name.")]
AdapterOption = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|none|packaged",
        help="A LoRA folder, merged into the weights (one called none is ./none); none for the bare weights. Default: "
        "the package's own for the embedded model, if it brings one.",
    ),
]
CountedAdapterOption = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|none|packaged",
        help="The LoRA folder that the model is served with: its card may put tokens before every block. Default: "
        "the package's own for the embedded model, if it brings one.",
    ),
]
PoolOption = Annotated[
    int, typer.Option(min=1, help="Memory for keys and values, in MiB; on a CPU up to a quarter more.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def counted_adapter(model: str, said: str | None) -> Adapter:
    """Return the adapter of a command that counts tokens. Raises BadParameter if they are estimated, for no model."""
    adapter = adapter_named(said)
    if model == "none" and adapter not in (AdapterChoice.DEFAULT, AdapterChoice.NONE):
        raise typer.BadParameter("with --model none there is no model that it could belong to", param_hint="--adapter")
    return adapter


def require_folders_of(*files: Path | None) -> None:
    """Refuse, before anything is done for them, files that no folder is there for. Raises CannotWrite."""
    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise CannotWrite(file, "there is no such folder")


def say(sentence: str) -> None:
    """Print a sentence for the person at the terminal, where it mixes with no result."""
    print(sentence, file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Return a text as far as the terminal can show it."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


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
