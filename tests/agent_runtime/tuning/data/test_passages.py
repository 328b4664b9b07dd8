"""Passages: what they tell, read sentence by sentence, gives one answer to every question, and it is the sample's."""

import re
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.tuning.data.generating import Tally
from agent_runtime.tuning.data.passages import FACTS, KINDS, LINKS, REVERSED, Passages
from agent_runtime.tuning.data.shelf import FORMS
from agent_runtime.tuning.errors import BadArgument
from agent_runtime.tuning.samples import SPLITS, Split


def told(blocks: tuple[tuple[str, str], ...]) -> dict[str, dict[str, set[str]]]:
    """What is told of whom, by relation, over all blocks: relation, name, values."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for place, (block, text) in enumerate(blocks, 1):
        path, body = text.rstrip("\n").split("\n")
        assert (block, path) == (f"passage/{place}", f"/passages/{place}")
        title, sentences = body.split(": ", 1)
        for sentence in re.findall(r"[^.]+\.", sentences):
            said = readings(sentence.strip(), title)
            assert len(said) == 1, f"{sentence!r} says {said} of {title}"
            found[said[0][0]][title].add(said[0][1])
    return found


def readings(sentence: str, title: str) -> list[tuple[str, str]]:
    """Every way to take a sentence about what the passage is about: relation, value."""
    found = []
    for forms in FORMS.values():
        for relation, wordings in forms.items():
            for wording in wordings:
                pattern = re.escape(wording).replace(r"\{s\}", re.escape(title)).replace(r"\{o\}", r"([\w ]+)")
                if said := re.fullmatch(pattern, sentence):
                    found.append((relation, said[1]))
    return found


def matched(wording: str, question: str) -> str | None:
    found = re.fullmatch(re.escape(wording).replace(r"\{\}", "(.*)"), question)
    return found[1] if found else None


def answers(facts: dict[str, dict[str, set[str]]], question: str) -> set[str]:
    """Every right target, looking for what is asked among all that is told."""
    if compared := re.fullmatch(r"(Who was born|Which town is|Which book was printed) (\w+), (.*) or (.*)\?", question):
        relation = {"Who": "born", "town": "founded", "book": "printed"}[
            next(word for word in ("town", "book", "Who") if word in question.split(",")[0])
        ]
        pair = compared[3], compared[4]
        years = [int(*facts[relation][name]) for name in pair]
        steps = f"{pair[0]} {years[0]}, {pair[1]} {years[1]}"
        return {f"{steps}; {name}" for name, year in zip(pair, years, strict=True) if year == min(years)}
    found = set()
    for relation, wording in REVERSED.items():
        if (value := matched(wording, question)) is not None:
            found |= {name for name, values in facts[relation].items() if value in values}
    for relation, wording in FACTS.items():
        if (about := matched(wording, question)) is None:
            continue
        found |= facts[relation].get(about, set())
        for link, words in LINKS.items():
            if (name := matched(words, about)) is not None:
                for other in facts[link].get(name, ()):
                    found |= {f"{other}; {value}" for value in facts[relation].get(other, ())}
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**40), st.sampled_from(SPLITS), st.integers(10, 60), st.sampled_from([*KINDS]))
def test_the_passages_tell_one_right_target_and_it_is_the_samples(
    seed: int, split: Split, blocks: int, kind: str
) -> None:
    sample = Passages(seed, split, (blocks, blocks), 16, ((kind, 1.0),)).maker().sample(seed % 5)
    assert len(sample.blocks) == blocks and 0 < len(sample.asks) <= 16
    facts = told(sample.blocks)
    for ask in sample.asks:
        assert answers(facts, ask.observation.rstrip("\n")) == {ask.target}
        assert ask.answer == ask.target.split("; ")[-1] and ask.kind == kind and 0 < ask.chance < 1


def test_no_constant_answer_pays_off() -> None:
    made, tally = Passages(3, "test").maker(), Tally()
    for number in range(120):
        tally.add(made.sample(number))
    kinds = tally.kinds()
    assert {*kinds} == {*KINDS}
    assert all(found["best_constant"] < found["chance"] for found in kinds.values())
    compared = [ask for n in range(120) for ask in made.sample(n).asks if ask.kind == "passage_comparison"]
    first = sum([ask.target.startswith(f"{ask.answer} ") for ask in compared]) / len(compared)
    assert 0.42 < first < 0.58


def test_splits_share_no_names() -> None:
    titles = [
        {text.split("\n")[1].split(":")[0] for n in range(5) for _, text in Passages(1, split).maker().sample(n).blocks}
        for split in SPLITS
    ]
    assert not titles[0] & titles[1] and not titles[0] & titles[2] and not titles[1] & titles[2]


@pytest.mark.parametrize(
    "recipe", [Passages(blocks=(9, 20)), Passages(blocks=(10, 61)), Passages(kinds=(("hp", 1.0),))]
)
def test_what_cannot_be_generated_is_refused(recipe: Passages) -> None:
    with pytest.raises(BadArgument):
        recipe.maker()
