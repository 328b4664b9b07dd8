"""`hotseat replay`, `hotseat replay load` and `hotseat replay diff`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from agent_runtime.adapter_choice import adapter_named
from agent_runtime.commands.options import (
    AdapterOption,
    GamesOption,
    JsonOption,
    installed_games,
    modes_of,
    say,
    say_that_it_loads,
)
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


class ReplayCommand(TyperCommand):
    """A command that names its sister for an option that is hers: `hotseat replay FILE --pace 2` is a load test."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what holds no option of another command alone."""
        own = _options_of(self)
        for name in (arg.partition("=")[0] for arg in args if arg.startswith("--")):
            for sister, command in ctx.parent.command.commands.items() if name not in own else ():
                if name in _options_of(command):
                    hint = f"it is an option of `hotseat replay {sister}`, and this is `hotseat replay {self.name}`"
                    raise typer.BadParameter(hint, ctx=ctx, param_hint=name)
        return super().parse_args(ctx, args)


def _options_of(command: Any) -> set[str]:
    return {"--help"}.union(*((*parameter.opts, *parameter.secondary_opts) for parameter in command.params))


replay_app = typer.Typer(
    cls=ReplayGroup,
    no_args_is_help=True,
    help="Play a recording again and measure it, alone or as a load test; compare two such reports.",
)

RecordingArgument = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A file that --record has written.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(help="embedded (default), a model folder, a GGUF file, a hub name; with --url a server's model."),
]
PoolOption = Annotated[int | None, typer.Option(min=1, help="Memory for keys and values, in MiB (512).")]
UrlOption = Annotated[
    str | None, typer.Option(metavar="ws://HOST:PORT", help="Play against a server that runs, and measure here.")
]
TokenOption = Annotated[str | None, typer.Option(envvar="HOTSEAT_TOKEN", help="What that server wants to be shown.")]
DeadlineOption = Annotated[float | None, typer.Option(min=0.001, help="Stands in for the recorded deadlines.")]
VerifyOption = Annotated[bool, typer.Option(help="Refuse a recording that was edited.")]
FailIfOption = Annotated[
    list[str] | None,
    typer.Option(help="Exit with 1 if it holds: 'ttft_p50_ms>400', 'star.agreement<0.9'; may be given again."),
]
OutOption = Annotated[Path | None, typer.Option(dir_okay=False, help="Write the report as JSON, for `replay diff`.")]
HtmlOption = Annotated[Path | None, typer.Option(dir_okay=False, help="Write the report as one page for a browser.")]


