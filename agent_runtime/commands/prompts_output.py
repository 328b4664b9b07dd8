"""What `hotseat prompts check` prints."""

import json
from pathlib import Path

from rich.console import Console

from agent_runtime.adapter_choice import Adapter
from agent_runtime.commands.options import say
from agent_runtime.designer.check import check_prompts
from agent_runtime.designer.page import write_page

_WIDTH = 120


def print_prompts(
    game: str,
    states: Path,
    games: tuple[Path, ...],
    sight: tuple[str, ...],
    model: str,
    adapter: Adapter,
    html: Path | None,
    as_json: bool,
) -> None:
    """Check a game's prompts and print what was found. Raises what checking raises, and CannotWrite for the page."""
    report = check_prompts(game, states, games, sight, model, adapter)
    if html is not None:
        write_page(report, html)
        say(f"The page is in {html}.")
    if as_json:
        print(json.dumps(report.as_json(), indent=1))
        return
    console = Console(highlight=False, markup=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = _WIDTH
    for line in report.summary():
        console.print(line, soft_wrap=True)
    console.print()
    console.print(report.blocks_table())
    console.print()
    console.print(report.frames_table())
    console.print()
    for line in report.advice_lines():
        console.print(line, soft_wrap=True)
