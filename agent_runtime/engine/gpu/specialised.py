"""`attend` for wide tiles on Hopper, whose warps are specialised: some move keys while others attend (Gluon).

A program is three partitions. The producer's warps take the listed tiles of keys: rows of keys and values go to a ring
in shared memory, `AHEAD` tiles ahead, and keys are rotated there in place, in float32 and rounded once. The two
consumers, a warpgroup each, attend 64 query rows each, so every key is rotated once for both: in `kernels.py` the warps
that rotate are those that multiply, and the tensor cores wait for them. Inputs, work list, outputs and what is merged
are those of `attend`; no atomics.

A slot of the ring is filled when the producer arrives at its barrier `full`, and free when both consumers have arrived
at `empty`. Each waits for the parity of the round that it is in; `brought` and `taken` count tiles of all units of a
program alike, so a unit without keys changes nothing. A thread arrives for all, so that all warps of its partition are
waited for before it does.

Shapes: N keys of a tile, HALF half the head dimension (a power of two), M = 64 query rows of a consumer.
"""

# What Triton compiles has types of its own.
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)

from agent_runtime.engine.gpu.producing import produce, unit_of, wait_all_warps

CONSTANTS = {
    "AHEAD": 2,
    "PRODUCERS": 4,
    "VECTOR": 4,
    "BUSY": 104,
    "WIDE": 200,
    "num_warps": 4,
}
"""How it is compiled, beside sizes. `AHEAD` tiles of keys are on their way: at most two less than there is room for
(`STAGES`), or the producer waits for what it has just filled. A thread of the `PRODUCERS` warps rotates `VECTOR`
numbers of a row at once: 4 read angles without conflicts of banks. It has `BUSY` registers, one of a consumer `WIDE`.
"""


@gluon.jit
def _seen(score, step, num, num_tiles, first_row, row, own, num_own, seen_to, N: gl.constexpr):
    """Return scores of one tile with those of what is not seen made -inf; score [M, N], row [M].

    Rows that are none see what they would: they are not written.
    """
    LAYOUT: gl.constexpr = score.type.layout
    n = gl.arange(0, N, gl.SliceLayout(0, LAYOUT))
    if step < num_tiles:
        if num < N:
            score = gl.where((n < num)[None, :], score, -float("inf"))
    else:
        at = own + (step - num_tiles) * N + n
        to = gl.load(seen_to + first_row + at, mask=at < own + num_own, other=0) - first_row
        score = gl.where((at[None, :] <= row[:, None]) & (row[:, None] < to[None, :]), score, -float("inf"))
    return score


@gluon.jit
def _weigh(score, scale, highest, total):
    """Go on with a softmax of exponents of 2: return weights [M, N], and by what was before fades.

    `scale` is above 0, and multiplies in the instruction that subtracts.
    """
    new_highest = gl.maximum(highest, gl.max(score, 1) * scale)
    base = gl.where(new_highest == -float("inf"), 0.0, new_highest)
    weight = gl.exp2(score * scale - base[:, None])
    fade = gl.exp2(highest - base)
    total = total * fade + gl.sum(weight, 1)
    return weight, fade, new_highest, total


