"""What is called right is what the runtime and greedy decoding would have answered."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import NOTHING, Placed, Span, View, view_of_blocks
from agent_runtime.served_model import serve_model
from agent_runtime.tuning.evaluating import scoring
from agent_runtime.tuning.evaluating.conditions import Condition
from agent_runtime.tuning.evaluating.scoring import Item, Needs, Scorer
from agent_runtime.tuning.packing import joined
from agent_runtime.tuning.rows import Row
from agent_runtime.tuning.samples import Ask, Sample
from agent_runtime.tuning.tokens import in_tokens
from agent_runtime.turn import Mode
from tests.tiny_models import save_tiny_model

CONDITIONS = (Condition(Mode.FULL), Condition(Mode.STAR), Condition(Mode.ANCHORED), Condition(Mode.STAR, moved=False))
ACTIONS = ("hold", "go north", "go to the mill")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scoring") / "guard"
    save_tiny_model(folder, "llama")
    return folder


def loaded_from(source: Path) -> LoadedModel:
    loaded = load_model(ModelSpec(str(source), device="cpu"), source.parent / "cache")
    # A random model ends its turn as seldom as it says anything else; this one does so at every second chance.
    loaded.model.get_output_embeddings().weight[loaded.text.end_of_turn] *= 5  # type: ignore[index, operator]
    return loaded


def samples(number: int) -> list[Sample]:
    rng = random.Random(7)
    words = ["gate", "mill", "river", "spear", "guard", "north", "camp"]

    def text() -> str:
        return " ".join(rng.choices(words, k=rng.randint(3, 9))) + "\n"

    made = []
    for seed in range(number):
        asks = [Ask(text(), word, word, "unit_fact") for word in ("", rng.choice(words))]
        right, *others = rng.sample(ACTIONS, 3)
        asks.append(Ask(text(), right, right, "decision", ACTIONS, 1 / 3))
        asks.append(Ask(text(), right, right, "tie", ACTIONS, 2 / 3, (others[0],)))
        blocks = tuple((f"b{i}", text()) for i in range(rng.randint(1, 6)))
        made.append(Sample("gates", "gates", "test", seed, "Answer.", blocks, tuple(asks)))
    return made


def scored(source: Path, given: list[Sample], row_tokens: int = 700) -> list[Item]:
    refused: list[int] = []
    items = list(
        Scorer(loaded_from(source), CONDITIONS, row_tokens).score(given, lambda number, _: refused.append(number))
    )
    assert not refused
    return items


def by_the_engine(
    source: Path, sample: Sample, mode: Mode, moved: bool, texts: list[str], observation: str
) -> list[tuple[bool, float]]:
    """Whether greedy decoding writes each text, and its log-probability: blocks encoded one by one by the engine."""
    loaded = loaded_from(source)
    served = serve_model("m", loaded, MemoryStore(), pool_mib=8, max_rows=512, probed=False)
    runner, text = served.engine.runner, loaded.text
    blocks = [text.anchor_ids(sample.anchor), *[text.block_ids(block) for _, block in sample.blocks]]
    if mode is Mode.FULL:
        blocks = [sum(blocks, ())]
    runs: list[Run] = []
    for ids in blocks:
        behind = View((Placed(runs[0], 0),)) if mode is Mode.ANCHORED and runs else NOTHING
        runs.append(runner.pool.acquire(len(ids)))
        runner.run([Span(ids, behind.length, behind, keep=runs[-1])])
    view = view_of_blocks(runs, anchored=mode is Mode.ANCHORED)
    end = view.length
    if not moved:
        view = View(tuple(Placed(piece.run, 0) for piece in view.pieces))
    asked = text.observation_ids(observation)
    found = []
    for each in texts:
        answer = text.answer_ids(each)
        span = Span((*asked, *answer[:-1]), end, view, wanted="all")
        logits = runner.run([span])[span][len(asked) - 1 :]
        labels = torch.tensor(answer)
        logprob = logits.double().log_softmax(-1).gather(-1, labels[:, None]).sum().item()
        found.append((bool((logits.argmax(-1) == labels).all()), logprob))
    served.close()
    return found


def test_every_condition_agrees_with_the_engine(source: Path) -> None:
    given = samples(6)
    items = scored(source, given)
    assert [(item.sample, item.ask) for item in items] == [(s, a) for s in range(6) for a in range(4)]
    for item in items:
        sample = given[item.sample]
        ask = sample.asks[item.ask]
        for right, condition in zip(item.right, CONDITIONS, strict=True):
            texts = list(ask.actions or (ask.target,))
            found = by_the_engine(source, sample, condition.mode, condition.moved, texts, ask.observation)
            if ask.actions:
                best = max(zip(texts, found, strict=True), key=lambda pair: pair[1][1])[0]
                assert right == (best in (ask.target, *ask.also))
            else:
                assert right == found[0][0]
    assert {item.right[1] for item in items if item.ask == 0} == {False, True}, "answers of one kind prove nothing"
    assert all((item.legal_mass is None) == (item.kind == "unit_fact") for item in items)
    mass = next(item for item in items if item.kind == "decision")
    found = by_the_engine(
        source, given[mass.sample], Mode.STAR, True, list(ACTIONS), given[mass.sample].asks[mass.ask].observation
    )
    assert mass.legal_mass is not None
    assert mass.legal_mass[1] == pytest.approx(sum(torch.tensor(p).exp().item() for _, p in found), rel=1e-3)


def test_any_of_the_right_actions_counts_as_right(source: Path) -> None:
    given = samples(4)
    alone = [replace(each, asks=tuple(replace(ask, also=()) for ask in each.asks[2:])) for each in given]
    every = [replace(each, asks=tuple(replace(ask, also=ACTIONS) for ask in each.asks)) for each in alone]
    counts = [sum(sum(item.right) for item in scored(source, each)) for each in (alone, every)]
    assert counts[0] < counts[1] == 4 * 2 * len(CONDITIONS)


def test_how_samples_are_packed_changes_nothing(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = samples(6)
    narrow = scored(source, given)
    monkeypatch.setattr(Scorer, "_is_packed", lambda self: True)
    wide = scored(source, given, 900)
    assert [replace(item, legal_mass=None) for item in narrow] == [replace(item, legal_mass=None) for item in wide]
    for one, other in zip(narrow, wide, strict=True):
        assert (one.legal_mass or ()) == pytest.approx(other.legal_mass or (), rel=1e-4)


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_sample_with_more_asks_than_a_row_holds_has_its_blocks_in_several(
    source: Path, monkeypatch: pytest.MonkeyPatch, is_packed: bool
) -> None:
    given = samples(5)
    whole = scored(source, given)
    told: list[int] = []
    assert not list(
        Scorer(loaded_from(source), CONDITIONS[:1], 20).score(given, lambda _, needs: told.append(needs.row_tokens))
    )
    longest = max(told)  # what blocks take with the longest of their asks: one more ask is too many
    monkeypatch.setattr(Scorer, "_is_packed", lambda self: is_packed)
    split = scored(source, given, longest)
    assert [replace(item, legal_mass=None) for item in split] == [replace(item, legal_mass=None) for item in whole]
    for one, other in zip(split, whole, strict=True):
        assert (one.legal_mass or ()) == pytest.approx(other.legal_mass or (), rel=1e-4)


def test_a_row_holds_more_tokens_than_there_are_positions(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def noted(rows: Sequence[Row], length: int) -> Row:
        made.append(sum(len(row.ids) for row in rows))
        return joined(rows, length)

    given, told, made = samples(5), list[int](), list[int]()
    whole = scored(source, given)
    loaded = loaded_from(source)
    assert not list(Scorer(loaded, CONDITIONS[:1], 20).score(given, lambda _, needs: told.append(needs.row_tokens)))
    few = replace(loaded_from(source), context_limit=max(told))
    monkeypatch.setattr(scoring, "joined", noted)
    items = list(Scorer(few, CONDITIONS, 700).score(given, lambda _, needs: pytest.fail(f"{needs} is too much")))
    assert [replace(item, legal_mass=None) for item in items] == [replace(item, legal_mass=None) for item in whole]
    assert max(made) > max(told)


def test_actions_side_by_side_may_be_more_tokens_than_there_are_positions(source: Path) -> None:
    actions = tuple(f"go to place {number} behind the mill" for number in range(60))
    ask = Ask("Where?\n", actions[0], actions[0], "decision", actions, 1 / 60)
    [given] = [replace(each, asks=(ask,)) for each in samples(1)]
    loaded = loaded_from(source)
    tokens = in_tokens(given, loaded.text, lambda ask: ask.actions)
    assert tokens.num_tokens > 10 * tokens.num_positions

    def answered(context: int, row_tokens: int) -> list[Item]:
        scorer = Scorer(replace(loaded_from(source), context_limit=context), CONDITIONS, row_tokens)
        return list(scorer.score([given], lambda number, needs: told.append(needs)))

    told = list[Needs]()
    [few], [many] = answered(tokens.num_positions, tokens.num_tokens), answered(loaded.context_limit, 4_000)
    assert few.right == many.right and (few.legal_mass or ()) == pytest.approx(many.legal_mass or (), rel=1e-4)
    assert not told and not answered(tokens.num_positions - 1, 4_000) and not answered(4_000, tokens.num_tokens - 1)
    assert told == [Needs(tokens.num_tokens, tokens.num_positions)] * 2


def test_a_sample_that_no_row_holds_is_told(source: Path) -> None:
    told: list[tuple[int, Needs]] = []
    scorer = Scorer(loaded_from(source), CONDITIONS[:1], 20)
    assert list(scorer.score(samples(2), lambda number, needs: told.append((number, needs)))) == []
    assert [number for number, _ in told] == [0, 1] and min(needs.row_tokens for _, needs in told) > 20
