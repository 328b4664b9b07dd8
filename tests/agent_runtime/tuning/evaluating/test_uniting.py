"""Parts of an evaluation come to what one run over all files comes to, and those that contradict are refused."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.engine.loading import ModelSpec, load_model
from agent_runtime.tuning.errors import PartsDiffer
from agent_runtime.tuning.evaluating.conditions import condition_of
from agent_runtime.tuning.evaluating.evaluation import evaluate
from agent_runtime.tuning.evaluating.reports import Part
from agent_runtime.tuning.evaluating.uniting import united
from agent_runtime.tuning.samples import Header, SampleWriter
from tests.agent_runtime.tuning.evaluating.reported import file_of, game_of, report_of
from tests.agent_runtime.tuning.evaluating.test_evaluation import question, sample
from tests.tiny_models import save_tiny_model

RIGHT = {"full": {"fact": [2, 3]}, "star": {"fact": [1, 3]}}
FILE = file_of("a.jsonl", {"fact": [2, 3]}, RIGHT)
GAINED = {"full": [1.0, -1.0, 0.0, 2.0], "star": [1.0, 0.0, 0.0, -2.0]}
GAME = game_of(GAINED)
OTHER = file_of("b.jsonl", {"fact": [2, 3]}, RIGHT)


def parts_of(*reports: dict[str, Any]) -> list[Part]:
    return [Part(Path(f"{number}.json"), json.loads(json.dumps(report))) for number, report in enumerate(reports)]


def test_parts_come_to_what_one_run_over_all_files_says(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "guard", "llama")
    paths = [tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl.gz")]
    for number, path in enumerate(paths):
        with SampleWriter(path, Header("gates", {"blocks": [8, 8]}, "1", number, "test")) as writer:
            for each in range(6):
                asks = [question(f"Is it {number} {each} {ask}?") for ask in range(1 + each % 3)]
                writer.write(sample(10 * number + each, *asks))
    loaded = load_model(ModelSpec(str(tmp_path / "guard")), tmp_path / "cache")

    def evaluated(files: list[Path], modes: str) -> dict[str, Any]:
        conditions = [condition_of(name) for name in modes.split(",")]
        found = evaluate(loaded, files, conditions, 2000, lambda path, number: None)
        return json.loads(json.dumps(found))  # type: ignore[no-any-return]

    whole = evaluated(paths, "full,star,star:unmoved")
    by_file = [evaluated([path], "full,star,star:unmoved") for path in paths]
    assert united("guard", parts_of(*by_file)) == whole
    by_condition = [evaluated(paths, modes) for modes in ("full", "star", "star:unmoved,full")]
    assert united("guard", parts_of(*by_condition)) == whole
    by_both = [evaluated(paths[:1], "full,star"), evaluated(paths[1:], "full,star,star:unmoved")]
    by_both.append(evaluated(paths[:1], "star:unmoved"))
    assert united("guard", parts_of(*by_both)) == whole


def test_what_is_said_twice_counts_once() -> None:
    once = report_of(FILE, OTHER)
    assert united("a", parts_of(once, report_of(OTHER))) == once
    slower = deepcopy(GAME)
    slower["players"]["full"]["decisions_per_s"] = 5.0
    assert united("a", parts_of(report_of(games=[GAME]), report_of(games=[slower])))["games"] == [GAME]


def test_parts_may_have_played_in_other_modes() -> None:
    full, star = (game_of({name: GAINED[name], "full": GAINED["full"]}, at_once=n) for n, name in enumerate(GAINED))
    for part in ("players", "rewards"):
        star[part] = {name: each for name, each in star[part].items() if name != "full"}
    [found] = united("a", parts_of(report_of(games=[full]), report_of(games=[star])))["games"]
    assert found == GAME | {"at_once": 0} and [*found["players"]] == [*GAME["players"]]


def test_parts_of_several_machines_say_so() -> None:
    environment = {"model": "guard", "weights_digest": "w1", "device": "gpu"}
    found = united("a", parts_of(report_of(FILE), report_of(OTHER, environment=environment)))
    assert found["differing"] == {"device": ["cpu", "gpu"]}


def test_parts_may_have_other_files_in_other_modes() -> None:
    full, star = (file_of(f"{name}.jsonl", {"fact": [2, 3]}, {name: RIGHT[name]}) for name in ("full", "star"))
    found = united("a", parts_of(report_of(full), report_of(star)))
    assert found["conditions"] == ["full", "star"] and found["generators"] == []


def test_full_mode_is_the_measure_whichever_part_comes_first() -> None:
    right = {"full": {"fact": [2, 3]}, "star": {"fact": [0, 1]}}
    full, star = (report_of(file_of("a.jsonl", {"fact": [2, 3]}, {name: right[name]})) for name in ("full", "star"))
    one, other = united("a", parts_of(full, star)), united("a", parts_of(star, full))
    assert one == other and one["conditions"] == ["full", "star"]
    [cell] = one["files"][0]["cells"]
    assert cell["cost"]["star"]["points"] == 80.0 and cell["learned"]
    alone = report_of(file_of("a.jsonl", {"fact": [2, 3]}, {"star": right["star"], "full": right["full"]}))
    assert alone["files"][0]["cells"][0]["learned"], "full mode says what is learned, whatever is the measure"


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        (report_of(FILE), report_of(OTHER, weights="w2"), "other weights (guard, w1; guard, w2). Name each model"),
        (report_of(FILE), report_of({**FILE, "digest": "d2"}), "what they call a.jsonl is not the same file"),
        (
            report_of(FILE),
            report_of(file_of("a.jsonl", {"fact": [2, 3]}, {**RIGHT, "star": {"fact": [1, 2]}})),
            "of fact in a.jsonl, 80.000 and 60.000 % are right (star)",
        ),
        (
            report_of(FILE),
            report_of(file_of("a.jsonl", {"fact": [2, 3]}, {**RIGHT, "star": {"fact": [2, 2]}})),
            "80.000 and 80.000 % are right (star), and not of the same samples",
        ),
        (
            report_of(FILE),
            report_of(file_of("a.jsonl", {"fact": [2, 0]}, {"full": {"fact": [2, 0]}, "star": {"fact": [1, 0]}})),
            "they answered other items of a.jsonl",
        ),
        (
            report_of(file_of("a.jsonl", {"fact": [2, 3]}, {"full": RIGHT["full"]})),
            report_of(file_of("a.jsonl", {"fact": [3, 2]}, {"star": {"fact": [1, 2]}})),
            "they answered other items of a.jsonl",
        ),
        (
            report_of(texts=[{"file": "talk.jsonl", "perplexity": {"mean": 2.0}}]),
            report_of(texts=[{"file": "talk.jsonl", "perplexity": {"mean": 3.0}}]),
            "other figures of talk.jsonl",
        ),
        (
            report_of(games=[GAME]),
            report_of(games=[game_of({**GAINED, "star": [-1.0] * 4})]),
            "other figures of leduc against random",
        ),
        (
            report_of(games=[GAME]),
            report_of(games=[game_of({name: rewards * 2 for name, rewards in GAINED.items()})]),
            "they have played leduc against random in other matches",
        ),
    ],
)
def test_parts_that_contradict_are_refused(first: dict[str, Any], second: dict[str, Any], what: str) -> None:
    with pytest.raises(PartsDiffer) as refused:
        united("tuned", parts_of(first, second))
    assert what in str(refused.value) and "0.json and 1.json cannot both be 'tuned'" in str(refused.value)
