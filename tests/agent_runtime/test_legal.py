"""agent_runtime.legal: actions in words, and what is wrong with them whatever the model."""

from typing import Any

import pytest

from agent_runtime.errors import BadActions
from agent_runtime.legal import MAX_ANSWERS, answer_text, legal_actions
from agent_runtime.turn import Action, ActionOption

WHERE = {"type": "object", "properties": {"to": {"enum": ["gate", "mill"]}}, "required": ["to"]}
FREE = {"type": "object", "properties": {"say": {"type": "string"}}, "required": ["say"]}


def test_parameters_are_spelled_out_where_they_are_few() -> None:
    wait, go, speak = legal_actions(
        [ActionOption("wait"), ActionOption("go", "", WHERE), ActionOption("speak", "", FREE)]
    )
    assert wait.ways == (Action("wait"),) and speak.ways is None
    assert [answer_text(way) for way in go.ways or ()] == ['go {"to":"gate"}', 'go {"to":"mill"}']


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "at least one action"),
        ([("", None)], "'' is no action: an id needs"),
        ([("go", None), (" ", None)], "' ' is no action"),
        ([("go\nnorth", None)], "on one line"),
        ([("\ud800", None)], "half of a surrogate pair"),
        ([("go", None), ("wait", None), ("go", None)], "'go' and 'go' read the same to the model"),
        ([('go {"to":"gate"}', None), ("go", WHERE)], "read the same to the model"),
        ([("go", {"type": "string"})], "an action takes an object of named parameters"),
        ([(str(number), None) for number in range(MAX_ANSWERS + 1)], "4097 answers are more than 4096"),
    ],
)
def test_actions_that_cannot_be_decided_among_are_refused(options: list[tuple[str, Any]], says: str) -> None:
    with pytest.raises(BadActions, match=says):
        legal_actions([ActionOption(name, "", schema) for name, schema in options])
