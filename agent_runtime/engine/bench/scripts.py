"""What a case hands to the scheduler: turns to their first token, and blocks in pieces as they are brought."""

from collections.abc import Callable, Sequence

import torch

from agent_runtime.engine.cursor import Cursor
from agent_runtime.engine.forward import Logits
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.scheduler import BACKGROUND_ROWS, Script
from agent_runtime.engine.span import Span, View


def first_token(pool: Pool, seen: Callable[[], View], ids: Sequence[int]) -> Script[int]:
    """Ask `ids` behind a view that is made on the engine's thread, as a turn's is; returns the first token."""
    logits, span = yield from _asked(pool, seen, ids)
    return logits.best(span)


def last_logits(pool: Pool, seen: Callable[[], View], ids: Sequence[int]) -> Script[torch.Tensor]:
    """Ask `ids`; returns the logits of the first token, [V] in float32."""
    logits, span = yield from _asked(pool, seen, ids)
    return logits[span][-1]


def _asked(pool: Pool, seen: Callable[[], View], ids: Sequence[int]) -> Script[tuple[Logits, Span]]:
    view = seen()
    cursor = Cursor(pool, view, view.behind)
    try:
        span = cursor.extend(ids)
        return (yield [span]), span
    finally:
        cursor.release()


def encoding(spans: Sequence[Span]) -> Script[None]:
    """Compute spans, of which something is kept."""
    yield spans


def pieces(spans: Sequence[Span], most: int = BACKGROUND_ROWS) -> list[list[Span]]:
    """Cut spans into pieces of at most `most` tokens or one span: as blocks are brought behind all turns."""
    cut: list[list[Span]] = []
    rows = 0
    for span in spans:
        if not cut or rows + len(span.ids) > most:
            cut.append([])
            rows = 0
        cut[-1].append(span)
        rows += len(span.ids)
    return cut
