"""A seat's recordings: read and replayed like a server's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.engine.errors import ModelNotFound
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.replay.errors import CannotRecord
from agent_runtime.replay.recording_format import read_recording
from agent_runtime.replay.replayer import ReplayOptions, replay
from agent_runtime.replay.steps import RecordedTurn, steps_of
from agent_runtime.seat import Seat
from agent_runtime.turn import MatchSpec, Mode, TurnApplied
from game_adapters.registry import game_folder
from tests.agent_runtime.worlds import load_tiny
from tests.game_adapters.lamps_game import Lamps, LampsEnv, ParallelLamps, PlainLamps


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return replace(load_tiny(tmp_path_factory.mktemp("models")), context_limit=16384)


def seat(loaded: LoadedModel, folder: Path, contract: Any = None, **options: Any) -> Seat:
    options = {"seed": 4, "mode": "star", "temperature": 30.0, "pool_mib": 16, **options}
    return Seat(contract or Lamps(), loaded, record=folder, **options)


def play(made: Seat, env: Any, num_steps: int = 99) -> list[int]:
    """The actions of a game, at most so many of them."""
    actions = []
    for agent in env.agent_iter(num_steps):
        action = made.act(env, agent)
        env.step(action)
        if action is not None:
            actions.append(action)
    return actions


def lamps(seed: int = 1, **options: Any) -> LampsEnv:
    env = LampsEnv(**options)
    env.reset(seed=seed)
    return env


def recordings(folder: Path) -> list[Path]:
    return sorted(folder.glob("match-*.jsonl"))


def test_a_game_replays_with_the_actions_that_were_drawn(loaded: LoadedModel, tmp_path: Path) -> None:
    with seat(loaded, tmp_path) as made:
        actions = play(made, lamps())
    (file,) = recordings(tmp_path)
    report = replay(file, loaded, ReplayOptions((Mode.STAR, Mode.FULL), (game_folder(Lamps()),), pool_mib=16))
    star = report.mode("star")
    assert star is not None and star.turns == len(actions) == 8
    assert star.as_recorded == 1, "the seeds of the draws are recorded too"
    assert report.game == "lamps" and report.warnings == ()


def test_every_turn_has_its_action_and_its_reward(loaded: LoadedModel, tmp_path: Path) -> None:
    env = lamps()
    with seat(loaded, tmp_path, history_turns=0) as made:
        play(made, env)
    recording = read_recording(recordings(tmp_path)[0])
    (part,) = recording.parts
    assert (part.header.game, part.header.mode, part.header.seed) == ("lamps", "star", 4)
    assert part.end is not None
    steps = list(steps_of(recording))
    assert isinstance(steps[0], MatchSpec) and steps[0].game == "lamps"
    turns = [step for step in steps if isinstance(step, RecordedTurn)]
    applied = [step for step in steps if isinstance(step, TurnApplied)]
    assert len(turns) == len(applied) == 8, "also of those that died: their last reward was seen"
    assert [turn.action for turn in turns if turn.request.session.endswith("player_0")] == [
        each.action for each in applied if each.session.endswith("player_0")
    ]
    assert {each.reward for each in applied} <= {-1.0, 0.0, 1.0} and all(each.ok for each in applied)


@pytest.mark.parametrize(("contract", "num_files"), [(Lamps(), 3), (PlainLamps(), 6)])
def test_every_match_is_a_file_of_its_own(loaded: LoadedModel, tmp_path: Path, contract: Any, num_files: int) -> None:
    env = ParallelLamps()
    observations, infos = env.reset(seed=1)
    with seat(loaded, tmp_path, contract) as made:
        while env.agents:
            observations, _, _, _, infos = env.step(made.act_all(env, observations, infos))
        again = lamps()
        play(made, again)
        again.reset(seed=2)
        play(made, again, 3)
    files = recordings(tmp_path)
    assert len(files) == num_files
    for file in files:
        assert any(isinstance(step, RecordedTurn) for step in steps_of(read_recording(file)))


def test_two_games_never_share_a_file(loaded: LoadedModel, tmp_path: Path) -> None:
    with seat(loaded, tmp_path) as made:
        play(made, lamps(), 1)
    with seat(loaded, tmp_path) as made, pytest.raises(CannotRecord, match="another seed"):
        made.act(lamps())
    with seat(loaded, tmp_path, seed=5) as made:
        play(made, lamps(), 1)
    assert len(recordings(tmp_path)) == 2


def test_any_names_of_agents_can_be_recorded(loaded: LoadedModel, tmp_path: Path) -> None:
    odd = ["north/gate", "north_gate", "a" * 200, "ü 1"]

    class Odd(LampsEnv):
        def __init__(self) -> None:
            super().__init__(players=4)
            spaces = self.action_spaces["player_0"], self.observation_spaces["player_0"]
            self.possible_agents = odd
            self.action_spaces, self.observation_spaces = (dict.fromkeys(odd, space) for space in spaces)

    env = Odd()
    env.reset(seed=1)
    with seat(loaded, tmp_path) as made:
        actions = play(made, env, 6)
    turns = [s for s in steps_of(read_recording(recordings(tmp_path)[0])) if isinstance(s, RecordedTurn)]
    assert len(turns) == len(actions) == 6
    assert len({turn.request.session for turn in turns}) == 4


def test_a_folder_that_cannot_be_written_is_told_at_once(loaded: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotRecord):
        Seat(Lamps(), "there/is/no/such/model", record=tmp_path / "file" / "folder")
    with pytest.raises(ModelNotFound):
        Seat(Lamps(), "there/is/no/such/model", record=tmp_path / "folder")
