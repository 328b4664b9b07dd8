"""Which recorded turns are learned from and which are only measured: whole matches apart, and none that is in both."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.tuning import recordings
from agent_runtime.tuning.errors import NotTrainable
from agent_runtime.tuning.recordings import recorded_turns
from agent_runtime.tuning.rows import TokenAsk, TokenSample
from tests.agent_runtime.tuning.test_recordings import home, loaded_from, on_a_cpu

__all__ = ["home", "on_a_cpu"]


def listened(monkeypatch: pytest.MonkeyPatch, heard: dict[str, list[tuple[str, int]]]) -> list[Path]:
    """Let recordings, by their names, be turns that are a session and a number each; return their paths."""

    def turns_of(loaded: LoadedModel, path: Path, games: Sequence[Path]) -> Iterator[tuple[str, TokenSample]]:
        for session, number in heard[path.name]:
            yield session, TokenSample(((number,),), (TokenAsk((1,), ((2, 9), (3, 9))),))

    monkeypatch.setattr(recordings, "_turns_of", turns_of)
    return [Path(name) for name in heard]


def numbers(samples: Sequence[TokenSample]) -> list[int]:
    return [sample.blocks[0][0] for sample in samples]


def test_whole_matches_are_held_out_and_of_one_alone_sessions(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = {f"m{match}": [("red", 10 * match), ("blue", 10 * match + 1)] for match in range(10)}
    turns = recorded_turns(loaded_from(home), listened(monkeypatch, heard))
    assert len(turns.held_out) == 4 and len(turns.train) == 16 and turns.repeated == 0
    assert not {each // 10 for each in numbers(turns.held_out)} & {each // 10 for each in numbers(turns.train)}
    alone = recorded_turns(loaded_from(home), listened(monkeypatch, {"m": heard["m3"], "no turns": []}))
    assert sorted(numbers(alone.train) + numbers(alone.held_out)) == [30, 31] and len(alone.held_out) == 1


def test_a_held_out_turn_that_is_learned_elsewhere_is_left_out_and_counted(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = {f"m{match}": [("red", 1), ("red", 2), ("blue", 10 + match)] for match in range(3)}
    turns = recorded_turns(loaded_from(home), listened(monkeypatch, heard))
    assert sorted(numbers(turns.train))[:4] == [1, 1, 2, 2] and len(turns.train) == 6
    assert len(turns.held_out) == 1 and numbers(turns.held_out)[0] >= 10 and turns.repeated == 2
    other = recorded_turns(loaded_from(home), listened(monkeypatch, heard), held_out=0.7)
    assert len(other.train) == 3 and other.digest != turns.digest, "what is held out is part of what they are"
    same = {name: turns[:2] for name, turns in heard.items()}
    with pytest.raises(NotTrainable, match="all 2 held-out turns are token for token"):
        recorded_turns(loaded_from(home), listened(monkeypatch, same))
