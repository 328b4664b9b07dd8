"""Models side by side: what is compared with what, paired over the samples of both, and what is never paired."""

import math
from typing import Any

import numpy
import pytest

from agent_runtime.replay.figures import student_t
from agent_runtime.tuning.errors import BadArgument
from agent_runtime.tuning.evaluating.comparing import compare
from tests.agent_runtime.tuning.evaluating.reported import file_of, report_of

ITEMS = {"fact": [4, 5, 3, 4, 4, 6, 2, 5], "linked": [2, 2, 2, 0, 2, 2, 2, 2]}
BEFORE = {
    "full": {"fact": [0, 1, 0, 1, 0, 0, 1, 0], "linked": [0, 0, 0, 0, 1, 0, 0, 0]},
    "star": {"fact": [0, 0, 0, 1, 0, 0, 1, 0], "linked": [0, 0, 0, 0, 0, 0, 0, 0]},
}
AFTER = {
    "full": {"fact": [4, 5, 2, 4, 3, 6, 2, 5], "linked": [2, 1, 2, 0, 1, 2, 0, 2]},
    "star": {"fact": [3, 5, 2, 4, 3, 5, 1, 5], "linked": [1, 1, 1, 0, 1, 2, 0, 2]},
}


def models(**changes: Any) -> dict[str, dict[str, Any]]:
    return {
        "untuned": report_of(file_of("a.jsonl", ITEMS, BEFORE)),
        "tuned": report_of({**file_of("a.jsonl", ITEMS, AFTER), **changes}, weights="w2"),
    }


def cell_of(comparison: dict[str, Any], kind: str, file: int = 0) -> dict[str, Any]:
    [cell] = [cell for cell in comparison["files"][file]["cells"] if cell["kind"] == kind]
    return cell  # type: ignore[no-any-return]


def test_every_column_is_compared_with_the_first_model_in_its_first_mode() -> None:
    found = compare(models())
    assert [each["name"] for each in found["columns"]] == ["untuned full", "untuned star", "tuned full", "tuned star"]
    assert [each["name"] for each in found["differences"]] == [
        "untuned star - untuned full",
        "tuned full - untuned full",
        "tuned star - untuned full",
    ]


@pytest.mark.parametrize(
    ("against", "differences"),
    [
        ([":full"], ["untuned star - untuned full", "tuned star - tuned full"]),
        (["untuned"], ["tuned full - untuned full", "tuned star - untuned star"]),
        (
            ["tuned:star"],
            ["untuned full - tuned star", "untuned star - tuned star", "tuned full - tuned star"],
        ),
        (["untuned", "untuned:full"], ["tuned full - untuned full", "tuned star - untuned star"]),
    ],
)
def test_what_columns_are_compared_with_can_be_named(against: list[str], differences: list[str]) -> None:
    found = [each["name"] for each in compare(models(), against)["differences"]]
    assert found[: len(differences)] == differences
    assert len(found) == len({*found})


@pytest.mark.parametrize("said", ["nobody", ":anchored", "tuned:moon", ""])
def test_what_is_not_there_is_not_compared_with(said: str) -> None:
    with pytest.raises(BadArgument, match="untuned full, untuned star, tuned full, tuned star"):
        compare(models(), [said])


def test_a_difference_of_two_models_is_that_of_their_samples() -> None:
    found = cell_of(compare(models()), "all")["differences"]["tuned star - untuned full"]
    items = numpy.sum([ITEMS[kind] for kind in ITEMS], 0)
    gained = numpy.sum([numpy.subtract(AFTER["star"][kind], BEFORE["full"][kind]) for kind in ITEMS], 0)
    mean = gained.sum() / items.sum()
    half = student_t(len(items) - 1) * math.sqrt(len(items) * (gained - mean * items).var(ddof=1)) / items.sum()
    assert found["points"] == pytest.approx(100 * mean, abs=1e-3)
    assert found["interval"] == pytest.approx([100 * (mean - half), 100 * (mean + half)], abs=1e-3)


