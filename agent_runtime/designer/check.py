"""`hotseat prompts check`, as a function: read, follow, advise."""

from collections.abc import Sequence
from pathlib import Path

from agent_runtime.adapter_choice import Adapter, AdapterChoice
from agent_runtime.designer.adviser import advise
from agent_runtime.designer.following import follow
from agent_runtime.designer.frames import read_frames
from agent_runtime.designer.games import game_folder
from agent_runtime.designer.report import PromptsReport
from agent_runtime.designer.tokens import token_counter
from prompts import load_game


def check_prompts(
    game: str,
    states: Path,
    games: Sequence[Path],
    sight: Sequence[str],
    model: str,
    adapter: Adapter = AdapterChoice.DEFAULT,
) -> PromptsReport:
    """Follow the states of a file under a game. Raises what a name, a folder, a file or a tokenizer can cause."""
    read = load_game(game_folder(game, games))
    file = read_frames(states)
    counter = token_counter(model, adapter=adapter)
    course = follow(read, file, counter, sight)
    return PromptsReport(course, advise(course, counter), counter)
