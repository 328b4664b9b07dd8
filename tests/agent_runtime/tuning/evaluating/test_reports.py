"""Reports read back: what is none is refused with the reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.tuning.errors import NotEvaluation
from agent_runtime.tuning.evaluating.reports import by_source, read_report, tallies_in
from tests.agent_runtime.tuning.evaluating.reported import file_of, game_of, report_of

FILE = file_of("a.jsonl", {"fact": [2, 3]}, {"full": {"fact": [2, 3]}, "star": {"fact": [1, 3]}})


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = report_of(FILE)
    (tmp_path / "a.json").write_text(json.dumps(written, indent=1))
    part = read_report(tmp_path / "a.json")
    assert part.report == written and (part.model, part.weights) == ("guard", "w1")
    assert [tally.right["star"] for tally in tallies_in(FILE)] == [(1, 3)]


def test_one_without_sums_is_to_be_evaluated_again(tmp_path: Path) -> None:
    report = json.loads(json.dumps(report_of(FILE)))
    del report["files"][0]["digest"], report["files"][0]["cells"][0]["sums"]
    (tmp_path / "a.json").write_text(json.dumps(report))
    with pytest.raises(NotEvaluation, match=r"lacks 'files\.0\.digest'; .*\.sums'\. Evaluate again, and name"):
        read_report(tmp_path / "a.json")


def as_before(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report as it was when intervals had no bounds."""
    before = json.loads(json.dumps(report))

    def widen(share: dict[str, Any]) -> None:
        low, high = share["interval"]
        if low in (0.0, -100.0):
            share["interval"] = [2 * share["points"] - high, high] if high < 100 else [low - 9.5, high]
        if high == 100.0:
            share["interval"][1] = 109.25

    for file in before["files"]:
        for cell in file["cells"]:
            for share in (*cell["right"].values(), *cell["cost"].values()):
                widen(share)
    for game in before.get("games", ()):
        for player in game["players"].values():
            widen(player["score"])
        for found in (*game["cost"].values(), *(each for above in game["above"].values() for each in above.values())):
            widen(found["score"])
    return before


def test_reports_with_intervals_beyond_what_is_possible_are_read_as_those_of_now(tmp_path: Path) -> None:
    right = {"full": {"fact": [2, 2, 2, 2, 2, 1]}, "star": {"fact": [0, 0, 0, 0, 0, 1]}}
    now = report_of(file_of("a.jsonl", {"fact": [2] * 6}, right))
    now["games"] = [game_of({"full": [1.0] * 11 + [-1.0], "star": [-1.0] * 11 + [1.0]})]
    before = as_before(now)
    cells = [each["files"][0]["cells"][0] for each in (now, before)]
    assert [each["right"]["full"]["interval"][1] for each in cells] == [100.0, 109.25]
    assert cells[1]["cost"]["star"]["interval"][1] == 109.25 and cells[1]["right"]["star"]["interval"][0] < 0
    scores = [each["games"][0]["players"]["full"]["score"]["interval"][1] for each in (now, before)]
    assert scores == [100.0, 109.25] and before["games"][0]["cost"] != now["games"][0]["cost"]
    (tmp_path / "a.json").write_text(json.dumps(before))
    assert read_report(tmp_path / "a.json").report == now
    before["files"][0]["cells"][0]["right"]["full"]["interval"][0] += 0.5
    (tmp_path / "a.json").write_text(json.dumps(before))
    with pytest.raises(NotEvaluation, match="the sums of fact do not add up"):
        read_report(tmp_path / "a.json")


def lacking(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda report: report["files"][0]["cells"][0].pop(name)


def with_sums(**sums: Any) -> Callable[[dict[str, Any]], None]:
    return lambda report: report["files"][0]["cells"][0]["sums"].update(sums)


def with_share(**figures: Any) -> Callable[[dict[str, Any]], None]:
    return lambda report: report["files"][0]["cells"][0]["right"]["full"].update(figures)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda report: report.pop("environment"), "it lacks 'environment'"),
        (lambda report: report["environment"].update(model=""), r"environment\.model: .* at least 1"),
        (lambda report: report.update(conditions=[]), "it names no conditions"),
        (lambda report: report.update(conditions=["full"]), "conditions lacks star"),
        (lambda report: report.update(texts=[{"file": "t"}]), r"it lacks 'texts\.0\.conversations'"),
        (lambda report: report["files"][0].update(arguments=None), r"files\.0\.arguments: .* dictionary"),
        (lambda report: report["files"][0].update(held_out="quest"), r"files\.0\.held_out: .* list"),
        (lacking("right"), r"it lacks 'files\.0\.cells\.0\.right'"),
        (with_share(items="5"), r"right\.full\.items: .* integer"),
        (with_share(interval=[1.0, None]), r"right\.full\.interval"),
        (lambda report: report["files"][0]["cells"][0].update(cost={}), "cost of fact is not that of every condition"),
        (lambda report: report["files"][0]["cells"][0].update(sums=None), r"cells\.0\.sums: Input"),
        (with_sums(items="0 0"), "division by zero"),
        (with_sums(decisions=float("inf")), "integer"),
        (with_sums(items="2 x"), "invalid literal"),
        (with_sums(items="2 3 4"), "of several lengths"),
        (with_sums(right={"full": "2 2", "star": "1 3"}), "the sums of fact do not add up"),
    ],
)
def test_what_is_no_report_says_what_is_wrong(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], why: str
) -> None:
    report = json.loads(json.dumps(report_of(FILE)))
    change(report)
    (tmp_path / "a.json").write_text(json.dumps(report))
    with pytest.raises(NotEvaluation, match=why):
        read_report(tmp_path / "a.json")


def test_cells_of_one_file_keep_sums_of_the_same_samples(tmp_path: Path) -> None:
    two = file_of("a.jsonl", {"fact": [2, 3], "link": [1, 1]}, {"full": {"fact": [2, 3], "link": [1, 1]}})
    two["cells"][1]["sums"].update(items="2 3 0", right={"full": "2 3 0"})
    (tmp_path / "a.json").write_text(json.dumps(report_of(FILE) | {"files": [two]}))
    with pytest.raises(NotEvaluation, match="sums of other samples"):
        read_report(tmp_path / "a.json")
    del two["cells"][0]
    two["cells"][0] = {**FILE["cells"][0], "kind": "link"}
    two["cells"][1] = FILE["cells"][0]
    (tmp_path / "a.json").write_text(json.dumps(report_of(FILE) | {"files": [two]}))
    with pytest.raises(NotEvaluation, match="of several kinds, and none is of all"):
        read_report(tmp_path / "a.json")


def test_files_without_a_condition_in_common_have_nothing_together() -> None:
    full, star = (file_of(f"{name}.jsonl", {"fact": [1, 1]}, {name: {"fact": [1, 0]}}) for name in ("full", "star"))
    assert by_source([(file, tallies_in(file)) for file in (full, star)]) == []


@pytest.mark.parametrize(
    ("content", "why"),
    [("[1]", "no report"), ("step,loss", "not JSON"), ("[" * 100_000, "not JSON"), (None, "cannot be read")],
)
def test_other_files_are_no_reports(tmp_path: Path, content: str | None, why: str) -> None:
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    with pytest.raises(NotEvaluation, match=why):
        read_report(tmp_path / "a.json")
