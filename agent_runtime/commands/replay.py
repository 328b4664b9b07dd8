"""`hotseat replay`, and `hotseat replay diff`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from agent_runtime.commands.options import (
    AdapterOption,
    GamesOption,
    JsonOption,
    ModelOption,
    PoolOption,
    modes_of,
    say_that_it_loads,
)


class ReplayGroup(TyperGroup):
    """`hotseat replay FILE` is `hotseat replay run FILE`: a first word that is no command begins the default one."""

    default = "run"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command in front of what names none."""
        if args and args[0] not in self.commands:
            args = [self.default, *args]
        return super().parse_args(ctx, args)


replay_app = typer.Typer(
    cls=ReplayGroup, no_args_is_help=True, help="Play a recording again and measure it; compare two such reports."
)


@replay_app.command("run")
def replay_run(
    recording: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A file that --record has written.")
    ],
    mode: Annotated[
        list[str], typer.Option(help="Modes to compare, separated by commas; one named twice shows the noise.")
    ] = ["full,prefix,star"],  # noqa: B006  typer reads it and changes nothing
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    games: GamesOption = None,
    pool_mib: PoolOption = 512,
    seed: Annotated[int, typer.Option(help="Draws the order of the modes at each turn.")] = 0,
    verify: Annotated[bool, typer.Option(help="Refuse a recording that was edited.")] = True,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(help="Exit with 1 if it holds: 'ttft_p50_ms>400', 'star.agreement<0.9'; may be given again."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the report as JSON, for `replay diff`.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the report as one page for a browser.")
    ] = None,
    turns: Annotated[bool, typer.Option(help="Put every single turn into the JSON.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Play a recording again in several modes, turn by turn side by side; the recording stays as it is.

    `hotseat replay FILE` is short for it. `hotseat replay diff A B` compares two reports of it.
    """
    from agent_runtime.commands.replay_output import Wanted, print_replay
    from agent_runtime.replay.replayer import ReplayOptions

    modes = modes_of(mode)
    wanted = Wanted.checked(modes, fail_if or (), as_json=as_json, out=out, html=html, turns=turns)
    options = ReplayOptions(modes, tuple(games or ()), pool_mib, seed, verify)
    say_that_it_loads()
    if not print_replay(recording, model, adapter, options, wanted):
        raise typer.Exit(1)


ReportArgument = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A report: --out or --json wrote it.")
]


@replay_app.command("diff")
def replay_diff(
    a: ReportArgument,
    b: ReportArgument,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(help="Exit with 1 if it holds: 'star.ttft_ratio_low>1.1', 'differing_counts>0'; may be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two replays of one recording, B with A: counts, which must agree, and times, turn by turn.

    Exit code 1 if counts differ though all that they depend on is the same, or if a --fail-if holds.
    """
    from agent_runtime.commands.replay_diff_output import print_diff

    if not print_diff(a, b, fail_if or (), as_json):
        raise typer.Exit(1)
