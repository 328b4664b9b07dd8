"""The kernels of attention: rows are attended over a work list, and their parts merged.

A program of `attend` walks over tiles of keys that need not lie together: a tile is two extents at most, and all keys
of one are moved by as many positions (`key_tiles.py`). So where keys lie is computed, and two rows of cosines and sines
are all that a tile needs of the rotary table. Its keys are rotated as they are read, in float32 and rounded once: a
stored block is read where it lies, by any prompt, at any place.

Shapes: M query rows of a program (whole rows of the forward, each with the query heads of one key head), N keys of a
tile, F half the head dimension (padded to a power of two).
"""

# What Triton compiles has types of its own.
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import triton
import triton.language as tl


@triton.jit
def _scores(q1, q2, k1, k2, seen, scale, PRECISION: tl.constexpr):
    score = tl.dot(q1, tl.trans(k1), input_precision=PRECISION)
    score = tl.dot(q2, tl.trans(k2), score, input_precision=PRECISION) * scale
    return tl.where(seen, score, -float("inf"))


@triton.jit
def _take_in(score, v1, v2, highest, total, mean1, mean2, PRECISION: tl.constexpr):
    """Go on with a softmax whose scores come tile by tile, as exponents of 2."""
    new_highest = tl.maximum(highest, tl.max(score, 1))
    base = tl.where(new_highest == -float("inf"), 0.0, new_highest)
    weight = tl.exp2(score - base[:, None])
    fade = tl.exp2(highest - base)
    total = total * fade + tl.sum(weight, 1)
    weight = weight.to(v1.dtype)
    mean1 = tl.dot(weight, v1, mean1 * fade[:, None], input_precision=PRECISION)
    mean2 = tl.dot(weight, v2, mean2 * fade[:, None], input_precision=PRECISION)
    return new_highest, total, mean1, mean2


@triton.jit
def _put_part(part_means, part_sums, part, mean1, mean2, highest, total, is_row, HALF: tl.constexpr, F: tl.constexpr):
    """Write a part that `merge` is to find: the means, and the logarithm to base 2 of the sum of all weights."""
    f = tl.arange(0, F)
    stored = is_row[:, None] & (f < HALF)[None, :]
    to = part[:, None] * 2 * HALF + f[None, :]
    tl.store(part_means + to, mean1, mask=stored)
    tl.store(part_means + to + HALF, mean2, mask=stored)
    log_sum = tl.where(total > 0, highest + tl.log2(tl.where(total > 0, total, 1.0)), -float("inf"))
    tl.store(part_sums + part, log_sum, mask=is_row)


@triton.jit
def _unit(turn):
    """Return which unit of work a program takes in its `turn`: to and fro, so that the lengths of units even out."""
    me, programs = tl.program_id(0), tl.num_programs(0)
    return turn * programs + tl.where(turn % 2 == 0, me, programs - 1 - me)


@triton.jit
def _key_tile(at, is_there):
    """Load what a tile of keys is: first slot, shift and number of keys of each of its two extents."""
    return (
        tl.load(at, mask=is_there, other=0),
        tl.load(at + 1, mask=is_there, other=0),
        tl.load(at + 2, mask=is_there, other=0),
        tl.load(at + 3, mask=is_there, other=0),
        tl.load(at + 4, mask=is_there, other=0),
        tl.load(at + 5, mask=is_there, other=0),
    )


