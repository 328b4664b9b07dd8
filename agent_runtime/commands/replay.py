"""`hotseat replay`."""

from pathlib import Path
from typing import Annotated

import typer

from agent_runtime.commands.options import (
    AdapterOption,
    GamesOption,
    JsonOption,
    ModelOption,
    PoolOption,
    modes_of,
    say_that_it_loads,
)


def replay(
    recording: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A file that --record has written.")],
    mode: Annotated[
        list[str], typer.Option(help="Modes to compare, separated by commas; one named twice shows the noise.")
    ] = ["full,prefix,star"],  # noqa: B006  typer reads it and changes nothing
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    games: GamesOption = None,
    pool_mib: PoolOption = 512,
    seed: Annotated[int, typer.Option(help="Draws the order of the modes at each turn.")] = 0,
    verify: Annotated[bool, typer.Option(help="Refuse a recording that was edited.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Play a recording again in several modes, turn by turn side by side; nothing is written."""
    from agent_runtime.commands.replay_output import print_replay
    from agent_runtime.replay.replayer import ReplayOptions

    options = ReplayOptions(modes_of(mode), tuple(games or ()), pool_mib, seed, verify)
    say_that_it_loads()
    print_replay(recording, model, adapter, options, as_json)
