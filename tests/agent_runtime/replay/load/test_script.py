"""A recording as messages to be sent again."""

from pathlib import Path
from typing import Any

import pytest

from agent_runtime.replay.errors import NothingToReplay
from agent_runtime.replay.load.script import AskedTurn, Cue, written_script
from agent_runtime.replay.recording_format import read_recording
from agent_runtime.server.messages import client_message, read_json
from agent_runtime.turn import Action
from tests.agent_runtime.replay.load.stub import (
    OPEN,
    SESSION,
    STATE,
    Message,
    applied,
    match_of,
    record,
    result,
    turn,
)


def cues(file: Path, messages: list[Message], **options: Any) -> list[Cue]:
    with written_script(read_recording(record(file, messages, **options))) as script:
        assert list(script.cues()) == (told := list(script.cues())), "every reading begins anew"
        return told


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "m.jsonl"


def test_every_cue_is_a_message_of_the_protocol_once_it_has_its_names(file: Path) -> None:
    state = {"clock": 1, "none": None, "deep": [{"text": 'a "quoted"\nline', "umlaut": "ä"}]}
    put = {"type": "block.put", "session": "s", "name": "plan", "text": "Feint.\nThen go."}
    sighted = {**SESSION, "sight": ["!/secrets/*", "/secrets/s"], "history_turns": 2, "on_deadline": "late"}
    patch = {
        "type": "match.state",
        "match": "m",
        "frame": 2,
        "patch": [{"op": "replace", "path": "/none", "value": None}],
    }
    scheme = {"type": "object", "properties": {"n": {"enum": [1, None]}}}
    asked = turn(1, actions=[{"id": "go", "text": "walk", "schema": scheme}], frame=2, decide={"how": "distribution"})
    endings: list[Message] = [{"type": "session.close", "session": "s"}, {"type": "match.close", "match": "m"}]
    said = [OPEN, {**STATE, "state": state}, sighted, put, patch, asked, result(1), applied(1, reward=0.5), *endings]
    told = cues(file, said)
    assert [cue.kind for cue in told] == [message["type"] for message in said if message["type"] != "turn.result"]
    for cue in told:
        names = {"match": cue.match, "session": cue.session}
        body = read_json(cue.body.decode())
        message = client_message({**body, **{name: value for name, value in names.items() if value is not None}})
        assert message.type == cue.kind
    bodies = [read_json(cue.body.decode()) for cue in told]
    assert bodies[1]["state"] == state and bodies[4]["patch"] == patch["patch"]
    assert bodies[2]["on_deadline"] == "late" and bodies[2]["sight"] == sighted["sight"]
    assert bodies[5]["actions"] == asked["actions"] and bodies[5]["decide"]["how"] == "distribution"
    assert bodies[6]["action"] == {"id": "hold", "args": None} and bodies[6]["reward"] == 0.5


def test_a_turn_is_known_before_it_is_asked(file: Path) -> None:
    drawn = turn(2, decide={"how": "sample"}, deadline_ms=250.0)
    told = cues(file, [OPEN, STATE, SESSION, turn(1), result(1), drawn, result(2), turn(3)])
    assert [cue.turn for cue in told if cue.turn is not None] == [
        AskedTurn(1, None, Action("hold"), None, is_first=True),
        AskedTurn(2, 250.0, None, None, is_first=False),
        AskedTurn(3, None, None, None, is_first=False),
    ]


def test_a_script_says_how_long_it_is_and_what_it_needs(file: Path) -> None:
    texted = {**SESSION, "persona": None, "persona_text": "You are a guard."}
    messages = [{**OPEN, "model": "big"}, STATE, texted, *match_of(4, deadline_ms=100.0)[3:]]
    with written_script(read_recording(record(file, messages, gap_ms=10))) as script:
        assert (script.num_turns, script.num_deadlines, script.named_personas) == (4, 4, 1)
        assert (script.games, script.models, script.actions) == (("duel",), ("big",), {"hold": 4})
        assert script.duration_ms == pytest.approx(150) and script.mean_gap_ms == pytest.approx(37.5)


def test_a_recording_without_a_turn_has_nothing_to_play(file: Path) -> None:
    with pytest.raises(NothingToReplay):
        cues(file, [OPEN, STATE, SESSION])
