"""agent_runtime.deciding: what a turn makes of the model's logits: draws, parameters, free text."""

import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from agent_runtime.block_cache import Staged, Tensors
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.grammar import SchemaMask
from agent_runtime.runtime import AgentRuntime
from agent_runtime.turn import (
    ActionOption,
    Decide,
    Outcome,
    Partial,
    SessionSpec,
)
from tests.agent_runtime.worlds import (
    account,
    ask,
    load_tiny,
    open_duel,
    play,
    runtime,
    state,
    write_game,
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture
def made(loaded: LoadedModel, tmp_path: Path) -> Iterator[AgentRuntime]:
    with runtime(loaded, write_game(tmp_path / "games")) as made:
        yield made


def test_sampling_is_seeded_and_follows_the_shares(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    drawn = []
    for turn in range(40):
        result = play(made, turn, decide=Decide(how="sample", temperature=30.0, seed=7))
        assert result.action is not None
        drawn.append(result.action.id)
    assert len(set(drawn)) > 1
    made.close_session("s")
    made.open_session(SessionSpec("s", "m"))
    for turn in range(5):
        again = play(made, turn, decide=Decide(how="sample", temperature=30.0, seed=7))
        assert again.action is not None and again.action.id == drawn[turn]


@pytest.mark.parametrize("is_normalised", [False, True])
def test_a_game_may_have_log_probabilities_divided_by_the_tokens_of_answers(
    loaded: LoadedModel, tmp_path: Path, is_normalised: bool
) -> None:
    file = write_game(tmp_path / "games") / "duel" / "game.toml"
    file.write_text(f"length_normalised = {str(is_normalised).lower()}\n{file.read_text('utf-8')}", "utf-8")
    with runtime(loaded, tmp_path / "games") as made:
        open_duel(made)
        made.put_state("m", 0, state=state())
        result = play(made, 1, decide=Decide(temperature=2.0))
    tokens = [len(loaded.text.answer_ids(score.id)) for score in result.scores]
    assert len(set(tokens)) > 1, "answers of one length prove nothing"
    logprobs = [
        score.logprob / (count if is_normalised else 1) for score, count in zip(result.scores, tokens, strict=True)
    ]
    expected = (torch.tensor(logprobs) / 2).softmax(0).tolist()
    assert [score.p for score in result.scores] == pytest.approx(expected, abs=1e-6)


def test_few_parameters_are_scored_in_the_same_forward(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    schema = {"type": "object", "properties": {"to": {"enum": ["gate", "mill"]}}, "required": ["to"]}
    result = play(made, 1, actions=(ActionOption("hold"), ActionOption("go", "go to", schema)))
    assert [(score.id, score.args) for score in result.scores] == [
        ("hold", None),
        ("go", {"to": "gate"}),
        ("go", {"to": "mill"}),
    ]
    assert account(result).forwards == 1


def test_many_parameters_are_decoded_under_their_schema(made: AgentRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, allowed = [], SchemaMask.allowed
    monkeypatch.setattr(SchemaMask, "allowed", lambda mask: asked.append(mask) or allowed(mask))
    open_duel(made)
    made.put_state("m", 0, state=state())
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9999}},
        "required": ["n"],
    }
    result = play(made, 1, actions=(ActionOption("count", schema=schema),))
    assert result.outcome is Outcome.OK and result.action is not None and result.action.args is not None
    assert 0 <= result.action.args["n"] <= 9999
    cost = account(result)
    assert cost.decoded > cost.appended
    # The decision says the first token, and a forward behind each choice the next one.
    assert cost.forwards == len(asked)


def test_thinking_and_speaking_stream_their_text(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    pieces: dict[str, str] = {"think": "", "say": ""}

    def partial(piece: Partial) -> None:
        pieces[piece.kind] += piece.text

    result = made.begin_turn(ask(1, decide=Decide(think_tokens=6, say_tokens=5))).run(partial)
    assert result.outcome is Outcome.OK
    assert result.think is not None and result.think.startswith(pieces["think"])
    assert result.say is not None and result.say.startswith(pieces["say"])
    assert account(result).forwards > 2


def test_what_was_brought_for_a_turn_is_let_go_before_it_thinks(
    made: AgentRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Brought(dict[str, Tensors]):
        """Tensors that can be looked for."""

    brought, there = list[weakref.ref[Brought]](), list[bool]()

    def fetch(*given: object) -> Staged:
        tensors = Brought()
        brought.append(weakref.ref(tensors))
        return Staged(tensors=tensors)

    open_duel(made)
    made.put_state("m", 0, state=state())
    made.served_model().prefetcher.finish(30)
    monkeypatch.setattr(made.served_model().cache, "fetch", fetch)
    asked = made.begin_turn(ask(1, decide=Decide(think_tokens=6)))
    asked.run(lambda piece: there.append(brought[0]() is not None))
    assert there and not any(there)


def test_a_tiny_temperature_is_the_best_action(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    best = play(made, 0).action
    for turn in (1, 2):
        result = play(made, turn, decide=Decide(how="sample", temperature=1e-320, seed=turn))
        assert result.action == best
        assert sorted(score.p for score in result.scores) == [0.0, 0.0, 0.0, 1.0]
    result = play(made, 3, decide=Decide(how="sample", temperature=1e-320, seed=3, think_tokens=3))
    assert result.outcome is Outcome.OK and result.think is not None


def test_an_open_name_takes_nothing_from_a_longer_one(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    schema = {"type": "object", "properties": {"to": {"type": "string", "maxLength": 9}}, "required": ["to"]}
    actions = (ActionOption("go", schema=schema), ActionOption("go north"), ActionOption("go north-west"))
    turn = made.begin_turn(ask(1, actions=actions))
    ids = [candidate.ids for candidate in turn.answers.candidates]
    assert not any(other[: len(one)] == one for one in ids for other in ids if other is not one)
    result = turn.run()
    assert result.outcome is Outcome.OK
    assert result.legal_mass is not None and 0 < result.legal_mass <= 1
    only = play(made, 2, actions=actions[:1])
    assert only.outcome in (Outcome.OK, Outcome.TRUNCATED)
    if only.action is not None and only.action.args is not None:
        assert set(only.action.args) == {"to"}
