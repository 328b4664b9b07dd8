"""`hotseat data`."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from agent_runtime.commands.options import GameOptions, JsonOption, ModelOption, game_options

data_app = typer.Typer(no_args_is_help=True, help="Samples for block tuning, made here and without a network.")

OutOption = Annotated[Path, typer.Option(help="The file to write, JSON lines; gzipped if its name ends in .gz.")]
SamplesOption = Annotated[int, typer.Option(min=1, help="How many samples.")]
SplitOption = Annotated[str, typer.Option(help="train, validation or test: they share no sample and no name.")]
SeedOption = Annotated[int, typer.Option(help="Another seed makes other samples.")]
AsksOption = Annotated[int, typer.Option(min=1, help="Questions about each sample, at most.")]
KindsOption = Annotated[
    str | None,
    typer.Option(
        metavar="KIND[=WEIGHT],...", help="The kinds of questions, as in linked=2,counting; all alike if not given."
    ),
]
WorkersOption = Annotated[int, typer.Option(min=1, help="Processes that generate; the file is the same with any.")]


@data_app.command("gamecore")
def data_gamecore(
    out: OutOption,
    samples: SamplesOption = 1000,
    split: SplitOption = "train",
    seed: SeedOption = 0,
    blocks: Annotated[str, typer.Option(metavar="N[-M]", help="Blocks of a sample, 8 to 400.")] = "8-300",
    block_tokens: Annotated[
        str, typer.Option(metavar="N[-M]", help="About how many tokens a block has in the mean, 30 to 120.")
    ] = "33",
    asks: AsksOption = 16,
    kinds: KindsOption = None,
    names: Annotated[
        str, typer.Option(metavar="like|unlike", help="Unlike any names of train: to test spelling; not for train.")
    ] = "like",
    writing: Annotated[
        str,
        typer.Option(
            metavar="WAY[,WAY]", help="How records are written: prose, json, renamed, lines; a sample in one."
        ),
    ] = "prose",
    bare_quests: Annotated[
        float, typer.Option(metavar="SHARE", help="Of train: lands whose quests have no hero and no goal.")
    ] = 0.0,
    links: Annotated[
        str,
        typer.Option(metavar="known|new", help="New: by labels that train has none of; asks new_link, not for train."),
    ] = "known",
    workers: WorkersOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Generate synthetic game states with questions and decisions."""
    from agent_runtime.tuning.data.gamecore import GameCore

    sizes = _range("--blocks", blocks), _range("--block-tokens", block_tokens)
    ways = cast(Any, tuple(each.strip() for each in writing.split(",")))
    manner, drawn = cast(Any, names), cast(Any, links)
    recipe = GameCore(seed, _split(split), *sizes, asks, _kinds(kinds), manner, ways, bare_quests, drawn)
    _write(recipe, samples, out, workers, as_json)


