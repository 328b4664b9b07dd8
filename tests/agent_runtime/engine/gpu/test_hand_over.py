"""What racecheck reports of the hand-over to specialised warps is no race: our kernel, and a small one, spoilt."""

from pathlib import Path

import pytest

from tests.agent_runtime.engine.gpu.hand_over import faults_of
from tests.agent_runtime.engine.gpu.test_tiling import compiled
from tests.gpu.hazards import KERNEL, SOURCE, hand_over_lines

SMALL = """
.visible .entry attend_specialised(
    .loc 1 9 0
    ld.param.b32 %r257, [attend_specialised_param_11];
    shfl.sync.idx.b32 %r2, %r258, 0, 31, -1;
    mov.b32 %r3, global_smem;
    @%p1 bra $L__BB0_4;
    bra.uni $L__BB0_2;
$L__BB0_4:
    .loc 1 12 22                         // specialised.py:12:22
    @%p176 mbarrier.init.shared::cta.b64 [%r1571], 1;
    bar.sync 0, 128;
    .loc 1 9 0
    st.shared.v2.b32 [global_smem+64], {0, 16843009};
    barrier.sync 1;
    setmaxnreg.dec.sync.aligned.u32 200;
    barrier.sync 1;
    .loc 1 3 39
    st.shared.v4.b32 [%r151+32], {%r1, %r2, %r3, %r4};
    barrier.sync 1;
    .loc 1 20 4
    st.shared.v2.b32 [global_smem+64], {33686018, 33686018};
    barrier.sync 1;
    bra.uni $L__BB0_63;
$L__BB0_2:                              // %.preheader
    .loc 1 9 0
    barrier.sync 1;
    add.s32 %r260, %r3, %r2;
    ld.shared.b8 %rs1, [%r260+60];
    @%p2 bra $L__BB0_6;
    @%p4 bra $L__BB0_63;
    barrier.sync 1;
    barrier.sync 1;
    bra.uni $L__BB0_2;
$L__BB0_6:
    barrier.sync 1;
$L__tmp1:
    .loc 2 62 13, function_name $L__info_string0, inlined_at 1 9 1
    ld.shared.v4.b32 {%r5, %r6, %r7, %r8}, [%r384+16];
    .loc 1 9 0
    barrier.sync 1;
    bra.uni $L__BB0_2;
$L__BB0_63:
    ret;
    .file 1 "/somewhere/specialised.py"
    .file 2 "/somewhere/producing.py"
"""
"""A kernel at line 9 that specialises its warps at line 20, as Triton compiles it; 72 bytes of shared memory."""
DTYPES = ("bfloat16", "float16")
WRITE, READ, BARRIER = "st.shared.v2.b32 [global_smem+64], {0", "ld.shared.b8 %rs1", "barrier.sync 1;\n"


def test_only_the_hand_over_is_at_its_lines_and_barriers_are_between_its_writes_and_reads(tmp_path: Path) -> None:
    # Of a large model, and what racecheck watches.
    found = compiled(tmp_path, *(f"{dtype}:128:specialised:{heads}" for dtype in DTYPES for heads in ("4:8", "2:2")))
    made = [path.read_text() for path in tmp_path.rglob(f"{KERNEL}.ptx")]
    (shared_bytes,) = {each["shared_bytes"] for each in found}
    assert len(made) == len(found) == 4
    assert [faults_of(ptx, SOURCE.name, hand_over_lines(), shared_bytes) for ptx in made] == [[], [], [], []]


def test_the_lines_are_those_of_the_source() -> None:
    text = SOURCE.read_text(encoding="utf-8").splitlines()
    assert [text[line - 1].strip() for line in sorted(hand_over_lines())] == [f"def {KERNEL}(", "gl.warp_specialize("]


@pytest.mark.parametrize(
    ("was", "becomes", "fault"),
    [
        (".loc 1 12 22", ".loc 1 20 4", "not of the hand-over: mbarrier.init"),
        (".loc 1 3 39", ".loc 1 9 0", "not of the hand-over: st.shared.v4"),
        (".loc 2 62 13", ".loc 1 0 0", "not of the hand-over: ld.shared.v4"),
        ("st.shared.v4.b32 [", ".loc 1 9 0\n    @%p5 st.b32 [", "not of the hand-over: st.b32"),
        ("st.shared.v4.b32 [", ".loc 1 9 0\n    wgmma.mma_async [", "not of the hand-over: wgmma"),
        ("+64], {0", "+56], {0", "not of the hand-over: st.shared.v2.b32 [global_smem+56]"),
        ("+60]", "+61]", "not of the hand-over: ld.shared.b8"),
        ("%r260, %r3, %r2", "%r260, %r3, %r9", "not of the hand-over: ld.shared.b8"),
        (READ, "ld.global.b8 %rs1", "nothing is handed over"),
        (
            f"16843009}};\n    {BARRIER}",
            "16843009};\n    @%p9 bra $L__BB0_2;\n    barrier.sync 1;\n",
            "no barrier behind",
        ),
        (f"33686018}};\n    {BARRIER}", "33686018};\n", "no barrier behind"),
        (f"{BARRIER}    .loc 1 20 4\n", ".loc 1 20 4\n", "no barrier before st.shared"),
        (f"{BARRIER}    add.s32", "add.s32", "no barrier before ld.shared"),
        (READ, f"$L__BB0_7:\n    {READ}", "no barrier before ld.shared"),
        (WRITE, f"{BARRIER}    {WRITE}", "a barrier before the first write"),
        (f"$L__BB0_6:\n    {BARRIER}", "$L__BB0_6:\n", "behind a read: ld.shared.v4.b32"),
        (f"{BARRIER}    .loc 1 20 4\n", "@%p9 barrier.sync 1;\n    .loc 1 20 4\n", "no barrier before st.shared"),
        (f"{BARRIER}    .loc 1 3 39\n", ".loc 1 3 39\n", "barriers from write to write"),
        (f"{BARRIER}    .loc 1 3 39\n", "@%p7 bra $L__BB0_4;\n    barrier.sync 1;\n", "barriers from write to write"),
        (
            f"{BARRIER}    barrier.sync 1;\n    bra.uni $L__BB0_2",
            f"{BARRIER}    bra.uni $L__BB0_2",
            "barriers from write to write",
        ),
        ("[%r384+16];\n", "[%r384+16];\n    @%p8 bra $L__BB0_2;\n", "barriers from write to write and from read to"),
        (f"$L__BB0_2:    {' ' * 26}//", f"$L__BB0_2:\n    {BARRIER}//", "barriers before the first write and"),
        (f"{BARRIER}    .loc 1 20 4\n", "barrier.sync 1, 128;\n    .loc 1 20 4\n", "not of all warps: barrier.sync"),
    ],
)
def test_what_is_not_so_is_found(was: str, becomes: str, fault: str) -> None:
    assert faults_of(SMALL, "specialised.py", (9, 20), 72) == []
    spoilt = SMALL.replace(was, becomes)
    assert spoilt != SMALL
    assert any(each.startswith(fault) for each in faults_of(spoilt, "specialised.py", (9, 20), 72))
