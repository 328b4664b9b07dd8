"""`hotseat turn`."""

from pathlib import Path
from typing import Annotated

import typer

from agent_runtime.adapter_choice import adapter_named
from agent_runtime.commands.options import (
    AdapterOption,
    GamesOption,
    JsonOption,
    ModelOption,
    PoolOption,
    import_from_here,
    mode_or_auto,
    say_that_it_loads,
)


def turn(
    game: Annotated[str, typer.Argument(help="A game's name, its folder, or module:Class.")],
    actions: Annotated[
        list[str], typer.Option(help="The legal actions, between commas; or a JSON array, as in a turn.")
    ],
    state: Annotated[Path | None, typer.Option(help="A file with the state, as JSON; default: an empty one.")] = None,
    observation: Annotated[str, typer.Option(help="What the agent is told now.")] = "",
    persona: Annotated[str | None, typer.Option(help="One of the game's personas.")] = None,
    sight: Annotated[list[str] | None, typer.Option(help="What the agent may see; may be given again.")] = None,
    games: GamesOption = None,
    mode: Annotated[str, typer.Option(help="auto, star, anchored, full, prefix.")] = "auto",
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    pool_mib: PoolOption = 1024,
    texts: Annotated[bool, typer.Option("--texts", help="Print every block as the model reads it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask one turn of one state: the action, the probability of every other, and the prompt, block by block."""
    from agent_runtime.designer.games import game_folder
    from agent_runtime.first_look.question import read_question
    from prompts import load_game

    import_from_here()
    question = read_question(
        load_game(game_folder(game, games or ())),
        state,
        actions,
        observation=observation,
        persona=persona,
        sight=sight or (),
        mode=mode_or_auto(mode),
    )
    # Only now: a refusal should not take half a minute.
    from agent_runtime.commands.turn_output import print_turn

    say_that_it_loads()
    if not print_turn(question, model, adapter_named(adapter), pool_mib, texts, as_json):
        raise typer.Exit(1)
