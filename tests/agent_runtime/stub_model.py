"""A scripted model behind the real pipeline: it reads what a span can see, slot by slot, and answers by a rule.

It stands in for the packed forward only. Prompt, segmentation, tokens, pool, views, spans, tree and decision are real,
so a wrong slot, order or visibility shows as a wrong text.
"""

from collections.abc import Callable, Sequence

import torch

from agent_runtime.engine.forward import Logits
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.span import Span
from agent_runtime.engine.text import TextEncoder


class ReadingRunner:
    """Keeps which token lies in which slot; `answer(text)` says what is to be written behind the text seen."""

    def __init__(self, pool: Pool, text: TextEncoder, answer: Callable[[str], str]) -> None:
        self.pool = pool
        self.rows = self.forwards = 0
        self._text = text
        self._answer = answer
        self._token_at: dict[int, int] = {}

    def run(self, spans: Sequence[Span], is_stopped: Callable[[], bool]) -> Logits:
        self.forwards += 1
        self.rows += sum(len(span.ids) for span in spans)
        for span in spans:
            if span.keep is not None:
                self._token_at.update(zip(map(int, span.keep.slots()), span.ids, strict=True))
        return Logits({span: self._logits(span) for span in spans if span.wanted != "none"})

    def close(self) -> None:
        """Nothing to unhook."""

    def _logits(self, span: Span) -> torch.Tensor:
        seen = [self._token_at[int(slot)] for slot in span.view.slots]
        lineage: list[Span] = [span]
        while lineage[0].parent is not None:
            lineage.insert(0, lineage[0].parent)
        root, *inner = lineage
        wish = self._text.answer_ids(self._answer(self._text.decode([*seen, *root.ids])))
        before = [token for step in inner[:-1] for token in step.ids] if inner else []
        rows = range(1, len(span.ids) + 1) if inner else [0]
        logits = torch.zeros(len(list(rows)), len(self._text.tokenizer))
        for index, length in enumerate(rows):
            written = [*before, *span.ids[:length]] if inner else []
            if list(wish[: len(written)]) == written and len(written) < len(wish):
                logits[index, wish[len(written)]] = 20.0
        return logits
