"""A tiny model, and a seat at the lamps."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.seat import Seat
from tests.agent_runtime.worlds import load_tiny
from tests.game_adapters.lamps_game import Lamps


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The tiny tokenizer needs several tokens a word, so the context is made longer than the tiny model's own."""
    return replace(load_tiny(tmp_path_factory.mktemp("models")), context_limit=16384)


@pytest.fixture
def seat(loaded: LoadedModel) -> Iterator[Seat]:
    with Seat(Lamps(), loaded, pool_mib=16) as made:
        yield made
