"""`hotseat play`."""

from pathlib import Path
from typing import Annotated

import typer

from agent_runtime.adapter_choice import adapter_named
from agent_runtime.commands.options import (
    AdapterOption,
    GameArgument,
    GameOptions,
    GamesOption,
    JsonOption,
    ModelOption,
    PoolOption,
    game_options,
    import_from_here,
    mode_or_auto,
    say_that_it_loads,
)


def play(
    game: GameArgument,
    seed: Annotated[int, typer.Option(help="Makes the game, and draws the actions.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps (default: at the end).")] = None,
    option: GameOptions = None,
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    mode: Annotated[str, typer.Option(help="auto, star, anchored, full, prefix.")] = "auto",
    persona: Annotated[
        list[str] | None, typer.Option(help="NAME for all agents, or AGENT=NAME for one; may be given again.")
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="Take the likeliest action instead of drawing one.")] = False,
    temperature: Annotated[float, typer.Option(min=0.01, help="Above 1 flattens what actions are drawn by.")] = 1.0,
    history: Annotated[
        int | None, typer.Option(min=0, help="Turns each agent remembers (default: the game's).")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Record the game into this folder, for hotseat replay.")] = None,
    games: GamesOption = None,
    pool_mib: PoolOption = 1024,
    as_json: JsonOption = False,
) -> None:
    """Watch agents play a game in this process: no server. --json prints a line of JSON a turn."""
    from agent_runtime.commands.play_output import Sitting, print_game
    from game_adapters import load_adapter, make_env

    sitting = Sitting(
        adapter=adapter_named(adapter),
        seed=seed,
        mode=mode_or_auto(mode),
        how="best" if best else "sample",
        temperature=temperature,
        personas=_personas(persona or []),
        history_turns=history,
        games=tuple(games or ()),
        pool_mib=pool_mib,
        record=record,
    )
    import_from_here()
    # Before the model is loaded: a refusal should not take half a minute.
    game_adapter, env = load_adapter(game), make_env(game, seed, **game_options(option))
    say_that_it_loads()
    print_game(game_adapter, env, model, sitting, steps, as_json)


def _personas(said: list[str]) -> str | dict[str, str] | None:
    named = [each.partition("=") for each in said]
    everybodys = [name for name, separator, _ in named if not separator]
    if everybodys and len(said) > 1:
        raise typer.BadParameter("give one NAME for all agents, or AGENT=NAME for each", param_hint="--persona")
    return everybodys[0] if everybodys else {agent: name for agent, _, name in named} or None
