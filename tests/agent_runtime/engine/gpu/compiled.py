"""`python -m tests.agent_runtime.engine.gpu.compiled bfloat16:128 ...`: what kernels take of a multiprocessor.

It compiles them for an H100 (sm_90), which needs no GPU, and prints a JSON line for each: bytes of shared memory, and
registers and bytes that do not fit into them, of a thread; how many of its loops attend some keys while others are on
their way; and what the assembler warns of. `bfloat16:128:specialised` is the kernel whose warps are specialised, alone;
`:2:2` behind it, that of 2 query heads to a key head and 2 key heads, where there are else 4 and 8.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource
from triton.experimental.gluon._runtime import GluonASTSource

from agent_runtime.engine.gpu import attention, kernels
from agent_runtime.engine.gpu.tiling import tiling_of
from agent_runtime.engine.gpu.work_list import Shape

_NAMES = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}
_KINDS = ("narrow", "wide", "shared")
_ROWS, _SINGLES = ("q", "k_own", "v_own", "keys", "values", "out"), ("part_means", "part_sums", "cos", "sin")


def compiled(dtype: torch.dtype, head_dim: int, kind: int, *, specialised: bool, heads: tuple[int, int]) -> Any:
    """Compile one kernel as it is launched for `heads`: query heads to a key head, and key heads."""
    shape = Shape(*heads, 4096, tiling_of(dtype, head_dim, specialised=specialised), 132)
    constants: dict[str, Any] = {**attention.constants(shape, kind, dtype, head_dim), "KIND": kind}
    options = {
        name: constants.pop(name) for name in ("num_warps", "num_stages", "enable_fp_fusion") if name in constants
    }
    kernel: Any = attention._attending(shape.tiling[kind]) if kind < 2 else kernels.attend_shared
    names = kernel.arg_names
    types = {"scale": "fp32"} | dict.fromkeys(_ROWS, f"*{_NAMES[dtype]}") | dict.fromkeys(_SINGLES, "*fp32")
    signature = {name: "constexpr" if name in constants else types.get(name, "*i32") for name in names}
    places = {name: (number,) for number, name in enumerate(names)}
    source = (GluonASTSource if shape.tiling[kind].is_specialised else ASTSource)(
        fn=kernel,
        signature=signature,
        constexprs={places[name]: value for name, value in constants.items() if name in places},
        attrs={places[name]: [["tt.divisibility", 16]] for name in names if signature[name].startswith("*")},
    )
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


def registers_of(cubin: bytes) -> tuple[int, int]:
    """Return the registers of a thread, and the bytes of what does not fit into them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(cubin)
        tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
        said = _said(tool, "--dump-resource-usage", path)
    found = re.search(r"REG:(\d+) STACK:(\d+)", said)
    assert found is not None
    return int(found[1]), int(found[2])


def warnings_of(ptx: str) -> list[str]:
    """Return what the assembler warns of: that products wait for each other, for one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.ptx")
        path.write_text(ptx)
        said = _said(get_ptxas(90).path, "-v", "--gpu-name=sm_90a", path, "-o", Path(folder, "kernel.cubin"))
    return [line for line in said.splitlines() if re.search(r"warning|C7\d\d\d", line)]


def _said(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def num_overlapped(ttgir: str) -> int:
    """Return how many loops wait for some copies to shared memory and not for all: some stay on their way."""
    return sum(int(left) > 0 for left in re.findall(r"async_wait[^\n]*\{num = (\d+)", ttgir))


def main(words: list[str]) -> None:
    """Compile all kernels for every `dtype:head size` and print a line each."""
    assert not os.environ.get("TRITON_INTERPRET"), "what is interpreted is not compiled"
    warnings.simplefilter("error")  # Triton's, of defaults that are to change: a user would see them
    for word in words:
        name, size, *more = word.split(":")
        specialised = more[:1] == ["specialised"]
        heads = (int(more[1]), int(more[2])) if more[1:] else (4, 8)
        for kind, kind_name in [(1, "wide")] if specialised else enumerate(_KINDS):
            made = compiled(getattr(torch, name), int(size), kind, specialised=specialised, heads=heads)
            registers, spilled = registers_of(made.asm["cubin"])
            what = {"dtype": name, "head_dim": int(size), "kind": kind_name, "shared_bytes": made.metadata.shared}
            said = {"registers": registers, "spilled_bytes": spilled, "overlapped": num_overlapped(made.asm["ttgir"])}
            warned = {"specialised": specialised, "warnings": warnings_of(made.asm["ptx"])}
            print(json.dumps(what | said | warned), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