@gluon.jit
def _queries(
    q,
    first_row,
    num_rows,
    tile,
    group,
    ME: gl.constexpr,
    HEADS: gl.constexpr,
    GROUPS: gl.constexpr,
    HALF: gl.constexpr,
    ROWS: gl.constexpr,
):
    """Load the query rows of consumer `ME`, both halves [M, HALF]."""
    PER_GROUP: gl.constexpr = HEADS // GROUPS
    LANES: gl.constexpr = HALF // 8
    LAYOUT: gl.constexpr = gl.BlockedLayout([1, 8], [32 // LANES, LANES], [4, 1], [1, 0])
    m = ME * 64 + gl.arange(0, 64, gl.SliceLayout(1, LAYOUT))
    row = tile * ROWS + m // PER_GROUP
    is_row = ((m < ROWS * PER_GROUP) & (row < num_rows))[:, None]
    at = ((first_row + row).to(gl.int64) * HEADS + group * PER_GROUP + m % PER_GROUP)[:, None] * (2 * HALF)
    at = at + gl.arange(0, HALF, gl.SliceLayout(0, LAYOUT))[None, :]
    return gl.load(q + at, mask=is_row, other=0.0), gl.load(q + at + HALF, mask=is_row, other=0.0)


@gluon.jit
def _write(
    written,
    mean,
    highest,
    total,
    first_row,
    num_rows,
    tile,
    group,
    part_at,
    ME: gl.constexpr,
    HEADS: gl.constexpr,
    GROUPS: gl.constexpr,
    HALF: gl.constexpr,
    ROWS: gl.constexpr,
):
    """Write what the query rows of consumer `ME` come to: mean [M, 2 * HALF], highest and total [M]."""
    PER_GROUP: gl.constexpr = HEADS // GROUPS
    DIM: gl.constexpr = 2 * HALF
    O_LAYOUT: gl.constexpr = mean.type.layout
    OF_MEAN: gl.constexpr = gl.SliceLayout(1, O_LAYOUT)
    OF_ROW: gl.constexpr = total.type.layout
    out, part_means, part_sums = written
    safe = gl.where(total > 0, total, 1.0)
    mean = mean / gl.convert_layout(safe, OF_MEAN)[:, None]
    m = ME * 64 + gl.arange(0, 64, OF_MEAN)
    row = tile * ROWS + m // PER_GROUP
    is_row = ((m < ROWS * PER_GROUP) & (row < num_rows))[:, None]
    head = group * PER_GROUP + m % PER_GROUP
    d = gl.arange(0, DIM, gl.SliceLayout(0, O_LAYOUT))[None, :]
    if part_at < 0:
        to = (first_row + row).to(gl.int64) * HEADS + head
        gl.store(out + to[:, None] * DIM + d, mean.to(out.dtype.element_ty), mask=is_row)
    else:
        to = (part_at + row).to(gl.int64) * HEADS + head
        gl.store(part_means + to[:, None] * DIM + d, mean, mask=is_row)
        log_sum = gl.where(total > 0, highest + gl.log2(safe), -float("inf"))
        m_sum = ME * 64 + gl.arange(0, 64, OF_ROW)
        row_sum = tile * ROWS + m_sum // PER_GROUP
        part = (part_at + row_sum).to(gl.int64) * HEADS + group * PER_GROUP + m_sum % PER_GROUP
        gl.store(part_sums + part, log_sum, mask=(m_sum < ROWS * PER_GROUP) & (row_sum < num_rows))


@gluon.jit
def _consume(
    q,
    work,
    scale,
    rings,
    full,
    empty,
    written,
    ME: gl.constexpr,
    KIND: gl.constexpr,
    HEADS: gl.constexpr,
    GROUPS: gl.constexpr,
    HALF: gl.constexpr,
    N: gl.constexpr,
    FIELDS: gl.constexpr,
    TILE_FIELDS: gl.constexpr,
    STAGES: gl.constexpr,
):
    """Attend 64 of the 128 query rows of every unit, number `ME` of the two."""
    k1_ring, k2_ring, v_ring = rings
    M: gl.constexpr = 64
    PER_GROUP: gl.constexpr = HEADS // GROUPS
    ROWS: gl.constexpr = 2 * M // PER_GROUP
    DIM: gl.constexpr = 2 * HALF
    S_LAYOUT: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, N, 16])
    O_LAYOUT: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, DIM, 16])
    Q_LAYOUT: gl.constexpr = gl.DotOperandLayout(0, S_LAYOUT, 2)
    P_LAYOUT: gl.constexpr = gl.DotOperandLayout(0, O_LAYOUT, 2)
    OF_ROW: gl.constexpr = gl.SliceLayout(1, S_LAYOUT)
    OF_MEAN: gl.constexpr = gl.SliceLayout(1, O_LAYOUT)

    count = gl.load(work + KIND) * GROUPS
    items = work + gl.load(work + 3 + KIND)
    key_tiles = work + gl.load(work + 6)
    seen_to = work + gl.load(work + 7)
    taken = gl.to_tensor(0)  # tiles of all units so far
    for turn in range(0, gl.cdiv(count, gl.num_programs(0))):
        unit = unit_of(turn)
        if unit < count:
            group = unit % GROUPS
            item = items + (unit // GROUPS) * FIELDS
            first_row = gl.load(item)
            num_rows = gl.load(item + 1)
            tile = gl.load(item + 2)
            extents = key_tiles + gl.load(item + 3) * TILE_FIELDS
            num_tiles = gl.load(item + 4)
            own = gl.load(item + 5)
            num_own = gl.load(item + 6)
            part_at = gl.load(item + 7)
            num_steps = num_tiles + gl.cdiv(num_own, N)

            q1, q2 = _queries(q, first_row, num_rows, tile, group, ME, HEADS, GROUPS, HALF, ROWS)
            q1 = gl.convert_layout(q1, Q_LAYOUT)
            q2 = gl.convert_layout(q2, Q_LAYOUT)
            m = ME * M + gl.arange(0, M, OF_ROW)
            row = tile * ROWS + m // PER_GROUP
            highest = gl.full([M], -float("inf"), gl.float32, OF_ROW)
            total = gl.zeros([M], gl.float32, OF_ROW)
            mean = gl.zeros([M, DIM], gl.float32, O_LAYOUT)

            is_there = num_tiles > 0
            next_a = gl.load(extents + 2, mask=is_there, other=0)
            next_b = gl.load(extents + 5, mask=is_there, other=0)
            for step in range(0, num_steps):
                num = next_a + next_b
                is_there = step + 1 < num_tiles
                at = extents + (step + 1) * TILE_FIELDS
                next_a = gl.load(at + 2, mask=is_there, other=0)
                next_b = gl.load(at + 5, mask=is_there, other=0)
                number = taken + step
                slot = number % STAGES
                mbarrier.wait(full.index(slot), (number // STAGES) & 1)
                nothing = gl.zeros([M, N], gl.float32, S_LAYOUT)
                k1, k2 = k1_ring.index(slot).permute((1, 0)), k2_ring.index(slot).permute((1, 0))
                score = warpgroup_mma(q1, k1, nothing, use_acc=False, is_async=True)
                score = warpgroup_mma(q2, k2, score, is_async=True)
                score = warpgroup_mma_wait(0, deps=[score])
                score = _seen(score, step, num, num_tiles, first_row, row, own, num_own, seen_to, N)
                weight, fade, highest, total = _weigh(score, scale, highest, total)
                weight = gl.convert_layout(weight.to(q.dtype.element_ty), P_LAYOUT)
                mean = mean * gl.convert_layout(fade, OF_MEAN)[:, None]
                going = warpgroup_mma(weight, v_ring.index(slot), mean, is_async=True)
                mean = warpgroup_mma_wait(0, deps=[going])
                wait_all_warps()
                mbarrier.arrive(empty.index(slot))
            taken += num_steps

            _write(
                written,
                mean,
                highest,
                total,
                first_row,
                num_rows,
                tile,
                group,
                part_at,
                ME,
                HEADS,
                GROUPS,
                HALF,
                ROWS,
            )


@gluon.jit
def attend_specialised(
    q,
    k_own,
    v_own,
    keys,
    values,
    out,
    part_means,
    part_sums,
    work,
    KIND: gl.constexpr,
    cos,
    sin,
    scale,
    HEADS: gl.constexpr,
    GROUPS: gl.constexpr,
    HALF: gl.constexpr,
    FIELDS: gl.constexpr,
    TILE_FIELDS: gl.constexpr,
    N: gl.constexpr,
    STAGES: gl.constexpr,
    AHEAD: gl.constexpr,
    PRODUCERS: gl.constexpr,
    VECTOR: gl.constexpr,
    BUSY: gl.constexpr,
    WIDE: gl.constexpr,
):
    """Attend items of work as `attend` does: units of 128 query rows over some keys of a view and some of their own.

    Launched with 4 warps, which are the first consumer.
    """
    dtype: gl.constexpr = keys.dtype.element_ty
    HALF_LAYOUT: gl.constexpr = gl.NVMMASharedLayout.get_default_for([N, HALF], dtype)
    WHOLE_LAYOUT: gl.constexpr = gl.NVMMASharedLayout.get_default_for([N, 2 * HALF], dtype)
    PLAIN: gl.constexpr = gl.SwizzledSharedLayout(1, 1, 1, [0])
    k1_ring = gl.allocate_shared_memory(dtype, [STAGES, N, HALF], HALF_LAYOUT)
    k2_ring = gl.allocate_shared_memory(dtype, [STAGES, N, HALF], HALF_LAYOUT)
    v_ring = gl.allocate_shared_memory(dtype, [STAGES, N, 2 * HALF], WHOLE_LAYOUT)
    # Four rings, not one: between copies to one buffer the compiler has all warps wait for each other.
    cos_a_ring = gl.allocate_shared_memory(gl.float32, [STAGES, HALF], PLAIN)
    sin_a_ring = gl.allocate_shared_memory(gl.float32, [STAGES, HALF], PLAIN)
    cos_b_ring = gl.allocate_shared_memory(gl.float32, [STAGES, HALF], PLAIN)
    sin_b_ring = gl.allocate_shared_memory(gl.float32, [STAGES, HALF], PLAIN)
    full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for slot in gl.static_range(STAGES):
        mbarrier.init(full.index(slot), count=1)
        mbarrier.init(empty.index(slot), count=2)
    fence_async_shared()
    wait_all_warps()
    rings = (k1_ring, k2_ring, v_ring)
    angles = (cos_a_ring, sin_a_ring, cos_b_ring, sin_b_ring)
    given, written = (k_own, v_own, keys, values, cos, sin), (out, part_means, part_sums)
    gl.warp_specialize(
        [
            (
                _consume,
                (
                    q,
                    work,
                    scale,
                    rings,
                    full,
                    empty,
                    written,
                    0,
                    KIND,
                    HEADS,
                    GROUPS,
                    HALF,
                    N,
                    FIELDS,
                    TILE_FIELDS,
                    STAGES,
                ),
            ),
            (
                _consume,
                (
                    q,
                    work,
                    scale,
                    rings,
                    full,
                    empty,
                    written,
                    1,
                    KIND,
                    HEADS,
                    GROUPS,
                    HALF,
                    N,
                    FIELDS,
                    TILE_FIELDS,
                    STAGES,
                ),
            ),
            (
                produce,
                (
                    given,
                    work,
                    rings,
                    angles,
                    full,
                    empty,
                    KIND,
                    GROUPS,
                    HALF,
                    N,
                    FIELDS,
                    TILE_FIELDS,
                    STAGES,
                    AHEAD,
                    PRODUCERS,
                    VECTOR,
                ),
            ),
        ],
        [4, PRODUCERS],
        [WIDE, BUSY],
    )
