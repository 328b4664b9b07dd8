"""What was asked in training, and what is held out, are sums of their own."""

import json
from pathlib import Path

from agent_runtime.tuning.evaluating.comparing import compare
from agent_runtime.tuning.evaluating.reports import read_report
from agent_runtime.tuning.evaluating.tallies import ALL, Tally, in_order, is_of_several, joined_by_kind
from agent_runtime.tuning.evaluating.uniting import united
from tests.agent_runtime.tuning.evaluating.reported import file_of, report_of


def tally(kind: str, items: tuple[int, ...], full: tuple[int, ...], star: tuple[int, ...]) -> Tally:
    return Tally(kind, items, {"full": full, "star": star}, 0.5 * sum(items), 0, {"full": 0.0, "star": 0.0})


ONE = tally("unit_fact", (2, 3), (2, 3), (2, 2))
OTHER = tally("linked", (1, 1), (1, 0), (0, 0))
HELD_OUT = tally("quest", (2, 0), (2, 0), (0, 0))
QUEST = ("quest",)
ASKED = "all but quest"
WHOLE = tally(ALL, (5, 4), (5, 3), (2, 2))


def test_all_kinds_but_the_one_held_out_are_sums_behind_those_of_all() -> None:
    found = joined_by_kind([[WHOLE, OTHER, HELD_OUT, ONE]], QUEST)
    assert [each.kind for each in found] == [ALL, ASKED, "linked", "quest", "unit_fact"]
    assert (found[1].items, dict(found[1].right)) == ((3, 4), {"full": (3, 3), "star": (2, 2)})
    assert found[1].chance == ONE.chance + OTHER.chance and found[1].num_items == ONE.num_items + OTHER.num_items
    assert joined_by_kind([found], QUEST) == found, "they are there already"


def test_any_kinds_may_be_held_out_as_files_say() -> None:
    more = tally("riddle", (1, 2), (0, 2), (0, 0))
    whole = tally(ALL, (6, 6), (5, 5), (2, 2))
    found = {each.kind: each for each in joined_by_kind([[whole, OTHER, HELD_OUT, more, ONE]], ("quest", "riddle"))}
    assert (found["all but quest, riddle"].items, found["all but quest, riddle"].chance) == ((3, 4), 3.5)
    [asked] = [kind for kind in found if kind != ALL and is_of_several(kind)]
    assert [*found][:2] == [ALL, asked] and "all but quest" not in found
    other = joined_by_kind([[WHOLE, OTHER, HELD_OUT, ONE]], ("linked",))[1]
    assert (other.kind, other.items) == ("all but linked", (4, 3))


def test_without_a_kind_held_out_or_with_one_other_kind_there_is_nothing_to_tell_apart() -> None:
    for held_out in ((), ("riddle",)):
        assert joined_by_kind([[WHOLE, OTHER, HELD_OUT, ONE]], held_out) == [WHOLE, OTHER, HELD_OUT, ONE]
    two = [tally(ALL, (4, 3), (4, 3), (2, 2)), HELD_OUT, ONE]
    assert joined_by_kind([two], QUEST) == two
    assert joined_by_kind([[HELD_OUT]], QUEST) == [HELD_OUT]


def test_over_several_files_it_is_all_that_they_ask_but_the_kind_held_out() -> None:
    files = [joined_by_kind([[WHOLE, OTHER, HELD_OUT, ONE]], QUEST), [ONE], [HELD_OUT]]
    joined = joined_by_kind(files, QUEST)
    assert [each.kind for each in joined] == in_order({ALL, ASKED, "linked", "quest", "unit_fact"})
    assert joined[0].items == (5, 4, 2, 3, 2, 0) and joined[1].items == (3, 4, 2, 3)


def written(path: Path, condition: str, generator: str = "gamecore", **said: list[str]) -> Path:
    """Write a report as those of before, whose file says nothing of what is held out if `said` does not."""
    tallies = {tally.kind: tally for tally in (OTHER, HELD_OUT, ONE)}
    items = {kind: tally.items for kind, tally in tallies.items()}
    right = {name: {kind: tally.right[name] for kind, tally in tallies.items()} for name in ("full", condition)}
    report = report_of(file_of("a.jsonl", items, right, generator=generator))
    del report["files"][0]["held_out"]
    report["files"][0].update(said)
    path.write_text(json.dumps(report))
    return path


def test_reports_of_before_are_read_as_if_they_had_it_and_unite_with_those_of_now(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{name}.json", name) for name in ("full", "star")]
    before = read_report(paths[0])
    [file] = before.report["files"]
    assert file["held_out"] == ["quest"]
    assert [cell["kind"] for cell in file["cells"]] == [ALL, ASKED, "linked", "quest", "unit_fact"]
    assert file["cells"][1]["right"]["full"]["items"] == 7
    (tmp_path / "now.json").write_text(json.dumps(before.report))
    [both] = united("guard", [read_report(tmp_path / "now.json"), read_report(paths[1])])["files"]
    assert [cell["right"]["star"]["items"] for cell in both["cells"]][:2] == [9, 7]


def test_a_report_says_itself_what_is_held_out_and_without_it_only_gamecore_held_out_quest(tmp_path: Path) -> None:
    def kinds(generator: str, **said: list[str]) -> list[str]:
        [file] = read_report(written(tmp_path / "a.json", "star", generator, **said)).report["files"]
        return [cell["kind"] for cell in file["cells"] if is_of_several(cell["kind"])]

    assert kinds("gamecore") == [ALL, ASKED] and kinds("gamecore", held_out=[]) == [ALL]
    assert kinds("gates") == [ALL] and kinds("gates", held_out=["linked"]) == [ALL, "all but linked"]


def test_a_report_of_before_and_one_of_now_are_compared_by_it(tmp_path: Path) -> None:
    before = read_report(written(tmp_path / "a.json", "star")).report
    now = read_report(written(tmp_path / "b.json", "star", held_out=["quest"])).report
    found = compare({"before": before, "now": now})
    for cells in (found["files"][0]["cells"], found["kinds"][0]["cells"]):
        assert [cell["kind"] for cell in cells] == [ALL, ASKED, "linked", "quest", "unit_fact"]
        assert cells[1]["right"]["before star"] == cells[1]["right"]["now star"] and cells[1]["items"] == 7
