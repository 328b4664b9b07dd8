"""The report of an evaluation: what is counted, what is left out, and what is added up."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.engine.loading import ModelSpec, load_model
from agent_runtime.tuning.errors import NothingAnswered
from agent_runtime.tuning.evaluating.conditions import condition_of
from agent_runtime.tuning.evaluating.evaluation import as_markdown, evaluate, left_out
from agent_runtime.tuning.samples import Ask, Header, Sample, SampleWriter
from tests.agent_runtime.tuning.evaluating import reported
from tests.tiny_models import save_tiny_model

NO_CHOICE = Ask("What now?\n", "go", "go", "decision", ("go",), chance=1.0)


def sample(number: int, *asks: Ask) -> Sample:
    blocks = (("gate/a", f"gate/a\nopen: {number}\n"), ("gate/b", "gate/b\nopen: no\n"))
    return Sample("gates", "gates", "test", number, "Answer.", blocks, asks)


def question(text: str) -> Ask:
    return Ask(f"{text}\n", "yes", "yes", "unit_fact", chance=0.1)


def report_of(
    tmp_path: Path,
    files: dict[str, tuple[str, dict[str, Any], list[Sample]]],
    held_out: tuple[str, ...] = (),
    kept: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    save_tiny_model(tmp_path / "guard", "llama")
    for name, (generator, arguments, samples) in files.items():
        with SampleWriter(tmp_path / name, Header(generator, arguments, "1", 0, "test", held_out=held_out)) as writer:
            for each in samples:
                writer.write(each)
    loaded = load_model(ModelSpec(str(tmp_path / "guard")), tmp_path / "cache")
    conditions = [condition_of("full"), condition_of("star")]
    kept = [] if kept is None else kept
    paths = [tmp_path / name for name in files]
    report = evaluate(loaded, paths, conditions, 2000, lambda path, number: None, kept.append)
    assert [each["files"] for each in kept] == [report["files"][: number + 1] for number in range(len(files))]
    assert kept[-1] == report
    return report


def test_what_was_asked_before_and_what_leaves_no_choice_is_left_out(tmp_path: Path) -> None:
    first = sample(1, question("Is it?"), question("Was it?"), NO_CHOICE)
    again = replace(first, asks=(question("Is it?"), question("Will it?")))
    other = sample(2, question("Is it?"), question("Is it?"))
    only = sample(3, NO_CHOICE)
    report = report_of(tmp_path, {"a.jsonl": ("gates", {}, [first, again, other, only])})
    [file] = report["files"]
    assert file["repeated"] == 4
    assert [cell["right"]["full"]["items"] for cell in file["cells"]] == [4]
    assert report["generators"] == []


def test_files_of_one_generator_are_added_up_and_of_games_those_of_one(tmp_path: Path) -> None:
    made = {
        name: (generator, arguments, [sample(first + n, question("Is it?"), question("Was it?")) for n in range(3)])
        for first, name, generator, arguments in (
            (0, "a.jsonl", "gates", {"blocks": [8, 8]}),
            (3, "b.jsonl", "gates", {"blocks": [16, 16]}),
            (0, "c.jsonl", "games", {"game": "leduc"}),
            (0, "d.jsonl", "games", {"game": "camp"}),
        )
    }
    report = report_of(tmp_path, made)
    [together] = report["generators"]
    assert together["generator"] == "gates" and together["files"] == ["a.jsonl", "b.jsonl"]
    [cell] = together["cells"]
    assert cell["right"]["full"]["items"] == 12
    points = [file["cells"][0]["right"]["full"]["points"] for file in report["files"][:2]]
    assert cell["right"]["full"]["points"] == pytest.approx(sum(points) / 2)
    assert "| all of gates | unit_fact | 12 |" in as_markdown(report)


def test_the_digest_is_of_what_is_asked_and_of_nothing_else(tmp_path: Path) -> None:
    asked = [sample(1, question("Is it?")), sample(2, question("Was it?"))]
    again = [asked[0], asked[0], replace(asked[1], asks=(question("Was it?"), NO_CHOICE))]
    made = {"a.jsonl": asked, "b.jsonl": again, "c.jsonl": asked[::-1]}
    report = report_of(tmp_path, {name: ("gates", {}, samples) for name, samples in made.items()})
    first, same, other = (file["digest"] for file in report["files"])
    assert first == same and first != other


def test_a_report_says_what_its_files_hold_out_and_what_is_right_of_all_else(tmp_path: Path) -> None:
    asked = [question("Is it?"), replace(question("Was it?"), kind="linked"), replace(question("Why?"), kind="riddle")]
    made = {"a.jsonl": ("gates", {}, [sample(number, *asked) for number in range(3)])}
    [file] = report_of(tmp_path, made, held_out=("riddle",))["files"]
    assert file["held_out"] == ["riddle"]
    items = {cell["kind"]: cell["right"]["full"]["items"] for cell in file["cells"]}
    assert [*items.items()][:2] == [("all", 9), ("all but riddle", 6)] and {*items.values()} == {9, 6, 3}


def test_sums_of_samples_are_kept_in_the_order_of_the_file_those_too_long_as_nothing(tmp_path: Path) -> None:
    asked = [sample(number, *[question(f"Is it {each}?") for each in range(number)]) for number in (3, 1, 2)]
    long = replace(asked[1], blocks=(("gate/a", "open: yes\n" * 1000),))
    [file] = report_of(tmp_path, {"a.jsonl": ("gates", {}, [asked[0], long, asked[2]])})["files"]
    [cell] = file["cells"]
    assert file["too_long"]["samples"] == 1 and cell["sums"]["items"] == "3 0 2"
    assert {*cell["sums"]["right"]} == {"full", "star"} and cell["sums"]["chance"] == pytest.approx(0.5)


def test_a_file_of_which_nothing_is_answered_says_why_and_alone_it_is_refused(tmp_path: Path) -> None:
    long = replace(sample(1, question("Is it?")), blocks=(("gate/a", "open: yes\n" * 1000),))
    nothing = sample(2, NO_CHOICE)
    made = {
        name: ("gates", {}, [each])
        for name, each in (("a.jsonl", long), ("b.jsonl", nothing), ("c.jsonl", sample(3, question("Was it?"))))
    }
    kept: list[dict[str, Any]] = []
    alone = {name: made[name] for name in ("a.jsonl", "b.jsonl")}
    with pytest.raises(NothingAnswered, match=r"Nothing was answered\. a\.jsonl: 1 .* b\.jsonl: there is no sample"):
        report_of(tmp_path, alone, kept=kept)
    assert not kept, "an empty report takes no other's place"
    report = report_of(tmp_path, dict(reversed(made.items())))
    whys = [left_out(file, 2000, report["context"]) for file in report["files"]]
    assert [bool(why) for why in whys] == [False, True, True]


def test_what_would_take_samples_that_are_too_long_is_said() -> None:
    def told(tokens: int, positions: int, **said: Any) -> str:
        too_long = {"samples": 3, "most_tokens": tokens, "most_positions": positions}
        return left_out({"file": "a", "cells": [], "too_long": too_long, **said}, 500, 800)

    row = "a row holds 500 tokens, and they take up to 1100 (--row-tokens 1100)"
    context = "the model has 800 positions, and they need up to 900 (make them of fewer or shorter blocks)"
    assert told(1100, 60) == f"a: 3 samples, which are all, are too long: {row}."
    assert told(400, 900) == f"a: 3 samples, which are all, are too long: {context}."
    assert told(1100, 900, cells=[{}]) == f"a: 3 samples are too long: {row}; {context}."


def test_a_table_says_by_how_much_a_block_mode_is_above_full_mode_and_the_report_what_it_costs() -> None:
    right = {"full": [2, 2, 2, 2, 1, 2], "star": [1, 1, 2, 2, 1, 2], "star, not moved": [2, 2, 2, 2, 2, 2]}
    file = reported.file_of("a.jsonl", {"fact": [2] * 6}, {name: {"fact": each} for name, each in right.items()})
    [cell] = file["cells"]
    assert cell["cost"]["star"]["points"] == pytest.approx(100 * 2 / 12, abs=1e-3)
    head, _, line = as_markdown(reported.report_of(file)).splitlines()[:3]
    assert head.endswith("| full | star | star, not moved | star - full | star, not moved - full |")
    low, high = cell["cost"]["star"]["interval"]
    star, unmoved = line.split(" | ")[-2:]
    assert star == f"-16.67 [{-high:.2f}, {-low:.2f}]" and unmoved.startswith("8.33 [")


def test_files_of_one_name_are_told_apart_and_copies_are_no_further_evidence(tmp_path: Path) -> None:
    (tmp_path / "near").mkdir()
    first, other = (sample(number, question("Is it?")) for number in (1, 2))
    made = {
        name: ("gates", {}, [each]) for name, each in (("a.jsonl", first), ("near/a.jsonl", other), ("b.jsonl", first))
    }
    report = report_of(tmp_path, made)
    near, far = (tmp_path / "near" / "a.jsonl").as_posix(), (tmp_path / "a.jsonl").as_posix()
    assert [file["file"] for file in report["files"]] == [far, near, "b.jsonl"]
    [together] = report["generators"]
    assert together["files"] == [far, near] and together["cells"][0]["right"]["full"]["items"] == 2
