"""`hotseat replay`, and `hotseat replay diff`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from agent_runtime.commands.options import AdapterOption, GamesOption, JsonOption, modes_of, say_that_it_loads
from agent_runtime.replay.store_kind import StoreKind
from agent_runtime.turn import Mode

if TYPE_CHECKING:
    from agent_runtime.commands.replay_output import Wanted

_SIDE_BY_SIDE = "full,prefix,star"
_POOL_MIB = 512


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
        list[str] | None,
        typer.Option(
            help="Modes to compare, separated by commas; one named twice shows the noise. "
            "Default: full,prefix,star; over the wire the recorded one."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="embedded (default), a model folder, a GGUF file, a hub name; with --url a server's model."),
    ] = None,
    adapter: AdapterOption = None,
    games: GamesOption = None,
    pool_mib: Annotated[int | None, typer.Option(min=1, help="Memory for keys and values, in MiB (512).")] = None,
    store: Annotated[
        StoreKind, typer.Option(help="Where blocks lie at the start: none is kept, empty one, or warm: all on disk.")
    ] = StoreKind.NONE,
    url: Annotated[
        str | None, typer.Option(metavar="ws://HOST:PORT", help="Play against a server that runs, and measure here.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="HOTSEAT_TOKEN", help="What that server wants to be shown.")
    ] = None,
    pace: Annotated[
        str,
        typer.Option(
            metavar="closed|recorded|N", help="When messages go: each after an answer, or when due, N times as fast."
        ),
    ] = "closed",
    copies: Annotated[int, typer.Option(min=1, help="How many of the match are played at once.")] = 1,
    connections: Annotated[int | None, typer.Option(min=1, help="Over how many; default: one a copy.")] = None,
    deadline_ms: Annotated[float | None, typer.Option(min=0.001, help="Stands in for the recorded deadlines.")] = None,
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
    """Play a recording again and measure it: several modes side by side in process, or over the wire under load.

    `hotseat replay FILE` is short for it. `hotseat replay diff A B` compares two reports of it. Over the wire is
    --url; with --pace, --copies or --connections alone, a server of its own is started for the run.
    """
    from agent_runtime.replay.load.options import LoadOptions, Server, read_pace

    load = LoadOptions(pace=read_pace(pace), copies=copies, connections=connections, deadline_ms=deadline_ms, seed=seed)
    is_over_the_wire = url is not None or not load.is_side_by_side or connections is not None
    if url is not None:
        _refuse_what_is_the_servers(adapter=adapter, games=games, pool_mib=pool_mib)
    if is_over_the_wire and store is not StoreKind.NONE:
        raise typer.BadParameter("over the wire it is the server's store that counts", param_hint="--store")

    def wanted_of(modes: tuple[Mode, ...]) -> "Wanted":
        from agent_runtime.commands.replay_output import Wanted

        return Wanted.checked(modes, fail_if or (), as_json=as_json, out=out, html=html, turns=turns)

    if not is_over_the_wire:
        from agent_runtime.commands.replay_output import print_replay
        from agent_runtime.replay.replayer import ReplayOptions

        options = ReplayOptions(
            modes=modes_of(mode or [_SIDE_BY_SIDE]),
            games=tuple(games or ()),
            pool_mib=pool_mib or _POOL_MIB,
            seed=seed,
            verify=verify,
            store=store,
            deadline_ms=deadline_ms,
        )
        wanted = wanted_of(options.modes)
        say_that_it_loads()
        raise typer.Exit(0 if print_replay(recording, model or "embedded", adapter, options, wanted) else 1)

    from agent_runtime.commands.replay_load_output import own_server, print_load, recorded_mode

    load = replace(load, modes=modes_of(mode) if mode else recorded_mode(recording, verify))
    wanted = wanted_of(load.modes)
    if url is not None:
        load = replace(load, model=model)
        raise typer.Exit(print_load(recording, Server(url, token), load, wanted, verify))
    with own_server(model or "embedded", adapter, games or (), pool_mib or _POOL_MIB) as server:
        raise typer.Exit(print_load(recording, replace(server, token=token), load, wanted, verify))


def _refuse_what_is_the_servers(**options: object) -> None:
    """Say of options that a running server has chosen already that they are its own."""
    for name, value in options.items():
        if value is not None:
            hint = f"--{name.replace('_', '-')}"
            raise typer.BadParameter("the server at --url has its own: start that with it", param_hint=hint)


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
