"""The producer of `specialised.py`: warps that bring tiles of keys and values into a ring, keys rotated.

Shapes: N keys of a tile, HALF half the head dimension.
"""

# What Triton compiles has types of its own.
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.ampere import async_copy
from triton.experimental.gluon.language.nvidia.hopper import fence_async_shared, mbarrier

# Triton 3.6 has other names for two of them than 3.9.
copy_to_shared = getattr(async_copy, "async_load", None) or async_copy.async_copy_global_to_shared
wait_all_warps = getattr(gl, "barrier", None) or gl.thread_barrier


@gluon.jit
def unit_of(turn):
    """Return which unit of work a program takes in its `turn`: to and fro, so that the lengths of units even out."""
    me, programs = gl.program_id(0), gl.num_programs(0)
    return turn * programs + gl.where(turn % 2 == 0, me, programs - 1 - me)


@gluon.jit
def produce(
    given,
    work,
    rings,
    angles,
    full,
    empty,
    KIND: gl.constexpr,
    GROUPS: gl.constexpr,
    HALF: gl.constexpr,
    N: gl.constexpr,
    FIELDS: gl.constexpr,
    TILE_FIELDS: gl.constexpr,
    STAGES: gl.constexpr,
    AHEAD: gl.constexpr,
    WARPS: gl.constexpr,
    VECTOR: gl.constexpr,
):
    """Bring tile after tile into the ring, keys rotated."""
    k_own, v_own, keys, values, cos, sin = given
    k1_ring, k2_ring, v_ring = rings
    cos_a_ring, sin_a_ring, cos_b_ring, sin_b_ring = angles
    DIM: gl.constexpr = 2 * HALF
    LANES: gl.constexpr = HALF // 8
    K_LAYOUT: gl.constexpr = gl.BlockedLayout([1, 8], [32 // LANES, LANES], [WARPS, 1], [1, 0])
    ROW_LAYOUT: gl.constexpr = gl.BlockedLayout([4], [32], [WARPS], [0])
    ACROSS: gl.constexpr = HALF // VECTOR
    TURN_LAYOUT: gl.constexpr = gl.BlockedLayout([1, VECTOR], [32 // ACROSS, ACROSS], [WARPS, 1], [1, 0])
    ANGLE_LAYOUT: gl.constexpr = gl.SliceLayout(0, TURN_LAYOUT)
    n_k = gl.arange(0, N, gl.SliceLayout(1, K_LAYOUT))
    f = gl.arange(0, HALF, gl.SliceLayout(0, K_LAYOUT))[None, :]
    d = gl.arange(0, DIM, gl.SliceLayout(0, K_LAYOUT))[None, :]
    n_turn = gl.arange(0, N, gl.SliceLayout(1, TURN_LAYOUT))
    f_row = gl.arange(0, HALF, ROW_LAYOUT)

    count = gl.load(work + KIND) * GROUPS
    items = work + gl.load(work + 3 + KIND)
    key_tiles = work + gl.load(work + 6)
    brought = gl.to_tensor(0)  # tiles of all units so far
    for turn in range(0, gl.cdiv(count, gl.num_programs(0))):
        unit = unit_of(turn)
        if unit < count:
            group = unit % GROUPS
            item = items + (unit // GROUPS) * FIELDS
            first_row = gl.load(item)
            extents = key_tiles + gl.load(item + 3) * TILE_FIELDS
            num_tiles = gl.load(item + 4)
            own = gl.load(item + 5)
            num_own = gl.load(item + 6)
            num_steps = num_tiles + gl.cdiv(num_own, N)

            # What a tile is is loaded a step before its rows are, or those could not be on their way in time.
            is_there = num_tiles > 0
            next_a = gl.load(extents, mask=is_there, other=0)
            next_shift_a = gl.load(extents + 1, mask=is_there, other=0)
            next_num_a = gl.load(extents + 2, mask=is_there, other=0)
            next_b = gl.load(extents + 3, mask=is_there, other=0)
            next_shift_b = gl.load(extents + 4, mask=is_there, other=0)
            next_num_b = gl.load(extents + 5, mask=is_there, other=0)
            for step in range(0, num_steps + AHEAD):
                first_a, shift_a, num_a = next_a, next_shift_a, next_num_a
                first_b, shift_b, num_b = next_b, next_shift_b, next_num_b
                is_there = step + 1 < num_tiles
                behind = extents + (step + 1) * TILE_FIELDS
                next_a = gl.load(behind, mask=is_there, other=0)
                next_shift_a = gl.load(behind + 1, mask=is_there, other=0)
                next_num_a = gl.load(behind + 2, mask=is_there, other=0)
                next_b = gl.load(behind + 3, mask=is_there, other=0)
                next_shift_b = gl.load(behind + 4, mask=is_there, other=0)
                next_num_b = gl.load(behind + 5, mask=is_there, other=0)
                ready = step - AHEAD
                is_turned = (ready >= 0) & (ready < num_tiles)
                turned_a = gl.load(extents + ready * TILE_FIELDS + 2, mask=is_turned, other=0)
                turned_b = gl.load(extents + ready * TILE_FIELDS + 5, mask=is_turned, other=0)

                if step < num_steps:
                    number = brought + step
                    slot = number % STAGES
                    mbarrier.wait(empty.index(slot), ((number // STAGES) & 1) ^ 1)
                    if step < num_tiles:
                        is_key = (n_k < num_a + num_b)[:, None]
                        key = gl.where(n_k < num_a, first_a, first_b - num_a) + n_k
                        at = (key.to(gl.int64) * GROUPS + group)[:, None] * DIM
                        copy_to_shared(k1_ring.index(slot), keys + at + f, mask=is_key)
                        copy_to_shared(k2_ring.index(slot), keys + at + HALF + f, mask=is_key)
                        a, b = shift_a.to(gl.int64) * HALF, shift_b.to(gl.int64) * HALF
                        copy_to_shared(cos_a_ring.index(slot), cos + a + f_row)
                        copy_to_shared(sin_a_ring.index(slot), sin + a + f_row)
                        copy_to_shared(cos_b_ring.index(slot), cos + b + f_row)
                        copy_to_shared(sin_b_ring.index(slot), sin + b + f_row)
                        copy_to_shared(v_ring.index(slot), values + at + d, mask=is_key)
                    else:
                        begin = own + (step - num_tiles) * N
                        is_key = (n_k < own + num_own - begin)[:, None]
                        key = first_row + begin + n_k
                        at = (key.to(gl.int64) * GROUPS + group)[:, None] * DIM
                        copy_to_shared(k1_ring.index(slot), k_own + at + f, mask=is_key)
                        copy_to_shared(k2_ring.index(slot), k_own + at + HALF + f, mask=is_key)
                        copy_to_shared(v_ring.index(slot), v_own + at + d, mask=is_key)
                async_copy.commit_group()

                if ready >= 0:
                    slot = (brought + ready) % STAGES
                    async_copy.wait_group(AHEAD)
                    if ready < num_tiles:
                        if turned_b == 0:  # all keys of most tiles are moved alike: nothing to be chosen
                            cos_one = cos_a_ring.index(slot).load(ANGLE_LAYOUT)[None, :]
                            sin_one = sin_a_ring.index(slot).load(ANGLE_LAYOUT)[None, :]
                            y1 = k1_ring.index(slot).load(TURN_LAYOUT).to(gl.float32)
                            y2 = k2_ring.index(slot).load(TURN_LAYOUT).to(gl.float32)
                            k1_ring.index(slot).store((y1 * cos_one - y2 * sin_one).to(keys.dtype.element_ty))
                            k2_ring.index(slot).store((y2 * cos_one + y1 * sin_one).to(keys.dtype.element_ty))
                        else:
                            is_a = (n_turn < turned_a)[:, None]
                            cos_a = cos_a_ring.index(slot).load(ANGLE_LAYOUT)[None, :]
                            sin_a = sin_a_ring.index(slot).load(ANGLE_LAYOUT)[None, :]
                            cos_b = cos_b_ring.index(slot).load(ANGLE_LAYOUT)[None, :]
                            sin_b = sin_b_ring.index(slot).load(ANGLE_LAYOUT)[None, :]
                            x1 = k1_ring.index(slot).load(TURN_LAYOUT).to(gl.float32)
                            x2 = k2_ring.index(slot).load(TURN_LAYOUT).to(gl.float32)
                            c = gl.where(is_a, cos_a, cos_b)
                            s = gl.where(is_a, sin_a, sin_b)
                            k1_ring.index(slot).store((x1 * c - x2 * s).to(keys.dtype.element_ty))
                            k2_ring.index(slot).store((x2 * c + x1 * s).to(keys.dtype.element_ty))
                    # Products read shared memory by another way than these warps write it.
                    fence_async_shared()
                    wait_all_warps()
                    mbarrier.arrive(full.index(slot))
            brought += num_steps
