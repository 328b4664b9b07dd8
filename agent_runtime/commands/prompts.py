"""`hotseat prompts`."""

from pathlib import Path
from typing import Annotated

import typer

from agent_runtime.commands.options import (
    CountedAdapterOption,
    GamesOption,
    JsonOption,
    counted_adapter,
    import_from_here,
)

prompts_app = typer.Typer(no_args_is_help=True, help="Look at a game's prompts before any model does.")


@prompts_app.callback()
def _prompts() -> None:
    """Keep `check` a word of its own although it is the only command here."""


@prompts_app.command("check")
def prompts_check(
    game: Annotated[str, typer.Argument(help="A game's name, its folder, or module:Class.")],
    states: Annotated[
        Path,
        typer.Argument(
            help='One JSON state a line, or {"patch": [...]} of the one before; or a recording of --record.'
        ),
    ],
    games: GamesOption = None,
    sight: Annotated[
        list[str] | None, typer.Option(help="What a session may see, as in session.open; may be given again.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Whose tokenizer counts: embedded, a model folder, a GGUF file; none estimates.")
    ] = "embedded",
    adapter: CountedAdapterOption = None,
    html: Annotated[Path | None, typer.Option(help="Write a page that shows every block in every frame.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a game's rules cut its states into blocks, what changes with each frame, and what to write better."""
    from agent_runtime.commands.prompts_output import print_prompts

    import_from_here()
    print_prompts(
        game, states, tuple(games or ()), tuple(sight or ()), model, counted_adapter(model, adapter), html, as_json
    )