@data_app.command("passages")
def data_passages(
    out: OutOption,
    samples: SamplesOption = 1000,
    split: SplitOption = "train",
    seed: SeedOption = 0,
    blocks: Annotated[str, typer.Option(metavar="N[-M]", help="Passages of a sample, 10 to 60.")] = "10-60",
    asks: AsksOption = 16,
    kinds: KindsOption = None,
    workers: WorkersOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Generate questions over passages, of which one or two tell the answer."""
    from agent_runtime.tuning.data.passages import Passages

    _write(
        Passages(seed, _split(split), _range("--blocks", blocks), asks, _kinds(kinds)), samples, out, workers, as_json
    )


@data_app.command("demonstrations")
def data_demonstrations(
    out: OutOption,
    samples: SamplesOption = 1000,
    split: SplitOption = "train",
    seed: SeedOption = 0,
    blocks: Annotated[str, typer.Option(metavar="N[-M]", help="Demonstrations of a sample, 4 to 64.")] = "4-64",
    asks: AsksOption = 16,
    kinds: KindsOption = None,
    workers: WorkersOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Generate tasks that only their demonstrations tell: labels, transformations, a made-up language."""
    from agent_runtime.tuning.data.demonstrations import Demonstrations

    _write(
        Demonstrations(seed, _split(split), _range("--blocks", blocks), asks, _kinds(kinds)),
        samples,
        out,
        workers,
        as_json,
    )


@data_app.command("games")
def data_games(
    out: OutOption,
    game: Annotated[str, typer.Option(help="One of the games with an expert; hotseat games lists them.")],
    episodes: Annotated[int, typer.Option(min=1, help="How many games are played.")] = 100,
    turns: Annotated[int, typer.Option(min=1, help="Decisions of each, drawn from all of it; a sample each.")] = 8,
    split: SplitOption = "train",
    seed: SeedOption = 0,
    option: GameOptions = None,
    wander: Annotated[
        str,
        typer.Option(
            metavar="SHARE[,SHARE...]",
            help="How often an agent does anything instead of what the expert says; of several it draws one.",
        ),
    ] = "0.1",
    persona: Annotated[str | None, typer.Option(help="One of the game's, or mixed: any and none.")] = None,
    each_once: Annotated[
        bool, typer.Option("--each-once", help="Leave out positions that the file has: fewer samples.")
    ] = False,
    workers: WorkersOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Play games with their experts: each sample is a decision, and the answer is the expert's.

    A position of a game is in one split only, whatever seeds and options their files were made with.
    """
    from agent_runtime.tuning.data.games import Games

    options = tuple(sorted(game_options(option).items()))
    recipe = Games(game, options, seed, _split(split), turns, _shares(wander), persona, each_once)
    _write(recipe, episodes * turns, out, workers, as_json, each_once)


@data_app.command("chat")
def data_chat(
    out: OutOption,
    samples: SamplesOption = 1000,
    seed: SeedOption = 0,
    model: ModelOption = "embedded",
    temperature: Annotated[float, typer.Option(min=0.01, help="1 is what the model itself would say.")] = 1.0,
    user_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a user's turn, at most.")] = 96,
    answer_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer, at most.")] = 200,
    at_once: Annotated[int, typer.Option(min=1, help="Conversations side by side; another number, others.")] = 64,
    system: Annotated[
        str | None, typer.Option(help="The system message, where it is not to be the chat template's own.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Let a model talk to itself: samples for tuning that keep what it can do besides games.

    It writes what users say, and answers; what is cut or repeats itself is left out. They are in the split train.
    """
    from agent_runtime.commands.data_output import talk_and_print
    from agent_runtime.tuning.data.self_talk import SelfTalk

    recipe = SelfTalk(seed, temperature, user_tokens, answer_tokens, at_once, system)
    talk_and_print(model, recipe, samples, out, as_json)


@data_app.command("show")
def data_show(
    file: Annotated[Path, typer.Argument(help="A file that `hotseat data` has written.")],
    number: Annotated[int, typer.Option(min=0, help="Which sample, counted from 0.")] = 0,
) -> None:
    """Print one sample of a file: its blocks with their tokens, and what is asked."""
    from agent_runtime.commands.data_output import print_sample

    print_sample(file, number)


def _write(recipe: Any, samples: int, out: Path, workers: int, as_json: bool, each_once: bool = False) -> None:
    from agent_runtime.commands.data_output import write_and_print

    write_and_print(recipe, samples, out, workers, as_json, each_once)


def _split(said: str) -> Any:
    from agent_runtime.tuning.samples import SPLITS

    if said not in SPLITS:
        raise typer.BadParameter(f"{said!r} is none of {', '.join(SPLITS)}", param_hint="--split")
    return said


def _range(option: str, said: str) -> tuple[int, int]:
    """Return what `8-300` or `33` says, as its two ends."""
    low, _, high = said.partition("-")
    try:
        return int(low), int(high or low)
    except ValueError:
        raise typer.BadParameter(f"{said!r} is neither a number nor a range such as 8-300", param_hint=option) from None


def _shares(said: str) -> tuple[float, ...]:
    """Return what `0.1` or `0,0.3,1` says."""
    try:
        return tuple(float(each) for each in said.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{said!r} is neither a share nor a list such as 0,0.3,1", param_hint="--wander"
        ) from None


def _kinds(said: str | None) -> tuple[tuple[str, float], ...]:
    """Return what `linked=2,counting` says, as kinds with their weights."""
    kinds: dict[str, float] = {}
    for each in said.split(",") if said else ():
        kind, _, weight = each.strip().partition("=")
        try:
            kinds[kind] = float(weight or 1)
        except ValueError:
            raise typer.BadParameter(f"{weight!r} is no weight: write {kind}=2", param_hint="--kinds") from None
    return tuple(kinds.items())
