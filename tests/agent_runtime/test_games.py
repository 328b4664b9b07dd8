"""Every game in every mode, through the real runtime: a legal action always comes out, and it can be played."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import serve_model
from agent_runtime.turn import (
    ActionOption,
    Decide,
    MatchSpec,
    Mode,
    Outcome,
    SessionSpec,
    TurnApplied,
    TurnRequest,
)
from game_adapters import load_adapter, make_env
from tests.agent_runtime.worlds import load_tiny

OPTIONS: dict[str, dict[str, Any]] = {"texas_holdem": {"hands": 2}, "connect_four": {}, "camp": {"blocks": 30}}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The tiny tokenizer needs several tokens a word, so the context is made longer than the tiny model's own."""
    return replace(load_tiny(tmp_path_factory.mktemp("models")), context_limit=16384)


@pytest.fixture
def made(loaded: LoadedModel) -> Iterator[AgentRuntime]:
    runtime = AgentRuntime(
        {"default": serve_model("default", loaded, MemoryStore(), pool_mib=64, max_rows=512, probed=False)}
    )
    yield runtime
    runtime.close()


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("game", list(OPTIONS))
def test_a_legal_action_always_comes_out_and_can_be_played(made: AgentRuntime, game: str, mode: Mode) -> None:
    env, adapter = make_env(game, 3, **OPTIONS[game]), load_adapter(game)
    frames: dict[str, int] = {}
    for agent in env.agent_iter(max_iter=9):
        view = adapter.turn(env, agent)
        if view is None:
            env.step(None)
            continue
        if agent not in frames:
            made.open_match(MatchSpec(agent, game, mode=mode))
            made.open_session(SessionSpec(agent, agent))
        frame = frames[agent] = frames.get(agent, -1) + 1
        made.put_state(agent, frame, state=view.state)
        options = tuple(ActionOption(offer.id, offer.text) for offer in view.actions)
        decide = Decide(how="sample", temperature=20.0, seed=frame)
        result = made.begin_turn(TurnRequest(agent, frame, frame, view.observation_text, options, decide)).run()
        assert result.outcome is Outcome.OK, result.message
        assert result.action is not None and result.account is not None
        assert result.account.forwards == 1
        env.step(view.number(result.action.id))
        made.apply_turn(TurnApplied(agent, frame, True))
    assert sum(frames.values()) > 2
