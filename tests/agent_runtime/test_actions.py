"""The legal actions of a turn as answers; what was listed before is listed again without a tokenizer."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.actions import Answers, KnownAnswers, list_answers
from agent_runtime.engine.text import TextEncoder
from agent_runtime.errors import BadActions
from agent_runtime.grammar import Grammar
from agent_runtime.turn import ActionOption
from tests.agent_runtime.worlds import load_tiny

WHERE = {"type": "object", "properties": {"to": {"enum": ["gate", "mill"]}}, "required": ["to"]}
FREE = {"type": "object", "properties": {"say": {"type": "string"}}, "required": ["say"]}
NAMES = ["hold", "go", "go north", " go", "attack", "", " ", "a\nb", "\ud800", "hold " * 80, 'go {"to":"gate"}']
OPTIONS = st.builds(
    ActionOption,
    st.sampled_from([*NAMES[:5] * 3, *NAMES]),
    st.sampled_from(["", "why"]),
    st.sampled_from([None, None, None, None, WHERE, FREE]),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[TextEncoder, Grammar]:
    loaded = load_tiny(Path(tmp_path_factory.mktemp("models")))
    text = loaded.text
    return text, Grammar(text.tokenizer, num_logits=loaded.num_logits, end_of_turn=text.end_of_turn)


@pytest.fixture
def read(model: tuple[TextEncoder, Grammar], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are read into tokens, one after the other."""
    text, names = model[0], []
    answer_ids = text.answer_ids
    monkeypatch.setattr(text, "answer_ids", lambda name: names.append(name) or answer_ids(name))
    return names


@given(turns=st.lists(st.lists(OPTIONS, max_size=6), max_size=6))
def test_what_was_listed_before_is_listed_as_if_it_had_never_been(
    model: tuple[TextEncoder, Grammar], turns: list[list[ActionOption]]
) -> None:
    known = KnownAnswers(*model)

    def listed(options: list[ActionOption]) -> Answers | str:
        try:
            return known.list(options)
        except BadActions as error:
            return str(error)

    for options in turns:
        try:
            expected: Answers | str = list_answers(options, *model)
        except BadActions as error:
            expected = str(error)
        assert listed(options) == expected
        assert listed(options) == expected


def test_a_name_is_read_once_however_many_turns_list_it(
    model: tuple[TextEncoder, Grammar], read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_runtime.actions._MOST_KNOWN", 3)
    known = KnownAnswers(*model)
    known.list([ActionOption("hold"), ActionOption("go")])
    answers = known.list([ActionOption("go", "leave"), ActionOption("hold"), ActionOption("wait")])
    assert read == ["hold", "go", "wait"]
    assert answers.listed == (("go", "leave"), ("hold", ""), ("wait", ""))
    known.list([ActionOption("attack")])  # one too many to be known
    known.list([ActionOption("hold"), ActionOption("attack")])
    assert read[3:] == ["attack", "hold"]


def test_of_a_list_that_is_refused_for_its_length_nothing_is_read(
    model: tuple[TextEncoder, Grammar], read: list[str]
) -> None:
    with pytest.raises(BadActions, match="4097 answers"):
        KnownAnswers(*model).list([ActionOption(f"go {number}") for number in range(4097)])
    assert read == []
