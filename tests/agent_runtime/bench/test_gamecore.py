"""Turns of a gamecore match through the agent and through a socket, with the engine's own beside them."""

from pathlib import Path
from typing import Any

import pytest

from agent_runtime.bench import gamecore, players
from agent_runtime.bench.asked_model import AskedModel
from agent_runtime.bench.game_process import GameProcess, TurnFailed
from agent_runtime.bench.gamecore import GamecoreWorkload, Through, bench_gamecore
from agent_runtime.bench.host_path import ENGINE_STAGES
from agent_runtime.engine import attention
from agent_runtime.engine.bench.errors import ScoresDiffer, TooLarge, TooLong
from agent_runtime.engine.bench.subject import Subject
from agent_runtime.served_model import serve_model
from agent_runtime.server import server_messages as s2c
from agent_runtime.server.connection import Connection
from agent_runtime.turn import Outcome
from tests.agent_runtime.bench.worlds import write_geometry
from tests.tiny_models import save_tiny_model

SMALL = GamecoreWorkload(num_blocks=10, block_tokens=30, changed=2, actions=5, turns=3)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> AskedModel:
    return AskedModel(geometry=str(write_geometry(tmp_path_factory.mktemp("geometry"))), device="cpu")


def measured(asked: AskedModel, through: Through = "agent", workload: GamecoreWorkload = SMALL) -> dict[str, Any]:
    return bench_gamecore(asked, workload, through, lambda text: None)


@pytest.mark.parametrize("through", ["agent", "socket"])
def test_a_turn_is_set_beside_the_engines_own_and_its_floor(asked: AskedModel, through: Through) -> None:
    report = measured(asked, through)
    assert (report["weights"], report["way"], report["through"]) == ("random", "torch", through)
    assert report["checked"]["against"] == "plain torch, queries moved"
    assert report["checked"]["distance"] <= report["checked"]["limit"] == 1e-4
    assert report["floors"]["matmul_FLOP_s"] > 0 and report["books_balance"]
    assert [case["case"] for case in report["cases"]] == [
        f"gamecore through {through}, one patch a frame",
        f"gamecore through {through}, a whole state a frame",
        f"gamecore through {through}, one patch a frame, 16 tokens sampled under a JSON Schema",
    ]
    *decided, written = report["cases"]
    assert written["turns"] == written["legal"] == 3 and written["floor_ms"] > decided[0]["floor_ms"]
    # What is sampled last needs no forward, and the decision's own has the first.
    assert written["sampled"] == written["forwards"] == 16 and written["appended"] > 0
    for case in decided:
        assert case["turns"] == case["legal"] == case["as_the_engine"] == 3
        # The blocks of the state and the rules: all are there but those that changed.
        assert (case["blocks_encoded"], case["blocks_hit"]) == (2, 10 + 1 - 2)
        tokens = case["tokens"]
        assert 2 * 20 < tokens["encoded"] < tokens["cached"]
        assert tokens["encoded"] + tokens["observation"] + tokens["scored"] == pytest.approx(tokens["computed"], abs=9)
        for figures in (case, case["engine"]):
            assert figures["floor_ms"] == case["floor_ms"] > 0
            assert figures["ratio_to_floor"] == pytest.approx(
                figures["median_ms"] / figures["floor_ms"], rel=1e-3, abs=1e-3
            )
        assert set(ENGINE_STAGES) < set(case["stages_ms"]) and case["besides_engine_ms"] > 0
    outside = "outside" if through == "socket" else "write_result"
    assert all(case["stages_ms"][outside] > 0 for case in report["cases"])
    if through == "socket":
        assert all(case["bare_socket_ms"] > 0 for case in report["cases"])
    else:
        assert not any("bare_socket_ms" in case for case in report["cases"])


def test_a_bare_socket_takes_the_texts_of_each_turn_right_behind_it(
    asked: AskedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[str] = []
    asks: list[tuple[GameProcess, list[str], s2c.ServerMessage]] = []
    send, ask = Connection._send, GameProcess.ask

    def sent(connection: Connection, text: str) -> None:
        answered.append(text)
        send(connection, text)

    def heard(game: GameProcess, texts: list[str], until: str) -> tuple[float, s2c.ServerMessage]:
        took_ms, message = ask(game, texts, until)
        asks.append((game, texts, message))
        return took_ms, message

    monkeypatch.setattr(Connection, "_send", sent)
    monkeypatch.setattr(GameProcess, "ask", heard)
    measured(asked, "socket")
    turns = [each for each in asks if isinstance(each[2], s2c.TurnResult)]
    assert len(turns) > 2 * 3 * 3 and len({id(game) for game, _, _ in turns}) == 2
    for (game, texts, result), (bare, again, echo) in zip(turns[::2], turns[1::2], strict=True):
        assert game is not bare and (again, echo) == (texts, result)
        assert echo.encode() in answered


def test_a_model_with_weights_of_its_own_plays_too(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    write_geometry(tmp_path / "long")
    (folder / "config.json").write_text((tmp_path / "long" / "config.json").read_text())
    report = measured(AskedModel(str(folder), device="cpu"), workload=GamecoreWorkload(8, 30, 0, 3, 1))
    assert (report["weights"], report["model"]) == ("loaded", "model")
    assert all(case["blocks_encoded"] == 0 and case["tokens"]["encoded"] == 0 for case in report["cases"][:2])


def test_what_does_not_fit_is_refused_before_weights_are_drawn(
    asked: AskedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Subject, "made", lambda self: pytest.fail("weights were drawn"))
    with pytest.raises(TooLong):
        measured(asked, workload=GamecoreWorkload(300, 85))
    monkeypatch.setattr("agent_runtime.engine.bench.subject.memory_of", lambda device: 2**20)
    with pytest.raises(TooLarge):
        measured(asked)


def test_nothing_is_timed_where_scores_are_not_those_of_plain_torch(
    asked: AskedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def confused(step: attention.Step, *given: Any) -> None:
        attend(step, *given)
        given[-2].mul_(1.5)

    def served(*given: Any, **options: Any) -> Any:
        made = serve_model(*given, **options)
        monkeypatch.setattr(attention, "_attend_bundle", confused)  # what was probed was right
        return made

    attend = attention._attend_bundle
    monkeypatch.setattr(gamecore, "serve_model", served)
    monkeypatch.setattr(gamecore, "_turns", lambda *given: pytest.fail("turns were timed"))
    with pytest.raises(ScoresDiffer):
        measured(asked)


def test_a_turn_that_brings_no_action_ends_the_measurement_in_a_sentence(
    asked: AskedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(players, "Outcome", type("Never", (), {"OK": Outcome.TIMEOUT}))
    for through in ("agent", "socket"):
        with pytest.raises(TurnFailed, match="Nothing was measured, for a turn failed: ok"):
            measured(asked, through)
