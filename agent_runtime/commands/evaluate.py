"""`hotseat evaluate`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent_runtime.adapter_choice import adapter_named
from agent_runtime.commands.options import (
    AdapterOption,
    GameOptions,
    JsonOption,
    ModelOption,
    PoolOption,
    game_options,
    import_from_here,
    require_folders_of,
    say_that_it_loads,
)

if TYPE_CHECKING:
    from agent_runtime.tuning.evaluating.conditions import Condition

_HELD_OUT = "held-out"


def evaluate(
    samples: Annotated[
        list[Path] | None, typer.Argument(exists=True, dir_okay=False, help="Files that `hotseat data` wrote.")
    ] = None,
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    modes: Annotated[
        str, typer.Option(help="Conditions to compare with the first: full, star, anchored, or star:unmoved.")
    ] = "full,star,anchored",
    row_tokens: Annotated[int, typer.Option(min=1, help="Tokens of samples that are answered at once.")] = 16384,
    game: Annotated[
        list[str] | None,
        typer.Option(help="Play this game, a name that `hotseat games` lists or module:Class; may be given again."),
    ] = None,
    option: GameOptions = None,
    matches: Annotated[int, typer.Option(min=1, help="Pairs of seed and seat, which every condition plays.")] = 300,
    opponent: Annotated[
        str, typer.Option(help="Who has the other seats: random, expert, constant:ACTION, each in turn.")
    ] = "random,expert",
    wander: Annotated[
        float, typer.Option(min=0, max=1, help="How often the expert, as an opponent, does anything instead.")
    ] = 0.1,
    agreement: Annotated[bool, typer.Option(help="Ask the expert, too, at every decision of the model.")] = True,
    at_once: Annotated[int, typer.Option(min=1, help="Matches side by side, whose turns share a forward.")] = 32,
    pool_mib: PoolOption = 1024,
    text: Annotated[
        str | None,
        typer.Option(metavar=f"FILE|{_HELD_OUT}", help="Conversations whose answers are scored, in full mode."),
    ] = None,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Write the report as JSON.")] = None,
    plot: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Draw right answers by blocks: a .svg or .png.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Answer samples in full and in block modes, and print by how much block modes are better, with 95 % intervals.

    `star - full` is above 0 where star is better, and below 0 where it is worse.

    With --game all modes play the same matches, beside chance, the best constant answer and the expert. With --text:
    perplexity, which says what general ability was kept. With several games an option is GAME.NAME=VALUE.
    """
    if not (samples or game or text):
        raise typer.BadParameter("name files of samples, --game or --text", param_hint="SAMPLES")
    if plot is not None and not samples:
        raise typer.BadParameter("it draws what samples show, and none are named", param_hint="--plot")
    conditions = _conditions(modes, plays=bool(game))

    from agent_runtime.commands.evaluate_output import as_markdown, measure, warn_of_left_out, warn_of_training
    from agent_runtime.commands.progress import Progress
    from agent_runtime.engine.loading import ModelSpec, load_model
    from agent_runtime.tuning.evaluating.comparing import compare
    from agent_runtime.tuning.evaluating.curves import plot_curves
    from agent_runtime.tuning.evaluating.texts import HELD_OUT, read_conversations
    from agent_runtime.tuning.plots import require_plotting

    # Before the model is loaded: a refusal should not take half a minute.
    require_folders_of(out, plot)
    if plot is not None:
        require_plotting(plot)
    warn_of_training(samples or [])
    file = None if text is None else HELD_OUT if text == _HELD_OUT else Path(text)
    for _ in () if file is None else read_conversations(file):
        pass
    arenas = []
    if game:
        from agent_runtime.tuning.evaluating.contests import Arena, Contest

        import_from_here()
        opponents = tuple(each.strip() for each in opponent.split(","))
        arenas = [
            Arena(Contest(name, options, matches, opponents, at_once, wander, agreement))
            for name, options in _options_by_game(game, option or []).items()
        ]
    say_that_it_loads()
    loaded = load_model(ModelSpec(source=model, adapter=adapter_named(adapter)))
    progress = Progress()
    with progress.shown():
        report = measure(
            loaded,
            conditions,
            out,
            samples=samples or [],
            row_tokens=row_tokens,
            arenas=arenas,
            pool_mib=pool_mib,
            text=file,
            tell=progress.tell,
        )
    warn_of_left_out(report, row_tokens, loaded.context_limit)
    print(json.dumps(report, indent=1) if as_json else as_markdown(report), end="\n" if as_json else "")
    if plot is not None:
        plot_curves(compare({"": report}), plot)


def _conditions(modes: str, *, plays: bool) -> "list[Condition]":
    """Return what `--modes` names, each once; nobody plays with blocks that are not moved."""
    from agent_runtime.tuning.evaluating.conditions import condition_of

    conditions = []
    for name in (each.strip() for each in modes.split(",")):
        try:
            conditions.append(condition_of(name))
        except ValueError:
            raise typer.BadParameter(
                f"{name!r} is none of full, star, anchored, star:unmoved, anchored:unmoved", param_hint="--modes"
            ) from None
        if conditions[-1] in conditions[:-1]:
            raise typer.BadParameter(
                f"{name!r} is named twice: a mode is compared with another, not with itself", param_hint="--modes"
            )
        if plays and not conditions[-1].moved:
            raise typer.BadParameter(f"{name!r} is for samples; games are played without it", param_hint="--modes")
    return conditions


def _options_by_game(games: Sequence[str], said: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return each game with its options: of the only one NAME=VALUE, of several GAME.NAME=VALUE."""
    options: dict[str, dict[str, Any]] = {name: {} for name in games}
    for key, value in game_options(said).items():
        game, _, name = key.rpartition(".")
        if not game and len(options) == 1:
            game = games[0]
        if game not in options:
            raise typer.BadParameter(
                f"{key!r} belongs to none of {', '.join(options)}: write GAME.{name}=VALUE", param_hint="--option"
            )
        options[game][name] = value
    return options
