"""The engine's figure of a turn that the runtime has played: the same tokens, from blocks of its own, without the host.

The clock runs from `submit`, when new token ids and the runs of blocks are in host memory, until the best action is
known there: the view, the changed blocks' slots, work list, forward, scores and both thread switches included.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from agent_runtime.actions import Answers
from agent_runtime.engine import attention
from agent_runtime.engine.bench.checking import REFERENCE, WAYS, Check, agreed
from agent_runtime.engine.bench.geometry import Bare
from agent_runtime.engine.bench.scripts import pieces
from agent_runtime.engine.bench.setting import causal
from agent_runtime.engine.decision import AnswerTree, grow_tree, read_logprobs
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.runs import Run
from agent_runtime.engine.scheduler import Script
from agent_runtime.engine.span import NOTHING, Span, view_of_blocks
from agent_runtime.served_model import ServedModel
from agent_runtime.token_blocks import TokenBlock, TokenPrompt
from agent_runtime.turn import Account


@dataclass(frozen=True, slots=True)
class TwinTurn:
    """What the engine took for a turn, the answers' log-probabilities, and bytes and operations at the least."""

    seconds: float
    logprobs: list[float]
    least_work: tuple[float, float]

    @property
    def best(self) -> int:
        """Return the number of the best answer."""
        return max(range(len(self.logprobs)), key=self.logprobs.__getitem__)


class Twin:
    """A session in mode `star` that asks what the runtime was asked, of blocks that are its own in the same pool."""

    def __init__(self, served: ServedModel) -> None:
        self._engine, self._acquire = served.engine, served.cache.residents.acquire
        self._runner = served.engine.runner
        self._positions = served.loaded.positions
        self._bare = Bare(served.loaded.model, self._runner.rope, self._runner.pool)
        self._runs: dict[str, Run] = {}

    @property
    def held(self) -> Sequence[Run]:
        """Return every run it holds, for the pool's books."""
        return tuple(self._runs.values())

    @property
    def way(self) -> str:
        """Return the way in which the runtime attends."""
        return {name: way for way, name in WAYS.items()}[self._bare.model.config._attn_implementation]

    def check(self, prompt: TokenPrompt, answers: Answers, found: Sequence[float]) -> Check:
        """Hold the log-probabilities that the runtime `found` against plain torch's, and keep the blocks.

        Raises ScoresDiffer.
        """
        engine = self._engine
        by_keys, by_queries = (
            engine.ask(partial(engine.compute, partial(self._by_torch, way, prompt, answers)))
            for way in (attention.MOVE_KEYS, REFERENCE)
        )
        scores = (torch.tensor(each, dtype=torch.float64) for each in (found, by_keys, by_queries))
        return agreed(self.way, *scores, dtype=self._runner.pool.geometry.dtype)

    def play(self, prompt: TokenPrompt, answers: Answers) -> TwinTurn:
        """Have the engine alone play a turn; blocks that are no longer seen go afterwards."""
        new = self._new(prompt.blocks)
        begin = time.perf_counter()
        _, tree, spans, logprobs = self._engine.submit(self._turn(prompt, answers, new)).future.result()
        seconds = time.perf_counter() - begin
        work = _least_work(self._bare, spans, tree, sum(len(block.ids) for block in new))
        self._engine.ask(partial(self._keep_only, {block.key for block in prompt.blocks}))
        return TwinTurn(seconds, logprobs, work)

    def least_text_work(self, account: Account) -> list[tuple[float, float]]:
        """Return bytes and operations, at the least, of each forward of a turn that was answered with text."""
        seen, steps = account.tokens_prompt, account.forwards - 1
        asked = account.observation + account.scored
        rows = account.encoded + asked
        first = self._bare.least_work(
            rows=rows, wanted=1 + account.scored, stored=account.tokens_cached, seen=asked * account.tokens_cached
        )
        each = account.decoded // max(1, steps)
        return [first, *[self._bare.least_work(rows=each, wanted=1, stored=seen, seen=each * seen)] * steps]

    def _turn(
        self, prompt: TokenPrompt, answers: Answers, new: Sequence[TokenBlock]
    ) -> Script[tuple[Span, AnswerTree, Sequence[Span], list[float]]]:
        encoding = self._encoding(new)
        root, tree = self._asked(prompt, answers)
        spans = (*encoding, root, *tree.spans)
        logits = yield spans
        return root, tree, spans, read_logprobs(tree, logits)

    def _new(self, blocks: Sequence[TokenBlock]) -> list[TokenBlock]:
        return list({block.key: block for block in blocks if block.key not in self._runs}.values())

    def _encoding(self, blocks: Sequence[TokenBlock]) -> list[Span]:
        spans = []
        for block in blocks:
            run = self._runs[block.key] = self._acquire(len(block.ids))
            spans.append(Span(block.ids, 0, NOTHING, keep=run))
        return spans

    def _asked(self, prompt: TokenPrompt, answers: Answers) -> tuple[Span, AnswerTree]:
        runs = [self._runs[block.key] for block in prompt.blocks]
        view = view_of_blocks(runs, anchored=False, positions=self._positions)
        root = Span(prompt.observation, view.behind, view, wanted="last")
        return root, grow_tree([candidate.ids for candidate in answers.candidates], root)

    def _by_torch(self, way: str, prompt: TokenPrompt, answers: Answers) -> list[float]:
        model, ours = self._bare.model, self._bare.model.config._attn_implementation
        runner = ForwardRunner(model, self._bare.pool, self._bare.rope, way=way)
        try:
            for piece in pieces(self._encoding(self._new(prompt.blocks)), self._engine.max_rows):
                runner.run(piece)
            root, tree = self._asked(prompt, answers)
            return read_logprobs(tree, runner.run([root, *tree.spans]))
        finally:
            runner.close()
            model.set_attn_implementation(ours)

    def _keep_only(self, keys: set[str]) -> None:
        for key in self._runs.keys() - keys:
            self._runner.pool.release(self._runs.pop(key))


def _least_work(bare: Bare, spans: Sequence[Span], tree: AnswerTree, num_encoded: int) -> tuple[float, float]:
    """Return the bytes that a turn's forward has to move and the operations it has to do, at the least."""
    rows = sum(len(span.ids) for span in spans)
    seen = sum(len(span.ids) * (span.view.length + _before(span)) + causal(len(span.ids)) for span in spans)
    stored = max(span.view.length for span in spans) - num_encoded
    return bare.least_work(rows=rows, wanted=1 + tree.num_rows, stored=stored, seen=seen)


def _before(span: Span) -> int:
    """Return how many tokens of the same forward a span sees besides itself."""
    return 0 if span.parent is None else len(span.parent.ids) + _before(span.parent)
