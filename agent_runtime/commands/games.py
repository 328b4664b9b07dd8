"""`hotseat games`."""

from typing import Annotated

import typer

from agent_runtime.commands.options import (
    CountedAdapterOption,
    GameArgument,
    GameOptions,
    JsonOption,
    counted_adapter,
    game_options,
    import_from_here,
)

games_app = typer.Typer(help="List the games that have a name; check one.")


@games_app.callback(invoke_without_command=True)
def games(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the games that have a name: ours, and those of installed packages (entry points `hotseat.games`)."""
    if context.invoked_subcommand is None:
        from agent_runtime.commands.games_output import print_games

        print_games(as_json)


@games_app.command("check")
def games_check(
    game: GameArgument,
    option: GameOptions = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many games are played, under seeds 0, 1, ...")] = 3,
    turns: Annotated[int, typer.Option(min=1, help="About how many turns of each.")] = 60,
    model: Annotated[
        str, typer.Option(help="Whose tokenizer counts: embedded, a model folder, a GGUF file; none estimates.")
    ] = "embedded",
    adapter: CountedAdapterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play random games and check what the runtime and its players rely on. Exit code 1 if anything is wrong."""
    from agent_runtime.commands.games_output import print_check

    import_from_here()
    is_well = print_check(
        game, game_options(option), range(seeds), turns, model, counted_adapter(model, adapter), as_json
    )
    raise typer.Exit(0 if is_well else 1)
