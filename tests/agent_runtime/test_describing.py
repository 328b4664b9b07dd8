"""agent_runtime.describing: what clients and recordings are told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_runtime.describing import describe, digests
from agent_runtime.runtime import AgentRuntime
from prompts import load_game
from tests.agent_runtime.worlds import load_tiny, runtime, write_game


@pytest.fixture
def made(tmp_path: Path) -> Iterator[AgentRuntime]:
    with runtime(load_tiny(tmp_path), write_game(tmp_path / "games")) as made:
        yield made


def test_models_and_games_are_told_by_the_names_that_clients_use(made: AgentRuntime, tmp_path: Path) -> None:
    served = made.served_model()
    told = describe({"small": served}, [load_game(tmp_path / "games" / "duel")])
    context = served.loaded.context_limit
    assert told == {
        "models": [{"name": "small", "source": "llama-0", "block_tuned": False, "context": context}],
        "games": [{"name": "duel", "title": "duel", "personas": []}],
    }


def test_a_recording_says_which_weights_and_texts_it_was_made_with(made: AgentRuntime, tmp_path: Path) -> None:
    folder = tmp_path / "games" / "duel"
    served = made.served_model()
    told = digests(served, load_game(folder))
    assert (told["weights"], told["adapter"], told["fingerprint"]) == (served.loaded.digest, "", served.fingerprint)
    assert {"game/game.toml", "game/rules.md", "game/observation.md"} <= told.keys()
    (folder / "rules.md").write_text("Answer.\n", encoding="utf-8")
    changed = digests(served, load_game(folder))
    assert {key for key in told if told[key] != changed[key]} == {"game/rules.md"}
