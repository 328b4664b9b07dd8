"""What the tests of this room share: a tiny model, and one recording that is only read."""

from pathlib import Path

import pytest

from agent_runtime.engine.loading import LoadedModel
from tests.agent_runtime.first_look.worlds import record_match
from tests.agent_runtime.worlds import load_tiny


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("first-look")


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> LoadedModel:
    return load_tiny(tiny_folder)


@pytest.fixture(scope="session")
def recording(tiny_folder: Path, tiny: LoadedModel) -> Path:
    return record_match(tiny_folder, tiny)
