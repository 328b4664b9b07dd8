"""What was asked in training, and what is held out, are sums of their own."""

import json
from pathlib import Path

from agent_runtime.tuning.evaluating.reports import read_report
from agent_runtime.tuning.evaluating.tallies import ALL, ASKED, Tally, in_order, joined_by_kind, with_asked
from agent_runtime.tuning.evaluating.uniting import united
from tests.agent_runtime.tuning.evaluating.reported import file_of, report_of


def tally(kind: str, items: tuple[int, ...], full: tuple[int, ...], star: tuple[int, ...]) -> Tally:
    return Tally(kind, items, {"full": full, "star": star}, 0.5 * sum(items), 0, {"full": 0.0, "star": 0.0})


ONE = tally("unit_fact", (2, 3), (2, 3), (2, 2))
OTHER = tally("linked", (1, 1), (1, 0), (0, 0))
HELD_OUT = tally("quest", (2, 0), (2, 0), (0, 0))
WHOLE = tally(ALL, (5, 4), (5, 3), (2, 2))


def test_all_kinds_but_the_one_held_out_are_sums_behind_those_of_all() -> None:
    found = with_asked([WHOLE, OTHER, HELD_OUT, ONE])
    assert [each.kind for each in found] == [ALL, ASKED, "linked", "quest", "unit_fact"]
    assert (found[1].items, dict(found[1].right)) == ((3, 4), {"full": (3, 3), "star": (2, 2)})
    assert found[1].chance == ONE.chance + OTHER.chance and found[1].num_items == ONE.num_items + OTHER.num_items
    assert with_asked(found) == found, "they are there already"


def test_without_a_kind_held_out_or_with_one_other_kind_there_is_nothing_to_tell_apart() -> None:
    assert with_asked([WHOLE, OTHER, ONE]) == [WHOLE, OTHER, ONE]
    two = [tally(ALL, (4, 3), (4, 3), (2, 2)), HELD_OUT, ONE]
    assert with_asked(two) == two
    assert with_asked([HELD_OUT]) == [HELD_OUT]


def test_over_several_files_it_is_all_that_they_ask_but_the_kind_held_out() -> None:
    files = [with_asked([WHOLE, OTHER, HELD_OUT, ONE]), [ONE], [HELD_OUT]]
    joined = joined_by_kind(files)
    assert [each.kind for each in joined] == in_order({ALL, ASKED, "linked", "quest", "unit_fact"})
    assert joined[0].items == (5, 4, 2, 3, 2, 0) and joined[1].items == (3, 4, 2, 3)


def test_reports_of_before_are_read_as_if_they_had_it_and_unite_with_those_of_now(tmp_path: Path) -> None:
    paths = []
    for condition in ("full", "star"):
        tallies = {tally.kind: tally for tally in (OTHER, HELD_OUT, ONE)}
        items = {kind: tally.items for kind, tally in tallies.items()}
        right = {name: {kind: tally.right[name] for kind, tally in tallies.items()} for name in ("full", condition)}
        paths.append(tmp_path / f"{condition}.json")
        paths[-1].write_text(json.dumps(report_of(file_of("a.jsonl", items, right))))
    before = read_report(paths[0])
    [file] = before.report["files"]
    assert [cell["kind"] for cell in file["cells"]] == [ALL, ASKED, "linked", "quest", "unit_fact"]
    assert file["cells"][1]["right"]["full"]["items"] == 7
    (tmp_path / "now.json").write_text(json.dumps(before.report))
    [both] = united("guard", [read_report(tmp_path / "now.json"), read_report(paths[1])])["files"]
    assert [cell["right"]["star"]["items"] for cell in both["cells"]][:2] == [9, 7]
