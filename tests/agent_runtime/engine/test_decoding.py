"""Token by token, against transformers' own `generate`, and under masks."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine.cursor import Cursor
from agent_runtime.engine.decoding import Generated, Sampler, generate, greedy
from agent_runtime.engine.forward import Logits
from agent_runtime.engine.scheduler import Engine, Script
from agent_runtime.engine.span import NOTHING, Span
from tests.agent_runtime.engine.reference import causal_logits
from tests.agent_runtime.engine.worlds import World, random_ids, world


def decode(w: World, prompt: Sequence[int], **options: Any) -> Generated:
    """Decode behind `prompt` and give everything back."""
    engine = Engine(w.runner)

    def script() -> Script[Generated]:
        cursor = Cursor(w.pool, NOTHING, 0)
        try:
            span = cursor.extend(prompt)
            logits = yield [span]
            return (yield from generate(cursor, logits[span][-1], **options))
        finally:
            cursor.release()

    try:
        return engine.submit(script()).future.result(timeout=60)
    finally:
        engine.close()
        w.pool.check([])


@pytest.mark.parametrize("kind", ["llama", "yarn", "qwen2", "qwen3"])
def test_full_attention_equals_transformers_generate_token_for_token(kind: str) -> None:
    w, prompt = world(kind), random_ids(numpy.random.default_rng(0), 50)
    ours = decode(w, prompt, limit=40, stop_ids=(), choose=greedy)
    theirs = w.twin.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, 50), max_new_tokens=40, do_sample=False, eos_token_id=None
    )
    assert list(ours.ids) == theirs[0, 50:].tolist()
    assert not ours.ended
    assert ours.rows == 39, "the last token needs no forward"


def test_the_likeliest_tokens_of_a_forward_leave_the_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    w, rng = world(), numpy.random.default_rng(1)
    spans = [Span(random_ids(rng, 7), 0, NOTHING, wanted=wanted) for wanted in ("last", "none", "all", "last")]
    logits = w.runner.run(spans)
    expected = [int(logits[span][-1].argmax()) for span in spans if span.wanted != "none"]
    asked, real = [], torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: asked.append(tensor) or real(tensor))
    assert [logits.best(span) for span in spans if span.wanted != "none"] == expected
    assert len(asked) == 1
    apart = Logits(logits)
    assert [apart.best(span) for span in logits] == expected


class Script4(list[int]):
    """A mask that lets through just these tokens, of which all but the first are forced."""

    def __init__(self, tokens: Sequence[int], vocabulary: int) -> None:
        super().__init__(tokens)
        self.vocabulary, self.at = vocabulary, 0

    @property
    def finished(self) -> bool:
        return self.at == len(self)

    def forced(self) -> Sequence[int]:
        return self[self.at :] if self.at else []

    def allowed(self) -> torch.Tensor:
        return torch.arange(self.vocabulary) == self[self.at]

    def advance(self, token: int) -> None:
        assert token == self[self.at]
        self.at += 1


def test_forced_tokens_are_appended_and_the_last_ones_have_no_forward() -> None:
    w = world()
    made = decode(w, [5, 6, 7], limit=20, stop_ids=(), choose=greedy, mask=Script4([9, 10, 11], 512))
    assert made == Generated((9, 10, 11), (9, 10, 11), rows=0, appended=2, ended=True)


def test_what_a_choice_forces_goes_into_the_forward_behind_it() -> None:
    class Pairs(Script4):
        """Every second token is forced."""

        def forced(self) -> Sequence[int]:
            return self[self.at : self.at + 1] if self.at % 2 else []

    w = world()
    made = decode(w, [5, 6, 7], limit=20, stop_ids=(), choose=greedy, mask=Pairs([9, 10, 11, 12, 13], 512))
    assert made == Generated((9, 10, 11, 12, 13), (13,), rows=4, appended=2, ended=True)
    assert w.runner.forwards == 3, "one for the prompt, and one behind each pair"


def test_a_limit_below_the_grammar_truncates() -> None:
    made = decode(world(), [5, 6, 7], limit=1, stop_ids=(), choose=greedy, mask=Script4([9, 10, 11], 512))
    assert (made.ids, made.ended) == ((9,), False)


def test_forced_tokens_count_against_the_limit() -> None:
    made = decode(world(), [5, 6, 7], limit=3, stop_ids=(), choose=greedy, mask=Script4(range(9, 40), 512))
    assert (made.ids, made.appended, made.ended) == ((9, 10, 11), 2, False)


def test_a_stop_id_ends_and_is_not_part_of_it() -> None:
    w, prompt = world(), [5, 6, 7, 8]
    free = decode(w, prompt, limit=10, stop_ids=(), choose=greedy)
    stop = free.ids[3]
    stopped = decode(w, prompt, limit=10, stop_ids=(stop,), choose=greedy)
    assert stopped.ended
    assert stopped.ids == free.ids[: free.ids.index(stop)]


@pytest.mark.parametrize("limit", [1, 6])
def test_tokens_that_are_known_go_into_the_first_forward(limit: int) -> None:
    w, prompt, known = world(), [5, 6, 7, 8], (9, 10, 11)
    whole = decode(w, [*prompt, *known], limit=limit, stop_ids=(), choose=greedy)
    logits_V = causal_logits(w.twin, [*prompt, *known])[-1].float()
    engine = Engine(w.runner)

    def script() -> Script[Generated]:
        cursor = Cursor(w.pool, NOTHING, 0)
        try:
            yield [cursor.extend(prompt)]
            return (yield from generate(cursor, logits_V, limit=limit, stop_ids=(), choose=greedy, unfed=known))
        finally:
            cursor.release()

    made = engine.submit(script()).future.result(timeout=60)
    engine.close()
    assert made.ids == whole.ids
    assert made.rows == (3 + 5 if limit == 6 else 0)
    assert made.unfed == (made.ids[-1:] if limit == 6 else (*known, *made.ids))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.just(float("-inf")), st.floats(-40, 40, width=32)), min_size=1, max_size=30).filter(
        lambda logits: max(logits) > float("-inf")
    ),
    st.floats(1e-6, 50),
    st.integers(0, 2**32),
)
def test_a_token_is_sampled_whose_share_the_point_lies_in(logits: list[float], temperature: float, seed: int) -> None:
    made = Sampler(temperature, seed, "guard")(torch.tensor(logits))
    shares = numpy.exp((numpy.array(logits, dtype=numpy.float32).astype(float) - max(logits)) / temperature)
    assert shares[made] > 0, "never one that a mask forbids"
    if temperature < 1e-3:
        assert logits[made] >= max(logits) - 0.1


def test_samples_follow_the_shares_at_their_temperature() -> None:
    logits, choose = torch.tensor([0.0, 1.0, float("-inf"), 2.0]), Sampler(0.5, 3, "guard", 1)
    counts = numpy.bincount([choose(logits) for _ in range(6000)], minlength=4) / 6000
    shares = numpy.exp([0.0, 2.0, -numpy.inf, 4.0])
    assert counts == pytest.approx(shares / shares.sum(), abs=0.02) and counts[2] == 0


def test_sampling_depends_on_its_seed_and_not_on_the_batch() -> None:
    w, prompt, rng = world(), [5, 6, 7, 8], numpy.random.default_rng(0)
    options: dict[str, Any] = {"limit": 12, "stop_ids": ()}
    alone = decode(w, prompt, choose=Sampler(1.0, 3, "guard", 1), **options)
    other = decode(w, prompt, choose=Sampler(1.0, 4, "guard", 1), **options)
    assert alone.ids != other.ids
    engine, results = Engine(w.runner), []
    begin = threading.Event()

    def script(ids: Sequence[int], seed: int) -> Script[Generated]:
        cursor = Cursor(w.pool, NOTHING, 0)
        try:
            span = cursor.extend(ids)
            logits = yield [span]
            return (yield from generate(cursor, logits[span][-1], choose=Sampler(1.0, seed, "guard", 1), **options))
        finally:
            cursor.release()

    engine.soon(begin.wait)
    works = [engine.submit(script(prompt if i == 2 else random_ids(rng, 30), 3)) for i in range(5)]
    begin.set()
    results = [work.future.result(timeout=60) for work in works]
    engine.close()
    assert results[2].ids == alone.ids
    assert works[2].forwards == 12, "decoding shares forwards with the others"