@triton.jit
def attend(
    q,
    k_own,
    v_own,
    keys,
    values,
    out,
    part_means,
    part_sums,
    work,
    KIND: tl.constexpr,
    cos,
    sin,
    scale,
    HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    HALF: tl.constexpr,
    F: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    FIELDS: tl.constexpr,
    TILE_FIELDS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Attend items of work: a tile of a bundle's rows over some keys of its view and some of its own, for one key head.

    `work` is the whole list; `KIND` is which of its items.
    """
    PER_GROUP: tl.constexpr = HEADS // GROUPS
    ROWS: tl.constexpr = M // PER_GROUP
    DIM: tl.constexpr = 2 * HALF
    count = tl.load(work + KIND) * GROUPS
    items = work + tl.load(work + 3 + KIND)
    key_tiles = work + tl.load(work + 6)
    seen_to = work + tl.load(work + 7)
    for turn in range(0, tl.cdiv(count, tl.num_programs(0))):
        unit = _unit(turn)
        if unit < count:
            group = unit % GROUPS
            item = items + (unit // GROUPS) * FIELDS
            first_row = tl.load(item)
            num_rows = tl.load(item + 1)
            tile = tl.load(item + 2)
            first_tile = tl.load(item + 3)
            num_tiles = tl.load(item + 4)
            own = tl.load(item + 5)
            num_own = tl.load(item + 6)
            part_at = tl.load(item + 7)

            m = tl.arange(0, M)
            row = tile * ROWS + m // PER_GROUP
            head = group * PER_GROUP + m % PER_GROUP
            is_row = (m < ROWS * PER_GROUP) & (row < num_rows)
            f = tl.arange(0, F)
            inside = f < HALF
            stored = is_row[:, None] & inside[None, :]
            q_at = ((first_row + row).to(tl.int64) * HEADS + head)[:, None] * DIM + f[None, :]
            q1 = tl.load(q + q_at, mask=stored, other=0.0)
            q2 = tl.load(q + q_at + HALF, mask=stored, other=0.0)
            highest = tl.full([M], -float("inf"), tl.float32)
            total = tl.zeros([M], tl.float32)
            mean1 = tl.zeros([M, F], tl.float32)
            mean2 = tl.zeros([M, F], tl.float32)

            # The next tile is loaded with this one: otherwise keys could not be on their way before it is known.
            extents = key_tiles + first_tile * TILE_FIELDS
            next_a, next_shift_a, next_num_a, next_b, next_shift_b, next_num_b = _key_tile(extents, num_tiles > 0)
            for listed in range(0, num_tiles):
                first_a, shift_a, num_a = next_a, next_shift_a, next_num_a
                first_b, shift_b, num_b = next_b, next_shift_b, next_num_b
                extents += TILE_FIELDS
                next_a, next_shift_a, next_num_a, next_b, next_shift_b, next_num_b = _key_tile(
                    extents, listed + 1 < num_tiles
                )
                n = tl.arange(0, N)
                is_a = n < num_a
                is_key = n < num_a + num_b
                loaded = is_key[:, None] & inside[None, :]
                slot = tl.where(is_a, first_a, first_b - num_a) + n
                at = (slot.to(tl.int64) * GROUPS + group)[:, None] * DIM + f[None, :]
                x1 = tl.load(keys + at, mask=loaded, other=0.0)
                x2 = tl.load(keys + at + HALF, mask=loaded, other=0.0)
                cos_a = tl.load(cos + shift_a.to(tl.int64) * HALF + f, mask=inside, other=0.0)
                sin_a = tl.load(sin + shift_a.to(tl.int64) * HALF + f, mask=inside, other=0.0)
                cos_b = tl.load(cos + shift_b.to(tl.int64) * HALF + f, mask=inside, other=0.0)
                sin_b = tl.load(sin + shift_b.to(tl.int64) * HALF + f, mask=inside, other=0.0)
                c = tl.where(is_a[:, None], cos_a[None, :], cos_b[None, :])
                s = tl.where(is_a[:, None], sin_a[None, :], sin_b[None, :])
                k1 = (x1.to(tl.float32) * c - x2.to(tl.float32) * s).to(x1.dtype)
                k2 = (x2.to(tl.float32) * c + x1.to(tl.float32) * s).to(x1.dtype)
                v1 = tl.load(values + at, mask=loaded, other=0.0)
                v2 = tl.load(values + at + HALF, mask=loaded, other=0.0)
                score = _scores(q1, q2, k1, k2, is_key[None, :], scale, PRECISION)
                highest, total, mean1, mean2 = _take_in(score, v1, v2, highest, total, mean1, mean2, PRECISION)

            for begin in range(own, own + num_own, N):
                n = begin + tl.arange(0, N)
                is_key = n < own + num_own
                loaded = is_key[:, None] & inside[None, :]
                at = ((first_row + n).to(tl.int64) * GROUPS + group)[:, None] * DIM + f[None, :]
                k1 = tl.load(k_own + at, mask=loaded, other=0.0)
                k2 = tl.load(k_own + at + HALF, mask=loaded, other=0.0)
                v1 = tl.load(v_own + at, mask=loaded, other=0.0)
                v2 = tl.load(v_own + at + HALF, mask=loaded, other=0.0)
                to = tl.load(seen_to + first_row + n, mask=is_key, other=0)
                seen = is_row[:, None] & (n[None, :] <= row[:, None]) & (first_row + row[:, None] < to[None, :])
                score = _scores(q1, q2, k1, k2, seen, scale, PRECISION)
                highest, total, mean1, mean2 = _take_in(score, v1, v2, highest, total, mean1, mean2, PRECISION)

            safe = tl.where(total > 0, total, 1.0)
            mean1 = mean1 / safe[:, None]
            mean2 = mean2 / safe[:, None]
            if part_at < 0:
                tl.store(out + q_at, mean1.to(out.dtype.element_ty), mask=stored)
                tl.store(out + q_at + HALF, mean2.to(out.dtype.element_ty), mask=stored)
            else:
                part = (part_at + row).to(tl.int64) * HEADS + head
                _put_part(part_means, part_sums, part, mean1, mean2, highest, total, is_row, HALF, F)


@triton.jit
def attend_shared(
    q,
    positions,
    keys,
    values,
    part_means,
    part_sums,
    work,
    cos,
    sin,
    scale,
    HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    HALF: tl.constexpr,
    F: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    FIELDS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Attend items of work: a tile of rows of any sessions over some runs of slots, for one key head.

    `q` is not rotated: a row's query is turned to where it stands as seen from the run. A value that is not finite
    makes all rows of the tile that, also those that do not see it.
    """
    PER_GROUP: tl.constexpr = HEADS // GROUPS
    ROWS: tl.constexpr = M // PER_GROUP
    DIM: tl.constexpr = 2 * HALF
    count = tl.load(work + 2) * GROUPS
    items = work + tl.load(work + 5)
    rows = work + tl.load(work + 8)
    runs = work + tl.load(work + 9)
    shifts = work + tl.load(work + 10)
    for turn in range(0, tl.cdiv(count, tl.num_programs(0))):
        unit = _unit(turn)
        if unit < count:
            group = unit % GROUPS
            item = items + (unit // GROUPS) * FIELDS
            first_row = tl.load(item)
            num_rows = tl.load(item + 1)
            first_run = tl.load(item + 2)
            num_runs = tl.load(item + 3)
            part_at = tl.load(item + 4)

            m = tl.arange(0, M)
            place = m // PER_GROUP
            head = group * PER_GROUP + m % PER_GROUP
            is_row = (m < ROWS * PER_GROUP) & (place < num_rows)
            row = tl.load(rows + (first_row + place) * 2, mask=is_row, other=0)
            session = tl.load(rows + (first_row + place) * 2 + 1, mask=is_row, other=0)
            position = tl.load(positions + row, mask=is_row, other=0)
            f = tl.arange(0, F)
            inside = f < HALF
            stored = is_row[:, None] & inside[None, :]
            q_at = (row.to(tl.int64) * HEADS + head)[:, None] * DIM + f[None, :]
            highest = tl.full([M], -float("inf"), tl.float32)
            total = tl.zeros([M], tl.float32)
            mean1 = tl.zeros([M, F], tl.float32)
            mean2 = tl.zeros([M, F], tl.float32)

            for run in range(first_run, first_run + num_runs):
                first_slot = tl.load(runs + run * 3).to(tl.int64)
                num_keys = tl.load(runs + run * 3 + 1)
                shift_at = tl.load(runs + run * 3 + 2)
                shift = tl.load(shifts + shift_at + session, mask=is_row, other=-1)
                sees = is_row & (shift >= 0)
                away = tl.where(sees, position - shift, 0)
                angle = tl.abs(away).to(tl.int64)[:, None] * HALF + f[None, :]
                c = tl.load(cos + angle, mask=stored, other=0.0)
                s = tl.load(sin + angle, mask=stored, other=0.0) * tl.where(away < 0, -1.0, 1.0)[:, None]
                # Read again for every run: they would take registers that products need.
                x1 = tl.load(q + q_at, mask=stored, other=0.0).to(tl.float32)
                x2 = tl.load(q + q_at + HALF, mask=stored, other=0.0).to(tl.float32)
                turned1 = (x1 * c - x2 * s).to(q.dtype.element_ty)
                turned2 = (x2 * c + x1 * s).to(q.dtype.element_ty)
                for begin in range(0, num_keys, N):
                    n = begin + tl.arange(0, N)
                    is_key = n < num_keys
                    loaded = is_key[:, None] & inside[None, :]
                    at = ((first_slot + n) * GROUPS + group)[:, None] * DIM + f[None, :]
                    k1 = tl.load(keys + at, mask=loaded, other=0.0)
                    k2 = tl.load(keys + at + HALF, mask=loaded, other=0.0)
                    v1 = tl.load(values + at, mask=loaded, other=0.0)
                    v2 = tl.load(values + at + HALF, mask=loaded, other=0.0)
                    seen = sees[:, None] & is_key[None, :]
                    score = _scores(turned1, turned2, k1, k2, seen, scale, PRECISION)
                    highest, total, mean1, mean2 = _take_in(score, v1, v2, highest, total, mean1, mean2, PRECISION)

            safe = tl.where(total > 0, total, 1.0)
            part = (part_at + place).to(tl.int64) * HEADS + head
            mean1 = mean1 / safe[:, None]
            mean2 = mean2 / safe[:, None]
            _put_part(part_means, part_sums, part, mean1, mean2, highest, total, is_row, HALF, F)


@triton.jit
def merge(
    out,
    part_means,
    part_sums,
    merges,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    D: tl.constexpr,
    PARTS: tl.constexpr,
    FIELDS: tl.constexpr,
):
    """Merge the parts of one head of one row, `PARTS` at a time and always in the same order.

    They are those of its own work, and behind them those of what it shares; rows without parts are left as they are.
    """
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    first = tl.load(merges + row * FIELDS).to(tl.int64)
    num_own = tl.load(merges + row * FIELDS + 1)
    apart = tl.load(merges + row * FIELDS + 2).to(tl.int64)
    first_shared = tl.load(merges + row * FIELDS + 3).to(tl.int64)
    num_shared = tl.load(merges + row * FIELDS + 4)
    apart_shared = tl.load(merges + row * FIELDS + 5).to(tl.int64)
    d = tl.arange(0, D)
    highest = tl.full([1], -float("inf"), tl.float32)
    total = tl.zeros([1], tl.float32)
    mean = tl.zeros([D], tl.float32)
    for begin in range(0, num_own + num_shared, PARTS):
        number = begin + tl.arange(0, PARTS)
        is_part = number < num_own + num_shared
        shared_at = first_shared + (number - num_own) * apart_shared
        part = tl.where(number < num_own, first + number * apart, shared_at) * HEADS + head
        part_sum = tl.load(part_sums + part, mask=is_part, other=-float("inf"))
        new_highest = tl.maximum(highest, tl.max(part_sum, 0))
        base = tl.where(new_highest == -float("inf"), 0.0, new_highest)
        fade = tl.exp2(highest - base)
        weight = tl.exp2(part_sum - base)
        inside = is_part[:, None] & (d < DIM)[None, :]
        part_mean = tl.load(part_means + part[:, None] * DIM + d[None, :], mask=inside, other=0.0)
        mean = mean * fade + tl.sum(weight[:, None] * part_mean, 0)
        total = total * fade + tl.sum(weight, 0)
        highest = new_highest
    if num_own + num_shared > 0:
        mean = mean / tl.where(total > 0, total, 1.0)
        tl.store(out + (row * HEADS + head) * DIM + d, mean.to(out.dtype.element_ty), mask=d < DIM)
