"""What `hotseat games` and `hotseat games check` print."""

import dataclasses
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent_runtime.adapter_choice import Adapter
from agent_runtime.commands.options import printable, say
from agent_runtime.designer.tokens import TokenCounter, token_counter
from game_adapters.conformance import TokenCounts, check_game
from game_adapters.errors import GameCodeFailed, NoEnvironment
from game_adapters.registry import list_games, make_env

_WIDTH = 120
_COLOURS = {"ok": "green", "failed": "bold red", "not checked": "yellow", "advice": "cyan"}


def print_games(as_json: bool) -> None:
    """Print every game that has a name; one that is broken with its error."""
    games = list_games()
    if as_json:
        print(json.dumps([dataclasses.asdict(game) for game in games], default=str, indent=1))
        return
    console = _console()
    table = Table("game", "title", "from")
    for header in ("class", "folder"):
        table.add_column(header, overflow="fold")
    for game in games:
        title = game.title if game.error is None else Text("broken, see below", "red")
        table.add_row(game.name, title, game.source, game.contract, str(game.folder or "-"))
    console.print(table)
    for game in games:
        if game.error is not None:
            console.print(Text(f"{game.name} ({game.source}): {game.error}", "red"), soft_wrap=True)
    console.print("One of your own needs no name: hotseat play module:Class, hotseat games check module:Class.")


def print_check(
    game: str,
    options: dict[str, Any],
    seeds: Sequence[int],
    num_turns: int,
    model: str,
    adapter: Adapter,
    as_json: bool,
) -> bool:
    """Check a game, print what was found, and return whether all is well. Raises what keeps it from being loaded."""
    # That is a finding; a name or an option that does not exist is a mistake.
    with suppress(GameCodeFailed, NoEnvironment):
        make_env(game, seeds[0], **options)
    counter = token_counter(model, adapter=adapter)
    if counter.note:
        say(counter.note)
    report = check_game(
        game,
        lambda seed: make_env(game, seed, **options),
        seeds=seeds,
        num_turns=num_turns,
        count_tokens=_counts(counter) if counter.is_exact else None,
        context=counter.context,
    )
    if as_json:
        print(json.dumps({**dataclasses.asdict(report), "passed": report.passed}, indent=1))
        return report.passed
    console = _console()
    console.print(f"{report.game}: {report.num_turns} turns of {report.num_games} games")
    for finding in report.findings:
        head = Text.assemble((f"  {finding.outcome:<11}  ", _COLOURS[finding.outcome]), f"{finding.check:<8}  ")
        console.print(head + Text(printable(finding.what)), soft_wrap=True)
    return report.passed


def _counts(counter: TokenCounter) -> TokenCounts:
    return TokenCounts(counter.count, counter.count_anchor, counter.count_observation, counter.count_text)


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    return console
