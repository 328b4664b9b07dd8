"""What cases hand to the scheduler."""

from agent_runtime.engine.bench.cold_start import ColdStart
from agent_runtime.engine.bench.scripts import first_token, pieces
from agent_runtime.engine.span import NOTHING, Span
from tests.agent_runtime.engine.bench.small import small_setting


def test_pieces_hold_whole_spans_and_at_least_one() -> None:
    spans = [Span([0] * length, 0, NOTHING) for length in (3, 3, 9, 1, 4)]
    assert [[len(span.ids) for span in piece] for piece in pieces(spans, 6)] == [[3, 3], [9], [1, 4]]
    assert pieces([], 6) == []


def test_a_turn_gives_its_tail_back() -> None:
    setting = small_setting(ColdStart("room", "forwards", num_blocks=1, block_tokens=40))
    engine, pool = setting.engine(), setting.bare.pool
    try:
        token = engine.submit(first_token(pool, lambda: NOTHING, [1, 2, 3])).future.result(60)
    finally:
        engine.close()
    assert 0 <= token < setting.bare.vocab_size
    pool.check([])
