"""Demonstrations: whoever believes all that they allow gives the sample's answer."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.tuning.data.demonstrations import KINDS, TRANSFORMS, Demonstrations
from agent_runtime.tuning.data.generating import Tally
from agent_runtime.tuning.errors import BadArgument
from agent_runtime.tuning.samples import SPLITS, Sample, Split

Shown = list[tuple[list[str], list[str]]]


def shown(sample: Sample) -> Shown:
    """What the blocks show: words in, words out."""
    found = []
    for place, (name, text) in enumerate(sample.blocks, 1):
        path, given_line, output_line = text.rstrip("\n").split("\n")
        assert (name, path) == (f"example/{place}", f"/examples/{place}")
        found.append((given_line.removeprefix("Input: ").split(), output_line.removeprefix("Output: ").split()))
    return found


def by_label(examples: Shown, asked: list[str]) -> set[str]:
    """The label by each property that decides everywhere."""
    found = set()
    for column in range(3):
        labels: dict[str, set[str]] = {}
        for words, output in examples:
            labels.setdefault(words[column], set()).update(output)
        if all(len(each) == 1 for each in labels.values()):
            found |= labels.get(asked[column], set())
    return found


def by_transform(examples: Shown, asked: list[str]) -> set[str]:
    """The outputs of each way that explains all examples."""
    ways = [way for way in TRANSFORMS.values() if all([*way(tuple(words))] == output for words, output in examples)]
    return {" ".join(way(tuple(asked))) for way in ways}


def by_vocabulary(examples: Shown, asked: list[str]) -> set[str]:
    """The translations in each order of words in which a word always means the same."""
    found = set()
    for step in (1, -1):
        means: dict[str, set[str]] = {}
        for words, output in examples:
            for word, meaning in zip(words[::step], output, strict=True):
                means.setdefault(word, set()).add(meaning)
        if all(len(each) == 1 for each in means.values()):
            found.add(" ".join([*means[word]][0] for word in asked[::step]))
    return found


SOLVERS = {"label": by_label, "transform": by_transform, "vocabulary": by_vocabulary}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**40), st.sampled_from(SPLITS), st.integers(4, 64), st.sampled_from([*KINDS]))
def test_all_that_the_demonstrations_allow_gives_one_answer_and_it_is_the_samples(
    seed: int, split: Split, blocks: int, kind: str
) -> None:
    sample = Demonstrations(seed, split, (blocks, blocks), 16, ((kind, 1.0),)).maker().sample(seed % 5)
    examples = shown(sample)
    assert len(examples) == blocks and 0 < len(sample.asks) <= 16
    for ask in sample.asks:
        given_line, output_line = ask.observation.rstrip("\n").split("\n")
        asked = given_line.removeprefix("Input: ").split()
        assert output_line == "Output:" and asked not in [words for words, _ in examples]
        assert SOLVERS[kind](examples, asked) == {ask.target}
        assert ask.answer == ask.target and ask.kind == kind and 0 < ask.chance <= 0.5


def test_no_constant_answer_pays_off_and_neither_does_the_most_frequent_label() -> None:
    made, tally = Demonstrations(3, "test").maker(), Tally()
    most: list[bool] = []
    chances: list[float] = []
    for number in range(300):
        sample = made.sample(number)
        tally.add(sample)
        if sample.asks[0].kind == "label":
            label = Counter(output[0] for _, output in shown(sample)).most_common(1)[0][0]
            most += [ask.answer == label for ask in sample.asks]
            chances += [ask.chance for ask in sample.asks]
    kinds = tally.kinds()
    assert {*kinds} == {*KINDS}
    assert all(found["best_constant"] < max(found["chance"], 0.02) for found in kinds.values())
    assert sum(most) / len(most) < sum(chances) / len(chances) + 0.05


def test_made_up_words_and_labels_differ_between_splits() -> None:
    def made_up(split: Split) -> set[str]:
        recipe = Demonstrations(1, split, kinds=(("label", 1.0),)).maker()
        return {ask.answer for number in range(40) for ask in recipe.sample(number).asks}

    assert not made_up("train") & made_up("test") and not made_up("train") & made_up("validation")


@pytest.mark.parametrize(
    "recipe", [Demonstrations(blocks=(3, 9)), Demonstrations(blocks=(4, 65)), Demonstrations(kinds=(("sum", 1.0),))]
)
def test_what_cannot_be_generated_is_refused(recipe: Demonstrations) -> None:
    with pytest.raises(BadArgument):
        recipe.maker()