@replay_app.command("run", cls=ReplayCommand)
def replay_run(
    recording: RecordingArgument,
    mode: Annotated[
        list[str] | None,
        typer.Option(
            help="Modes to compare, separated by commas; one named twice shows the noise. "
            "Default: full,prefix,star; with --url the recorded one."
        ),
    ] = None,
    model: ModelOption = None,
    adapter: AdapterOption = None,
    games: GamesOption = None,
    pool_mib: PoolOption = None,
    store: Annotated[
        StoreKind, typer.Option(help="Where blocks lie at the start: none is kept, empty one, or warm: all on disk.")
    ] = StoreKind.NONE,
    url: UrlOption = None,
    token: TokenOption = None,
    deadline_ms: DeadlineOption = None,
    seed: Annotated[int, typer.Option(help="Draws the order of the modes at each turn.")] = 0,
    verify: VerifyOption = True,
    fail_if: FailIfOption = None,
    out: OutOption = None,
    html: HtmlOption = None,
    turns: Annotated[bool, typer.Option(help="Put every single turn into the JSON.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Play a recording again and measure it: several modes turn by turn, each message after the answer to the one
    before.

    `hotseat replay FILE` is short for it. In process, or with --url over the wire. `hotseat replay load FILE` is the
    load test: at the recorded pace, many at once. `hotseat replay diff A B` compares two reports.
    """

    def wanted_of(modes: tuple[Mode, ...]) -> "Wanted":
        from agent_runtime.commands.replay_output import Wanted

        return Wanted.checked(modes, fail_if or (), as_json=as_json, out=out, html=html, turns=turns)

    if url is None:
        from agent_runtime.commands.replay_output import print_replay
        from agent_runtime.replay.replayer import ReplayOptions

        options = ReplayOptions(
            modes=modes_of(mode or [_SIDE_BY_SIDE]),
            games=(*(games or ()), *installed_games(say)),
            pool_mib=pool_mib or _POOL_MIB,
            seed=seed,
            verify=verify,
            store=store,
            deadline_ms=deadline_ms,
        )
        wanted = wanted_of(options.modes)
        _check_recording(recording, options.games, verify)
        say_that_it_loads()
        fine = print_replay(recording, model or "embedded", adapter_named(adapter), options, wanted)
        raise typer.Exit(0 if fine else 1)

    _refuse_what_is_the_servers(adapter=adapter, games=games, pool_mib=pool_mib)
    if store is not StoreKind.NONE:
        raise typer.BadParameter("over the wire it is the server's store that counts", param_hint="--store")
    from agent_runtime.commands.replay_load_output import print_load, recorded_mode
    from agent_runtime.replay.load.options import LoadOptions, Server

    load = LoadOptions(
        modes=modes_of(mode) if mode else recorded_mode(recording, verify),
        model=model,
        deadline_ms=deadline_ms,
        seed=seed,
    )
    raise typer.Exit(print_load(recording, Server(url, token), load, wanted_of(load.modes), verify))


@replay_app.command("load", cls=ReplayCommand)
def replay_load(
    recording: RecordingArgument,
    mode: Annotated[
        list[str] | None, typer.Option(help="Modes, one after the other; default: the recorded one.")
    ] = None,
    model: ModelOption = None,
    adapter: AdapterOption = None,
    games: GamesOption = None,
    pool_mib: PoolOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    pace: Annotated[
        str,
        typer.Option(
            metavar="recorded|N|closed", help="When messages go: when due, N times as fast, or each after an answer."
        ),
    ] = "recorded",
    copies: Annotated[int, typer.Option(min=1, help="How many of the match are played at once.")] = 1,
    connections: Annotated[int | None, typer.Option(min=1, help="Over how many; default: one a copy.")] = None,
    shared_blocks: Annotated[
        bool,
        typer.Option(
            "--shared-blocks",
            help="Let copies find each other's blocks, as no two different matches do. Without it they share not even "
            "the rules, as matches of one game would: the pessimistic case.",
        ),
    ] = False,
    deadline_ms: DeadlineOption = None,
    verify: VerifyOption = True,
    fail_if: FailIfOption = None,
    out: OutOption = None,
    html: HtmlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play a recording as a load test: every message when it is due, whatever the answers do, and many copies at once.

    Against the server at --url, or one of its own that is started for the run with --model, --adapter, --games and
    --pool-mib. A turn's time counts from when its message was due.
    """
    from agent_runtime.commands.replay_load_output import own_server, print_load, recorded_mode
    from agent_runtime.commands.replay_output import Wanted
    from agent_runtime.replay.load.options import LoadOptions, Server, read_pace

    if url is not None:
        _refuse_what_is_the_servers(adapter=adapter, games=games, pool_mib=pool_mib)
    load = LoadOptions(
        modes=modes_of(mode) if mode else recorded_mode(recording, verify),
        model=model if url is not None else None,
        pace=read_pace(pace),
        copies=copies,
        connections=connections,
        shared_blocks=shared_blocks,
        deadline_ms=deadline_ms,
    )
    wanted = Wanted.checked(load.modes, fail_if or (), as_json=as_json, out=out, html=html)
    if url is not None:
        raise typer.Exit(print_load(recording, Server(url, token), load, wanted, verify))
    _check_recording(recording, (*(games or ()), *installed_games(say)), verify)
    with own_server(model or "embedded", adapter_named(adapter), games or (), pool_mib or _POOL_MIB) as server:
        raise typer.Exit(print_load(recording, Server(server.url, token, is_own=True), load, wanted, verify))


def _check_recording(recording: Path, folders: tuple[Path, ...], verify: bool) -> None:
    """Refuse what cannot be replayed before anything is loaded, and say where it was cut.

    Raises LacksGame, NothingToReplay, OtherProtocol, and what reading a recording raises.
    """
    from agent_runtime.first_look.turn_log import cuts_of
    from agent_runtime.replay.origin import check_game
    from agent_runtime.replay.recording_format import read_recording
    from agent_runtime.replay.steps import check_turns
    from prompts import find_games

    found = read_recording(recording, verify=verify)
    check_game(found, find_games(folders))
    check_turns(found)
    if found.cut_lines:  # one that merely has no end is of a server that runs
        for sentence in cuts_of(found):
            say(sentence)


def _refuse_what_is_the_servers(**options: object) -> None:
    """Say of options that a running server has chosen already that they are its own."""
    for name, value in options.items():
        if value is not None:
            hint = f"--{name.replace('_', '-')}"
            raise typer.BadParameter("the server at --url has its own: start that with it", param_hint=hint)


ReportArgument = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A report: --out or --json wrote it.")
]


@replay_app.command("diff", cls=ReplayCommand)
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

    Exit code 1 if counts differ though all that they depend on is the same, or if a --fail-if holds; 2 if the reports
    are of different recordings.
    """
    from agent_runtime.commands.replay_diff_output import print_diff

    if not print_diff(a, b, fail_if or (), as_json):
        raise typer.Exit(1)
