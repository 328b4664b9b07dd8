"""`python -m tests.agent_runtime.engine.gpu.compiled_scattering 2048 ...`: the kernel for tokens of so many bytes.

It is compiled for an H100 (sm_90), which needs no GPU, and printed in PTX, one behind the other with a NUL between.
"""

import os
import sys
import warnings

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from agent_runtime.engine.gpu.fused import FUSION
from agent_runtime.engine.gpu.scattering import constants, scatter


def compiled(row_bytes: int) -> str:
    """Compile the kernel as it is launched where all layers begin at multiples of 16 bytes."""
    fixed = constants(row_bytes, min(row_bytes & -row_bytes, 16))
    names, pointers = scatter.arg_names, ("layers", "tokens")
    source = ASTSource(
        fn=scatter,
        signature={name: "constexpr" if name in fixed else "*i64" if name in pointers else "i32" for name in names},
        constexprs={(names.index(name),): value for name, value in fixed.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in pointers},
    )
    return str(
        triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": FUSION}).asm["ptx"]
    )


if __name__ == "__main__":
    assert not os.environ.get("TRITON_INTERPRET"), "what is interpreted is not compiled"
    warnings.simplefilter("error")
    print("\0".join(compiled(int(word)) for word in sys.argv[1:]))
