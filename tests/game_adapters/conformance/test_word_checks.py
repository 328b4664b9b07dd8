"""One broken game for each check of what becomes of a game in words: its folder, its blocks, its prompts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from game_adapters.conformance import TokenCounts, check_game
from prompts import StateBlocks
from prompts.state_blocks import BlockChange
from tests.game_adapters.conformance.reports import failed, folder, makes, outcomes, said
from tests.game_adapters.lamps_game import Lamps, LampsEnv, PlainLamps


def test_folder_a_class_without_one_and_one_that_does_not_load(tmp_path: Path) -> None:
    class Homeless(Lamps):
        folder = "nowhere"

    report = check_game(Homeless())
    assert failed(report) == {"folder"} and "nowhere" in said(report, "folder")
    assert said(report, "text") == "there is no game folder that loads"
    assert outcomes(report)["seeds"] == "ok", "what needs no folder is checked all the same"
    broken = folder(tmp_path, '[[segment]]\nmatch = "/lamps/*"\nname = "lamp/{key}"\nrender = "lamp.md"\n')
    assert "game.toml:5" in said(check_game(Lamps(), folder=broken), "folder")
    (broken / "lamp.md").write_text("{{ value.colour.name }}\n", encoding="utf-8")
    report = check_game(Lamps(), folder=broken)
    assert failed(report) == {"folder"} and "lamp.md:1" in said(report, "folder")


def test_folder_parts_without_a_rule_are_advice_and_no_failure(tmp_path: Path) -> None:
    report = check_game(Lamps(), folder=folder(tmp_path))
    assert report.passed
    advice = [finding.what for finding in report.findings if finding.outcome == "advice"]
    assert len(advice) == 3 and any("/lamps" in sentence and "[[segment]]" in sentence for sentence in advice)


def test_text_that_loses_a_change(tmp_path: Path) -> None:
    rule = '[[segment]]\nmatch = "/lamps"\nname = "lamps"\nrender = "lamps.md"\n'
    deaf = folder(tmp_path, rule, lamps="There are {{ value | length }} lamps.\n")
    report = check_game(Lamps(), folder=deaf)
    assert failed(report) == {"text"} and "a change at /lamps is lost in words" in said(report, "text")


def objects(round_number: int) -> list[Any]:
    """One goes in front, one comes behind."""
    return [{"id": f"n{n}", "says": f"number {n}"} for n in range(round_number, round_number + 4)]


def words(round_number: int) -> list[Any]:
    """They go in front."""
    return ["ann", "bob", "eve", "kim", "zoe"][round_number - 1 :]


def log(round_number: int) -> list[Any]:
    """They come behind."""
    return [f"in round {n} it rained" for n in range(1, 1 + round_number)]


def board(round_number: int) -> list[Any]:
    """A piece moves on."""
    return ["X" if n == round_number else "." for n in range(6)]


@pytest.mark.parametrize(
    ("queue", "key", "is_wrong"),
    [
        (objects, "", True),
        (objects, 'key = "id"\n', False),
        (words, "", True),
        (log, "", False),
        (board, "", False),
    ],
)
def test_segments_known_by_a_place_that_shifts(tmp_path: Path, queue: Any, key: str, is_wrong: bool) -> None:
    class Queue(PlainLamps):
        def describe(self, env: Any, agent: str) -> Any:
            return {"town": {"queue": queue(env.room.round)}}

    rule = f'[[segment]]\nmatch = "/town/queue/*"\nname = "queue/{{key}}"\n{key}'
    report = check_game(Queue(), makes(LampsEnv), folder=folder(tmp_path, rule))
    assert failed(report) == ({"segments"} if is_wrong else set())
    if is_wrong:
        assert "members of /town/queue are known by their place" in said(report, "segments")


def test_segments_that_get_a_new_name_at_every_step_and_names_that_clash(tmp_path: Path) -> None:
    class Churning(PlainLamps):
        def describe(self, env: Any, agent: str) -> Any:
            state = super().describe(env, agent)
            return {"lamps": {f"{name}@{env.room.round}": "a lamp" for name in state["lamps"]}}

    class Twins(PlainLamps):
        def describe(self, env: Any, agent: str) -> Any:
            return {"lamps": {"a": {"x": 1}, "b": {"x": 2}}}

    rule = '[[segment]]\nmatch = "/lamps/*"\nname = "lamp/{key}"\n'
    report = check_game(Churning(), makes(LampsEnv, rounds=6), folder=folder(tmp_path, rule))
    assert failed(report) == {"segments"} and "blocks named 'lamp' get other names" in said(report, "segments")
    (tmp_path / "twins").mkdir()
    clash = folder(tmp_path / "twins", '[[segment]]\nmatch = "/lamps/*/x"\nname = "lamp/x"\n')
    assert "parts of the state are named 'lamp/x'" in said(
        check_game(Twins(), makes(LampsEnv), folder=clash), "segments"
    )


def test_patch_that_does_something_else_is_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(blocks: StateBlocks, operations: Any, state: Any) -> BlockChange:
        return BlockChange((), (), (), (), ())

    monkeypatch.setattr(StateBlocks, "patch", stale)
    report = check_game(Lamps())
    assert failed(report) == {"patch"} and "a fault of Hotseat's" in said(report, "patch")


def test_patch_tells_values_apart_that_are_equal_in_python() -> None:
    class Loose(PlainLamps):
        def describe(self, env: Any, agent: str) -> Any:
            return {"lamps": {"lamp_0": (1, True, 1.0)[env.room.round % 3]}, "round": env.room.round}

    assert check_game(Loose(), makes(LampsEnv)).passed


def test_tokens_beyond_the_models_context() -> None:
    report = check_game(Lamps(), count_tokens=lambda text: 10 * len(text), context=3000)
    assert "tokens" in failed(report) and "context ends at 3,000" in said(report, "tokens")
    report = check_game(Lamps(), count_tokens=lambda text: len(text.split()), context=3000)
    assert report.passed and " of 3,000" in said(report, "tokens") and "about" not in said(report, "tokens")


def test_tokens_are_counted_part_by_part() -> None:
    nothing, one = (lambda text: 0), (lambda text: 1)
    report = check_game(Lamps(), count_tokens=TokenCounts(one, nothing, nothing, nothing))
    assert (
        report.passed and "blocks of 1 tokens" in said(report, "tokens") and "up to 0 tokens" in said(report, "names")
    )
    for place, figure in ((1, "up to 100 tokens"), (2, "up to 100 tokens")):
        counts: list[Callable[[str], int]] = [nothing] * 4
        counts[place] = lambda text: 100
        assert figure in said(check_game(Lamps(), count_tokens=TokenCounts(*counts)), "tokens")
    names = check_game(Lamps(), count_tokens=TokenCounts(nothing, nothing, nothing, lambda text: 64))
    assert failed(names) == {"names"}
