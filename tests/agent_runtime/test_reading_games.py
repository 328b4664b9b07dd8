"""A model that reads one fact from one named block wins every game that asks for it: the pipeline loses none."""

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent_runtime.block_cache import BlockCache, MemoryStore
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.scheduler import Engine
from agent_runtime.prefetch import Prefetcher
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import geometry_of, serve_model
from agent_runtime.turn import ActionOption, Mode
from tests.agent_runtime.stub_model import ReadingRunner
from tests.agent_runtime.worlds import load_tiny, open_duel, play, write_game

PLACES = ("gate", "mill", "camp", "ford", "tower")
ACTIONS = tuple(ActionOption(f"go to {place}") for place in PLACES)


def where_is_the_asked_unit(text: str) -> str:
    """Read the question in the observation, then the unit's own block, wherever it stands."""
    unit = re.findall(r"Where is (u\d+)\?", text)[-1]
    place = re.findall(rf'"at":"(\w+)","hp":\d+,"id":"{unit}"', text)[-1]
    return f"go to {place}"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture
def reader(loaded: LoadedModel, tmp_path: Path) -> Iterator[AgentRuntime]:
    """A runtime whose forward is scripted, in a pool so small that blocks have to leave and come back."""
    pool = Pool(geometry_of(loaded), 1800)
    engine = Engine(ReadingRunner(pool, loaded.text, where_is_the_asked_unit))  # type: ignore[arg-type]
    real = serve_model("default", loaded, MemoryStore(), pool_mib=1, max_rows=8, probed=False)
    real.close()
    cache = BlockCache(engine, MemoryStore())
    served = replace(real, engine=engine, cache=cache, prefetcher=Prefetcher(cache, real.loaded.context_limit))
    made = AgentRuntime({"default": served}, games=[write_game(tmp_path)])
    yield made
    engine.ask(served.cache.check, 30)
    made.close()


@pytest.mark.parametrize("mode", list(Mode))
def test_the_reader_wins_every_game_of_the_fixture(reader: AgentRuntime, mode: Mode) -> None:
    rng, wins = random.Random(mode), 0
    for game in range(4):
        match, session = f"{mode}-{game}", f"{mode}-{game}"
        open_duel(reader, mode, match=match, sessions=(session,))
        units = [{"id": f"u{i}", "hp": rng.randrange(90), "at": rng.choice(PLACES)} for i in range(12)]
        for turn in range(12):
            rng.shuffle(units)
            units[0] = {**units[0], "at": rng.choice(PLACES), "hp": rng.randrange(900)}
            asked = rng.choice(units)
            reader.put_state(match, turn, state={"units": [dict(unit) for unit in units], "secrets": {}})
            result = play(reader, turn, turn, session, observation=f"Where is {asked['id']}?", actions=ACTIONS)
            assert result.action is not None and result.action.id == f"go to {asked['at']}"
            assert result.legal_mass == pytest.approx(1, abs=1e-3)
            wins += 1
    assert wins == 48