def test_one_model_alone_has_its_reports_figures_and_costs() -> None:
    report = models()["tuned"]
    found = compare({"tuned": report})
    for kind, cell in zip(("all", "fact", "linked"), report["files"][0]["cells"], strict=True):
        compared = cell_of(found, kind)
        assert compared["right"] == cell["right"]
        cost, difference = cell["cost"]["star"], compared["differences"]["star - full"]
        assert difference["points"] == -cost["points"]
        assert difference["interval"] == [-end for end in cost["interval"][::-1]]


def test_files_of_one_name_and_other_contents_are_never_paired() -> None:
    found = compare(models(digest="of other contents"))
    assert [file["file"] for file in found["files"]] == ["a.jsonl", "a.jsonl (2)"]
    assert {*cell_of(found, "all", 0)["right"]} == {"untuned full", "untuned star"}
    assert {*cell_of(found, "all", 1)["right"]} == {"tuned full", "tuned star"}
    assert {*cell_of(found, "all", 1)["differences"]} == set() and found["kinds"] == []


def test_files_of_one_digest_are_paired_whatever_they_are_called() -> None:
    found = compare(models(file="b.jsonl"))
    assert [file["file"] for file in found["files"]] == ["a.jsonl"]
    assert cell_of(found, "all")["differences"]["tuned star - untuned full"]["samples"] == 8


def test_a_digest_that_does_not_fit_the_sums_pairs_nothing() -> None:
    other = file_of("a.jsonl", {**ITEMS, "fact": [4, 5, 3, 4, 4, 6, 2, 6]}, AFTER)
    found = compare({"untuned": models()["untuned"], "tuned": report_of(other)})
    assert len(found["files"]) == 2


def test_samples_that_one_model_has_left_out_are_left_out_of_what_is_paired() -> None:
    def first_half(counts: list[int]) -> list[int]:
        return [*counts[:5], 0, 0, 0]

    items = {kind: first_half(counts) for kind, counts in ITEMS.items()}
    right = {name: {kind: first_half(counts) for kind, counts in kinds.items()} for name, kinds in BEFORE.items()}
    few = file_of("a.jsonl", items, right, too_long={"samples": 3, "most_tokens": 9000, "most_positions": 9000})
    found = compare({"untuned": report_of(few), "tuned": models()["tuned"]})
    cell = cell_of(found, "fact")
    assert (cell["items"], cell["right"]["untuned full"]["items"]) == (33, 20)
    difference = cell["differences"]["tuned full - untuned full"]
    assert (difference["items"], difference["samples"]) == (20, 5)
    assert difference["points"] == pytest.approx(100 * (18 - 2) / 20)
    [together] = found["kinds"]
    fact = next(cell for cell in together["cells"] if cell["kind"] == "fact")
    assert {share["items"] for share in fact["right"].values()} == {20}, "where kinds are added up, all have the same"
    assert fact["right"]["tuned full"]["points"] == 90


def test_kinds_are_those_of_the_files_that_all_have() -> None:
    more = [file_of(name, ITEMS, AFTER) for name in ("a.jsonl", "b.jsonl", "c.jsonl")]
    found = compare({"tuned": report_of(*more[:2]), "other": report_of(*more[1:])})
    [together] = found["kinds"]
    assert (together["files"], together["cells"][0]["items"]) == (["b.jsonl"], 47)
    alone = report_of(*more)
    [together], [said] = compare({"tuned": alone})["kinds"], alone["generators"]
    assert together["files"] == said["files"]
    assert [cell["right"] for cell in together["cells"]] == [cell["right"] for cell in said["cells"]]


def test_nothing_is_learned_where_no_model_is_above_chance() -> None:
    differences = cell_of(compare(models(), ["untuned:full", ":full"]), "fact")["differences"]
    assert not differences["untuned star - untuned full"]["learned"]
    assert differences["tuned full - untuned full"]["learned"] and differences["tuned star - tuned full"]["learned"]
