"""agent_runtime.first_look.question: what is typed is checked before any model is loaded."""

import json
from pathlib import Path

import pytest

from agent_runtime.designer.errors import BadStates
from agent_runtime.errors import BadActions, UnknownName
from agent_runtime.first_look.question import read_actions, read_question
from agent_runtime.turn import ActionOption
from prompts import Game, PromptsError
from tests.prompts.worlds import UNITS, make_game


@pytest.fixture
def game(tmp_path: Path) -> Game:
    files = {"unit.md": "hp {{ value.hp }}", "personas/warden.md": "You guard."}
    return make_game(tmp_path, f"{UNITS}render = 'unit.md'\n", files)


def test_actions_stand_between_commas_or_are_given_again() -> None:
    assert read_actions(["fold, call", "raise 40,"]) == tuple(map(ActionOption, ("fold", "call", "raise 40")))


def test_actions_may_be_json_as_in_a_turn() -> None:
    schema = {"type": "object", "properties": {"to": {"enum": ["a"]}}}
    listed = json.dumps(["wait, then go", {"id": "hail", "text": "call", "schema": schema}])
    assert read_actions([listed]) == (ActionOption("wait, then go"), ActionOption("hail", "call", schema))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "There is no action"),
        ([" , "], "There is no action"),
        (["fold,call,fold"], "'fold' is named twice"),
        (["[1]"], r"The actions\[0\] are no JSON array"),
        (['[{"name": "a"}]'], r"The actions\[0\]"),
        (["[fold, call]"], "The actions are no JSON array"),
        (['["fold", ""]'], "'' is no action"),
        (['["fold", "go\\nnorth"]'], "on one line"),
        (['[{"id": "go", "schema": {"type": "string"}}]'], "an action takes an object"),
        (['[{"id": "go", "schema": {"properties": {"to": {"type": "sword"}}}}]'], "schema cannot be used"),
    ],
)
def test_actions_that_cannot_be_chosen_among_are_refused(words: list[str], says: str) -> None:
    with pytest.raises(BadActions, match=says):
        read_actions(words)


def test_a_state_is_cut_before_a_model_is_loaded(game: Game, tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text('{"units": [{"id": "a"}]}', encoding="utf-8")
    with pytest.raises(PromptsError, match=r"unit\.md:1"):
        read_question(game, file, ["go"])
    assert read_question(game, file, ["go"], sight=["!/units"]).sight == ("!/units",)
    file.write_text('{"units": [}', encoding="utf-8")
    with pytest.raises(BadStates, match=r"s\.json:1: this is not JSON"):
        read_question(game, file, ["go"])


def test_actions_are_looked_at_before_the_state_and_what_the_templates_make_of_it(game: Game, tmp_path: Path) -> None:
    with pytest.raises(BadActions, match="'go' is named twice"):
        read_question(game, tmp_path / "missing.json", ["go,go"])


def test_an_observation_that_breaks_on_the_state_is_said_before_a_model_is_loaded(tmp_path: Path) -> None:
    game = make_game(tmp_path, files={"observation.md": "{{ text }}\n{{ live.clock }}"})
    with pytest.raises(PromptsError, match=r"observation\.md:2: UndefinedError"):
        read_question(game, None, ["go"])


def test_a_persona_has_to_be_one_of_the_games(game: Game) -> None:
    assert read_question(game, None, ["go"], persona="warden").persona == "warden"
    with pytest.raises(UnknownName, match="Did you mean 'warden'"):
        read_question(game, None, ["go"], persona="wardn")
