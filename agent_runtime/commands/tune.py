"""`hotseat tune`."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent_runtime.commands.options import (
    GamesOption,
    JsonOption,
    installed_games,
    say,
    say_that_it_loads,
)
from agent_runtime.commands.tune_output import Steps, say_agreement

if TYPE_CHECKING:
    from agent_runtime.engine.loading import LoadedModel
    from agent_runtime.tuning.agreement import Turns

_INTERRUPTED = 130
_PLOT = "loss.svg"


def tune(
    config: Annotated[
        Path | None,
        typer.Argument(
            exists=True, dir_okay=False, readable=True, help="A tuning run, as TOML; with --recordings optional."
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(file_okay=False, help="The run's folder; one that was interrupted goes on.")],
    recordings: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Learn full mode's decisions in the matches recorded here."),
    ] = None,
    games: GamesOption = None,
    plot: Annotated[bool, typer.Option(help="Draw the losses to loss.svg.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Tune a model for block modes on samples that `hotseat data` has written; the adapter lies in OUT/adapter.

    With --recordings nobody has to say what was right: block modes learn what the model decides in full mode, as it is
    served: with the package's own adapter, unless the configuration names another, or "none".

    Ctrl-C ends it behind the step it is at; the same command goes on from there. On several GPUs: accelerate launch.
    """
    from agent_runtime.tuning.agreement import AGREEMENT
    from agent_runtime.tuning.config import TuneConfig, read_config
    from agent_runtime.tuning.lora import start_of
    from agent_runtime.tuning.plots import plot_losses, require_plotting
    from agent_runtime.tuning.preparing import check_samples
    from agent_runtime.tuning.training import METRICS, leave_others, tune

    if config is None and recordings is None:
        raise typer.BadParameter("name a configuration, or --recordings", param_hint="CONFIG")
    run = TuneConfig() if config is None else read_config(config, needs_samples=recordings is None)
    is_first = os.environ.get("RANK", "0") == "0"  # of the processes that a launcher has started; the others are silent
    # Before the model is loaded: a refusal should not take half a minute.
    if plot:
        require_plotting(out / _PLOT, without="tune without one: --no-plot")
    start = start_of(run, recorded=recordings is not None)
    check_samples(run)
    turns = None if recordings is None else _turns_in(recordings, (*(games or ()), *installed_games(say)))
    if is_first:
        if start is not None:
            say(f"It goes on from the adapter in {start.folder}.")
        say_that_it_loads()

    progress = Steps(run.training.steps, as_json=as_json)
    with _asked_to_stop() as asked:
        result = tune(run, out, progress.tell, lambda: bool(asked), turns)
    if is_first and result.made is not None and not progress.has_heard:
        say(f"This run was finished already: all of its {run.training.steps} steps are done.")
    if is_first and recordings is not None:
        say_agreement(out / AGREEMENT)
    if is_first and plot and (out / METRICS).is_file():
        plot_losses(out / METRICS, out / _PLOT)
    if is_first and result.made is None:
        say(f"Stopped behind step {result.step} of {run.training.steps}, which is saved. The same command goes on.")
    elif is_first:
        say(f"What came out lies in {result.made}. Play with it: hotseat serve --adapter {result.made}")
    leave_others()
    if result.made is None:
        raise typer.Exit(_INTERRUPTED)


def _turns_in(recordings: Path, folders: Sequence[Path]) -> "Callable[[LoadedModel], Turns]":
    """Return what reads recorded turns for a model. Raises NotTrainable without recordings, GameFolderError."""
    from agent_runtime.tuning.recordings import recorded_turns, recordings_in
    from prompts import find_games

    files = recordings_in(recordings)
    find_games(folders)
    return lambda loaded: recorded_turns(loaded, files, folders)


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """Yield a list that a first SIGINT or SIGTERM is noted in: the step under way is finished and saved.

    Whoever asks again means it: from then on, and behind the block, signals do what they did before.
    """
    asked: list[int] = []

    def noted(number: int, frame: object) -> None:
        asked.append(number)
        go_back()

    def go_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, noted) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        go_back()
