"""The command `hotseat`: every command by its name, and errors as sentences."""

import sys
from typing import Annotated

import typer

from agent_runtime.commands.bench import bench_app
from agent_runtime.commands.compare import compare
from agent_runtime.commands.data import data_app
from agent_runtime.commands.demo import demo
from agent_runtime.commands.doctor import doctor
from agent_runtime.commands.evaluate import evaluate
from agent_runtime.commands.games import games_app
from agent_runtime.commands.log import log
from agent_runtime.commands.play import play
from agent_runtime.commands.prompts import prompts_app
from agent_runtime.commands.protocol import protocol
from agent_runtime.commands.replay import replay_app
from agent_runtime.commands.serve import serve
from agent_runtime.commands.store import store_app
from agent_runtime.commands.tune import tune
from agent_runtime.commands.turn import turn
from agent_runtime.engine.garbage import look_seldom
from agent_runtime.errors import HotseatError
from agent_runtime.version import hotseat_version

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"hotseat {hotseat_version()}")
        raise typer.Exit()


@app.callback()
def hotseat(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """LLM agents for games."""


app.command()(serve)
app.command()(demo)
app.command()(turn)
app.command()(log)
app.command()(doctor)
app.command()(protocol)
app.command()(play)
app.add_typer(games_app, name="games")
app.add_typer(prompts_app, name="prompts")
app.add_typer(replay_app, name="replay")
app.add_typer(store_app, name="store")
app.add_typer(bench_app, name="bench")
app.add_typer(data_app, name="data")
app.command()(tune)
app.command()(evaluate)
app.command()(compare)


def main() -> None:
    """Run the command line; a typed error becomes one sentence and exit code 2."""
    look_seldom()
    try:
        app()
    except Exception as error:
        if not isinstance(error, HotseatError) and not _is_of_a_room(error):
            raise
        print(f"hotseat: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _is_of_a_room(error: Exception) -> bool:
    from game_adapters import GameAdapterError
    from kv_store import StoreError
    from prompts import PromptsError

    return isinstance(error, (GameAdapterError, StoreError, PromptsError))


if __name__ == "__main__":
    main()
