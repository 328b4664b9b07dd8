"""What a GPU is too small for, or cannot do, is told in a sentence."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch

from agent_runtime.engine.attention import MOVE_KEYS
from agent_runtime.engine.choice import chosen_runner
from agent_runtime.engine.span import Span
from tests.agent_runtime.engine.reference import star_logits
from tests.agent_runtime.engine.worlds import encode, random_ids, view_of
from tests.gpu.worlds import cuda_world
from tests.tiny_models import save_tiny_model

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).parents[2]
# In a process of its own: one that has computed before keeps memory, in which a tiny model would find room.
LIMITED = "import torch; torch.cuda.set_per_process_memory_fraction(1e-7)\n"
LOAD = """
import sys
from pathlib import Path
from agent_runtime.engine.errors import EngineError
from agent_runtime.engine.loading import ModelSpec, load_model
try:
    loaded = load_model(ModelSpec(sys.argv[1], device="cuda"), Path(sys.argv[1] + "-cache"))
except EngineError as error:
    print(type(error).__name__, error)
else:
    print("loaded on", loaded.device.type)
"""


def said(code: str, *words: object, **environment: str) -> str:
    """Return the last line that a process of its own prints."""
    # What this process has found on its path, packages too, is found there.
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    ran = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "guard")


def test_a_model_that_fits_is_loaded(folder: Path) -> None:
    assert said(LOAD, folder) == "loaded on cuda"


def test_a_model_too_large_for_the_card_says_what_would_help(folder: Path) -> None:
    told = said(LIMITED + LOAD, folder)
    assert told.startswith("DeviceTooSmall The model 'guard' in bfloat16 does not fit into the GPU"), told
    assert "--device-map auto" in told


def test_where_no_gpu_is_seen_a_model_that_is_to_be_on_one_is_refused(folder: Path) -> None:
    told = said(LOAD, folder, CUDA_VISIBLE_DEVICES="")
    assert told.startswith("NoCuda 'cuda' cannot be used: ") and told.endswith("or compute on the CPU."), told


def test_heads_that_the_kernels_do_not_do_are_served_by_plain_torch(caplog: pytest.LogCaptureFixture) -> None:
    w, rng = cuda_world("heads of 320"), numpy.random.default_rng(1)
    caplog.set_level(logging.INFO, "agent_runtime.engine.choice")
    runner = chosen_runner(w.runner.model, w.pool, w.runner.rope)
    assert runner.model.config._attn_implementation == MOVE_KEYS
    [record] = caplog.records
    assert "heads have 320 dimensions" in record.getMessage() and record.levelno == logging.WARNING
    blocks, observation = [random_ids(rng, 20) for _ in range(3)], random_ids(rng, 9)
    runs, spans = encode(w, blocks)
    asked = Span(observation, 60, view_of(runs), wanted="all")
    logits = runner.run([*spans, asked])[asked].cpu()
    torch.testing.assert_close(logits, star_logits(w.twin, blocks, observation), atol=5e-4, rtol=5e-4)
