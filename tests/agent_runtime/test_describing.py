"""agent_runtime.describing: what clients and recordings are told."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent_runtime.adapter_choice import AdapterChoice
from agent_runtime.composition import open_runtime
from agent_runtime.config import EngineSettings, ModelSettings, RuntimeSettings
from agent_runtime.describing import describe, digests
from agent_runtime.runtime import AgentRuntime
from agent_runtime.token_blocks import KeyMaker
from agent_runtime.turn import MatchSpec
from prompts import load_game
from tests.agent_runtime.embedded import bring, embed
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


def test_the_packages_own_adapter_is_told_to_clients_and_recordings_and_is_part_of_every_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(embed(tmp_path, monkeypatch))
    models = {"ours": ModelSettings(), "bare": ModelSettings(adapter=AdapterChoice.NONE)}
    settings = RuntimeSettings(
        models=models, games=(write_game(tmp_path / "games"),), engine=EngineSettings(pool_mib=16)
    )
    with closing(open_runtime(settings)) as made:
        told = {each["name"]: each for each in made.describe()["models"]}  # type: ignore[union-attr, index]
        assert (told["ours"]["source"], told["ours"]["block_tuned"]) == ("tiny+tuned", True)  # type: ignore[index, call-overload]
        assert (told["bare"]["source"], told["bare"]["block_tuned"]) == ("tiny", False)  # type: ignore[index, call-overload]
        ours, bare = (made.served_model(name) for name in models)
        said = {name: made.digests(name, "duel") for name in models}
        assert said["ours"]["adapter"] == ours.loaded.adapter_digest != said["bare"]["adapter"] == ""
        assert all(said["ours"][what] != said["bare"][what] for what in ("weights", "fingerprint"))
        keys = [KeyMaker(each.fingerprint).key("duel", (), (1, 2, 3)) for each in (ours, bare)]
        assert keys[0] != keys[1]
        assert made.open_match(MatchSpec("m", "duel")).mode == "star", "the mode that the adapter was tuned for"
        assert made.open_match(MatchSpec("n", "duel", model="bare")).mode == "prefix"
