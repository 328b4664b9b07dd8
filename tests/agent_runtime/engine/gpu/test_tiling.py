"""What the kernels take of a GPU, which they are compiled for without having one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from agent_runtime.engine.gpu.tiling import SHARED_BYTES, tiling_of

REGISTERS = 65_536
DTYPES = ("bfloat16", "float16", "float32")


def compiled(folder: Path, *words: str) -> list[dict[str, Any]]:
    """Compile in a process that does not interpret; a cache of its own, or nothing would be compiled."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.agent_runtime.engine.gpu.compiled", *words]
    made = subprocess.run(
        command, env=environment | {"TRITON_CACHE_DIR": str(folder)}, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return [json.loads(line) for line in made.stdout.splitlines()]


def fits(found: dict[str, Any]) -> bool:
    tiling = tiling_of(getattr(torch, found["dtype"]), found["head_dim"], specialised=found["specialised"])
    tile = tiling[("narrow", "wide", "shared").index(found["kind"])]
    is_in_memory = tile.programs * (found["shared_bytes"] + 1024) <= SHARED_BYTES + 1024
    is_in_registers = tile.programs * tile.warps * 32 * found["registers"] <= REGISTERS
    return is_in_memory and is_in_registers and found["spilled_bytes"] <= 96


def test_programs_fit_beside_each_other_where_tiles_are_largest(tmp_path: Path) -> None:
    found = compiled(tmp_path, "bfloat16:128", "float32:256")
    assert len(found) == 6 and [each for each in found if not fits(each)] == []
    # Keys of a view and a bundle's own; where queries are turned, keys of a run. Singles are multiplied from registers.
    overlapped = {each["kind"]: each["overlapped"] for each in found if each["dtype"] == "bfloat16"}
    assert overlapped == {"narrow": 2, "wide": 2, "shared": 1}


@pytest.mark.soak
@pytest.mark.parametrize("dtype", DTYPES)
def test_programs_fit_beside_each_other_for_every_size_of_heads(dtype: str, tmp_path: Path) -> None:
    found = compiled(tmp_path, *(f"{dtype}:{size}" for size in (64, 96, 128, 256)))
    assert len(found) == 12 and [each for each in found if not fits(each)] == []


def test_larger_heads_are_refused_with_their_size() -> None:
    with pytest.raises(ValueError, match="heads have 320 dimensions"):
        tiling_of(torch.bfloat16, 320)
