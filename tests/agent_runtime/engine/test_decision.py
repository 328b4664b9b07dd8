"""A decision's scores against teacher forcing, and what is drawn from them."""

import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine.decision import draw, grow_tree, legal_mass, probabilities, read_logprobs
from agent_runtime.engine.errors import AnswersCollide
from agent_runtime.engine.span import NOTHING, Span
from tests.agent_runtime.engine.reference import causal_logits, teacher_forced
from tests.agent_runtime.engine.worlds import random_ids, world

END = 1


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_scores_equal_teacher_forced_logprobs_in_one_forward(kind: str) -> None:
    w, rng = world(kind), numpy.random.default_rng(0)
    prompt = random_ids(rng, 40)
    answers = [
        [7, END],
        [7, 8, END],
        [7, 8, 9, 10, END],
        [11, END],
        [12, 13, END],
        [12, 14, 15, END],
        [12, 14, 16, END],
    ]
    root = Span(prompt, 0, NOTHING, wanted="last")
    tree = grow_tree(answers, root)
    logprobs = read_logprobs(tree, w.runner.run([root, *tree.spans]))
    assert w.runner.forwards == 1
    assert logprobs == pytest.approx([teacher_forced(w.twin, prompt, answer) for answer in answers], abs=1e-4)


def test_a_decision_is_read_off_the_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    w = world()
    root = Span([4, 5, 6], 0, NOTHING, wanted="last")
    tree = grow_tree([[7, 8, END], [7, 9, END], [10, 11, 12, END], [10, 11, 13, END], [10, 14, 15, 16, END]], root)
    assert len(tree.spans) > 4
    logits = w.runner.run([root, *tree.spans])
    found, real = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: found.append(tensor) or real(tensor))
    read_logprobs(tree, logits)
    assert len(found) == 1


@settings(max_examples=60, deadline=None)
@given(st.sets(st.lists(st.integers(3, 6), min_size=1, max_size=6).map(tuple), min_size=1, max_size=20))
def test_only_inner_nodes_take_a_row(names: set[tuple[int, ...]]) -> None:
    answers = [(*name, END) for name in sorted(names)]
    root = Span([2], 0, NOTHING, wanted="last")
    tree = grow_tree(answers, root)
    inner = {answer[:length] for answer in answers for length in range(1, len(answer))}
    assert tree.num_rows == len(inner)
    nodes = [root, *tree.spans]
    read: list[dict[int, int]] = [{} for _ in answers]
    for answer, node, row, token in tree.branches.columns.T.tolist():
        span = nodes[node]
        read[answer][span.start + row % len(span.ids)] = token
    assert [[found[place] for place in sorted(found)] for found in read] == list(map(list, answers))


def test_the_same_answers_branch_as_before_wherever_they_stand() -> None:
    answers = [[7, 8, END], [7, 9, END], [10, 11, 12, END]]
    w, roots = world(), [Span([4] * length, 0, NOTHING, wanted="last") for length in (3, 9)]
    one, other = (grow_tree(answers, root) for root in roots)
    assert one.branches is other.branches and not set(one.spans) & set(other.spans)
    assert [span.start for span in other.spans] == [span.start + 6 for span in one.spans]
    found = read_logprobs(other, w.runner.run([roots[1], *other.spans]))
    assert found == pytest.approx([teacher_forced(w.twin, [4] * 9, answer) for answer in answers], abs=1e-4)


def test_a_name_without_an_end_may_be_the_beginning_of_another() -> None:
    w = world()
    answers = [[7], [7, 8, END], [9, END]]
    root = Span([4, 5, 6], 0, NOTHING, wanted="last")
    tree = grow_tree(answers, root)
    logprobs = read_logprobs(tree, w.runner.run([root, *tree.spans]))
    assert logprobs == pytest.approx([teacher_forced(w.twin, [4, 5, 6], answer) for answer in answers], abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.sets(st.lists(st.integers(3, 5), min_size=1, max_size=5).map(tuple), min_size=1, max_size=9), st.data())
def test_what_comes_behind_an_answer_that_goes_on_is_known_with_the_decision(
    names: set[tuple[int, ...]], data: st.DataObject
) -> None:
    w, prompt, listed = world(), [4, 5, 6], sorted(names)
    going_on = data.draw(st.sets(st.integers(0, len(listed) - 1)))
    answers = [name if number in going_on else (*name, END) for number, name in enumerate(listed)]
    root = Span(prompt, 0, NOTHING, wanted="last")
    tree = grow_tree(answers, root, going_on=going_on)
    logits = w.runner.run([root, *tree.spans])
    assert read_logprobs(tree, logits) == pytest.approx(
        [teacher_forced(w.twin, prompt, each) for each in answers], abs=1e-4
    )
    for number in going_on:
        expected = causal_logits(w.twin, [*prompt, *answers[number]])[-1]
        torch.testing.assert_close(tree.behind(number, logits), expected.float(), atol=1e-4, rtol=1e-4)


def test_two_equal_answers_collide() -> None:
    with pytest.raises(AnswersCollide, match="0 and 2"):
        grow_tree([[7, END], [8, END], [7, END]], Span([2], 0, NOTHING))


def test_probabilities_are_a_softmax_over_the_temperature() -> None:
    assert probabilities([math.log(0.2), math.log(0.1)], 1.0) == pytest.approx([2 / 3, 1 / 3])
    assert probabilities([math.log(0.2), math.log(0.1)], 0.5) == pytest.approx([0.8, 0.2])
    assert probabilities([-2.0, -4.0], 1.0, divisors=[1, 2]) == pytest.approx([0.5, 0.5])
    assert probabilities([-2000.0, -4000.0], 1.0) == pytest.approx([1.0, 0.0])


def test_legal_mass_sums_the_answers() -> None:
    assert legal_mass([math.log(0.2), math.log(0.1)]) == pytest.approx(0.3)
    assert legal_mass([-1e5, -1e5]) == 0.0


def test_a_draw_depends_on_its_seed_and_names_only_and_follows_the_shares() -> None:
    shares = [0.7, 0.2, 0.1]
    assert draw(shares, 5, "guard", 3) == draw(shares, 5, "guard", 3)
    counts = [0, 0, 0]
    for turn in range(3000):
        counts[draw(shares, 5, "guard", turn)] += 1
    assert counts == pytest.approx([2100, 600, 300], abs=120)
    assert draw([0.0, 0.0, 1.0], 1) == 2
