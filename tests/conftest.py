"""What all tests share: nothing is fetched from a network, and what takes long to load is loaded at most once."""

import gc
import os
from collections.abc import Iterator

import pytest

from tests.preloaded import Preloaded

# transformers reads these when it is imported.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
# Without a GPU Triton's kernels are interpreted. It has to know before it is imported, by torch for one.
if not os.path.exists("/dev/nvidiactl"):
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_configure() -> None:
    """Look for garbage seldom: among torch's objects, which stay, that took a quarter of the time of all tests."""
    gc.set_threshold(10_000, *gc.get_threshold()[1:])


@pytest.fixture(scope="session")
def preloaded() -> Iterator[Preloaded]:
    """Runs commands as processes that have torch loaded, for tests whose point is not the start."""
    with Preloaded() as made:
        yield made


@pytest.fixture(scope="session")
def smollm() -> Iterator[object]:
    """The embedded SmolLM2-135M as a LoadedModel, without an adapter; mark tests that use it with `smollm`."""
    from agent_runtime.adapter_choice import AdapterChoice
    from agent_runtime.engine.loading import ModelSpec, load_model

    yield load_model(ModelSpec(adapter=AdapterChoice.NONE))
