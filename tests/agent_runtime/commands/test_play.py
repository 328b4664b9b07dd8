"""`hotseat play`, with a tiny model: people see turns, programs read lines."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent_runtime import AdapterChoice, Seat
from agent_runtime.cli import app
from tests.agent_runtime.embedded import bring, embed
from tests.tiny_models import save_tiny_adapter, save_tiny_model

LAMPS = "tests.game_adapters.lamps_game:Lamps"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_tiny_model(tmp_path_factory.mktemp("play") / "model")
    config = json.loads((folder / "config.json").read_text())
    # The tiny tokenizer needs three tokens where SmolLM2 needs one.
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 8192}))
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTSEAT_CACHE", str(tmp_path / "cache"))


def run(model: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["play", *map(str, arguments), "--model", str(model), "--pool-mib", "32"])


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_turn_is_shown_and_the_end_is_told(model: Path) -> None:
    result = run(model, LAMPS, "--option", "rounds=2")
    assert result.exit_code == 0, result.output
    assert result.stdout.count(", computed ") == 4
    assert "player_0  You are player_0." in result.stdout
    assert "The game is over after 4 steps. Rewards: player_0 " in result.stdout
    assert "4 turns in mode prefix" in result.stdout


def test_one_of_ours_is_shown_as_in_the_demo(model: Path) -> None:
    result = run(model, "camp", "--steps", 2, "--option", "blocks=24", "--persona", "npc_0=warden", "--mode", "star")
    assert result.exit_code == 0, result.output
    assert ", warden)  tick 1, " in result.stdout and "; orders: " in result.stdout
    assert "Stopped after 2 steps." in result.stdout and "in mode star" in result.stdout


def test_as_json_a_line_a_turn_and_one_at_the_end(model: Path) -> None:
    *turns, end = lines(run(model, LAMPS, "--json", "--seed", 3))
    assert end == {"over": True, "steps": 8, "turns": 8, "rewards": end["rewards"]}
    assert [turn["step"] for turn in turns] == list(range(1, 9))
    for turn in turns:
        assert turn["action"] in {score["id"] for score in turn["scores"]}
        assert sum(score["p"] for score in turn["scores"]) == pytest.approx(1)
        assert turn["account"]["forwards"] == 1 and turn["state"]["lamps"]
    assert sum(end["rewards"].values()) == sum(turn["reward"] for turn in turns)


def test_what_others_gain_by_a_turn_is_counted(model: Path) -> None:
    end = lines(run(model, "examples.own_env:Nim", "--json"))[-1]
    assert sorted(end["rewards"].values()) == [-1, 1]


def test_equal_seeds_play_equal_games_and_best_needs_none(model: Path) -> None:
    def actions(*arguments: object) -> list[str]:
        return [turn["action"] for turn in lines(run(model, LAMPS, "--json", *arguments))[:-1]]

    hot = ("--temperature", 50)
    assert actions("--seed", 3, *hot) == actions("--seed", 3, *hot) != actions("--seed", 4, *hot)
    best = lines(run(model, LAMPS, "--json", "--best"))[:-1]
    assert all(turn["action"] == max(turn["scores"], key=lambda score: score["p"])["id"] for turn in best)


def test_a_parallel_game_is_played_step_by_step(model: Path) -> None:
    *turns, end = lines(run(model, "tests.agent_runtime.commands.test_play:AtOnce", "--json"))
    assert [turn["agent"] for turn in turns[:4]] == ["player_0", "player_1"] * 2
    assert end["steps"] == 4 and end["turns"] == 6


class AtOnce:
    """Parallel lamps, by name."""

    folder = Path(__file__).parents[2] / "game_adapters" / "lamps"

    def __init__(self) -> None:
        from tests.game_adapters.lamps_game import PlainLamps

        self.describe, self.action_names = PlainLamps().describe, PlainLamps().action_names

    def make_env(self, seed: int) -> Any:
        from tests.game_adapters.lamps_game import ParallelLamps

        env = ParallelLamps()
        env.reset(seed=seed)
        return env


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("chess",), "no game 'chess'"),
        (("camp", "--option", "block=3"), "knows npcs, blocks, ticks"),
        (("camp", "--persona", "a", "--persona", "b=c"), "one NAME for all agents"),
        (("camp", "--mode", "fast"), "none of auto, star"),
    ],
)
def test_what_cannot_be_played_is_refused_before_the_model_is_loaded(arguments: tuple[str, ...], said: str) -> None:
    result = run(Path("there/is/no/such/model"), *arguments)
    assert result.exit_code != 0
    assert said in f"{result.exception} {result.stderr}" and "Loading" not in result.stderr


def test_an_environment_that_raises_in_step_is_told_with_what_was_done_and_where(model: Path) -> None:
    result = run(model, "tests.agent_runtime.commands.test_play:Slippery")
    assert result.exit_code == 1 and result.exception is not None
    assert "raised IndexError: off the board" in str(result.exception)
    assert "test_play.py" in str(result.exception) and "step(player_0: " in str(result.exception)


class Slippery(AtOnce):
    """Raises in its first step."""

    def make_env(self, seed: int) -> Any:
        from tests.game_adapters.lamps_game import LampsEnv

        class Raising(LampsEnv):
            def step(self, action: int | None) -> None:
                raise IndexError("off the board")

        env = Raising()
        env.reset(seed=seed)
        return env


def test_a_recorded_game_can_be_replayed(model: Path, tmp_path: Path) -> None:
    played = run(model, LAMPS, "--record", tmp_path / "recordings", "--seed", 2, "--mode", "star")
    assert played.exit_code == 0, played.output
    (file,) = (tmp_path / "recordings").glob("match-*.jsonl")
    replayed = CliRunner().invoke(
        app,
        ["replay", str(file), "--games", LAMPS, "--mode", "star", "--model", str(model), "--pool-mib", "32", "--json"],
    )
    assert replayed.exit_code == 0, replayed.output
    assert json.loads(replayed.stdout)["modes"][0]["as_recorded"] == 1


def test_the_embedded_model_plays_with_the_packages_adapter_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(embed(tmp_path, monkeypatch))

    def played(*adapter: object) -> str:
        words = ("play", LAMPS, "--option", "rounds=1", "--pool-mib", "32", *map(str, adapter))
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "in mode star" in played() and "in mode prefix" in played("--adapter", "none")
    named = save_tiny_adapter(tmp_path / "named", block_modes=("anchored",))
    assert "in mode anchored" in played("--adapter", named)
    with Seat(LAMPS, pool_mib=32) as seat, Seat(LAMPS, adapter=AdapterChoice.NONE, pool_mib=32) as bare:
        assert (seat.mode, bare.mode) == ("star", "prefix")
