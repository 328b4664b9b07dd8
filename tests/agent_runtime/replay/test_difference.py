"""Two replays of one recording compared: counts that must agree, times that may differ, and where they came from."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.replay.conditions import failures, parse_condition
from agent_runtime.replay.difference import Difference, compare, findings, metrics_of_difference
from agent_runtime.replay.errors import NotAReport, NotComparable
from agent_runtime.replay.report import ReplayReport, TurnSample, report_mode
from agent_runtime.replay.saved_report import read_report
from agent_runtime.turn import Mode, Outcome

NUM_TURNS = 30
Change = Callable[[TurnSample], TurnSample]


def replayed(seed: int, slower: float = 1.0, change: Change = lambda turn: turn, **fields: Any) -> ReplayReport:
    """A replay in full and star, star `slower` times as slow, each of its turns changed."""
    draw = random.Random(seed)
    full = [turn(number, 100 * draw.uniform(0.9, 1.1)) for number in range(NUM_TURNS)]
    star = [change(turn(number, slower * 10 * draw.uniform(0.9, 1.1))) for number in range(NUM_TURNS)]
    lanes = {"full": full, "star": star}
    modes = tuple(
        report_mode(label, Mode(label), lanes[label], {"full": full}, background_rows=0, background_forwards=0)
        for label in lanes
    )
    made = ReplayReport(Path("m.jsonl"), "duel", "star", "tiny", False, modes, 0, (), {"torch": "2", "threads": 2})
    return replace(made, **{"recording_digest": "r", "digests": {"weights": "w"}, "settings": {"seed": 0}, **fields})


def turn(number: int, ttft_ms: float) -> TurnSample:
    return TurnSample(
        "npc",
        number,
        Outcome.OK,
        ttft_ms,
        tokens_prompt=100 + number,
        tokens_computed=number,
        tokens_cached=100,
        forwards=1,
        best="go",
        engine_ms=ttft_ms / 2,
    )


@pytest.fixture
def difference(tmp_path: Path) -> Callable[..., Difference]:
    def compared(a: ReplayReport, b: ReplayReport, *, turns: bool = True) -> Difference:
        for name, report in (("a", a), ("b", b)):
            with (tmp_path / f"{name}.json").open("w", encoding="utf-8") as out:
                report.write_json(out, turns=turns)
        return compare(read_report(tmp_path / "a.json"), read_report(tmp_path / "b.json"))

    return compared


Compared = Callable[..., Difference]


def test_equal_counts_are_said_and_equal_speed_is_no_difference(difference: Compared) -> None:
    found = difference(replayed(4), replayed(7))
    text = " ".join(findings(found))
    assert found.counts_agree and found.must_agree and found.origins == ()
    assert "star: every count is the same in all 30 turns." in text
    assert text.count("the interval contains 1, so no difference was measured") == 3
    assert [(each.label, each.rival) for each in found.changes] == [("star", "full")]


def test_a_regression_is_said_with_its_interval(difference: Compared) -> None:
    found = difference(replayed(1), replayed(2, slower=1.5))
    full, star = found.lanes
    assert star.ttft is not None and star.ttft.low is not None and 1.3 < star.ttft.low < star.ttft.value < 1.7
    assert star.engine is not None and star.engine.value == pytest.approx(star.ttft.value)
    assert full.ttft is not None and full.ttft.holds_one
    text = " ".join(findings(found))
    assert "star: TTFT in B is 1.5" in text and "over 30 turns: a regression." in text
    assert "star over full in B is 1.5" in text
    assert "an improvement" in " ".join(findings(difference(replayed(2, slower=1.5), replayed(1))))


def test_a_slower_machine_is_no_change_of_a_ratio(difference: Compared) -> None:
    slow = replayed(1)
    for mode in slow.modes:
        for number, sample in enumerate(mode.samples):
            mode.samples[number] = replace(sample, ttft_ms=3 * sample.ttft_ms)  # type: ignore[index, operator]
    found = difference(replayed(1), slow)
    assert [round(lane.ttft.value, 2) for lane in found.lanes if lane.ttft] == [3, 3]
    assert found.changes[0].change.value == pytest.approx(1)


@pytest.mark.parametrize(
    ("field", "value"),
    [("tokens_computed", 77), ("forwards", 2), ("best", "stay"), ("outcome", Outcome.TIMEOUT), ("tokens_prompt", None)],
)
def test_a_count_that_differs_is_named_with_its_first_turn(difference: Compared, field: str, value: Any) -> None:
    changed = replayed(2, change=lambda turn: replace(turn, **{field: value}) if turn.turn_id in (7, 9) else turn)
    found = difference(replayed(1), changed)
    assert not found.counts_agree
    assert found.lanes[1].differing == {field: 2}
    (line,) = (line for line in findings(found) if line.startswith("star: ") and "TTFT" not in line)
    assert f"{field} in 2 of 30 turns; the first: turn 7 of session 'npc', {field}" in line
    assert "one of the two is wrong" in line


def test_turns_that_only_one_has_are_counted(difference: Compared) -> None:
    found = difference(replayed(1), replayed(2, change=lambda turn: replace(turn, session="other")))
    assert found.lanes[1].lacking == 2 * NUM_TURNS and not found.counts_agree
    assert "60 turns are in one of them only" in " ".join(findings(found))


@pytest.mark.parametrize(
    ("fields", "sentence", "must_agree"),
    [
        (
            {"digests": {"weights": "w2", "game/rules.md": "x"}},
            "depend on is not the same: game/rules.md, weights",
            False,
        ),
        ({"model": "other"}, "A was replayed with tiny, B with other.", False),
        ({"environment": {"torch": "3", "threads": 2}}, "environment differ in torch: 2 in A, 3 in B.", True),
        ({"settings": {"seed": 1}}, "settings differ in seed: 0 in A, 1 in B.", True),
        ({"settings": {"seed": 0, "url": "ws://x"}}, "settings differ in url: None in A, ws://x in B.", False),
    ],
)
def test_what_is_not_the_same_is_said(
    difference: Compared, fields: dict[str, Any], sentence: str, must_agree: bool
) -> None:
    found = difference(replayed(1), replayed(2, **fields))
    assert sentence in " ".join(found.origins)
    assert found.must_agree is must_agree


def test_reports_of_two_recordings_are_not_compared(difference: Compared) -> None:
    with pytest.raises(NotComparable, match=r"a.json replays m.jsonl \(duel\), .*b.json replays m.jsonl \(duel\)"):
        difference(replayed(1), replayed(2, recording_digest="r2"))


def test_reports_without_turns_are_compared_by_their_means(difference: Compared) -> None:
    same = difference(replayed(1), replayed(2), turns=False)
    assert same.counts_agree and "the means over all turns" in " ".join(findings(same))
    other = difference(replayed(1), replayed(2, change=lambda turn: replace(turn, forwards=2)), turns=False)
    assert other.lanes[1].differing == {"forwards": 1}
    assert "without 5 turns in both there is no interval" in " ".join(findings(other))
    assert "star: forwards differ as means; the first: forwards 1.0 in A, 2.0 in B." in " ".join(findings(other))


def test_modes_of_one_report_only_are_named(difference: Compared) -> None:
    alone = replayed(1)
    found = difference(alone, replace(alone, modes=alone.modes[1:]))
    assert found.origins == ("Only A has full.",)
    nothing = difference(replace(alone, modes=alone.modes[:1]), replace(alone, modes=alone.modes[1:]))
    assert list(findings(nothing)) == ["No mode is in both reports, so nothing is compared."]


def test_conditions_may_ask_for_what_was_found(difference: Compared) -> None:
    metrics = metrics_of_difference(difference(replayed(1), replayed(2, slower=1.5)))

    def failed(*texts: str) -> int:
        return len(list(failures([parse_condition(text) for text in texts], metrics)))

    assert failed("star.ttft_ratio_low>1.1", "ratio.star_over_full_change_low>1.1", "ttft_ratio_low>1.1") == 3
    assert failed("full.ttft_ratio_low>1.1", "differing_counts>0", "origins>0") == 0


def test_json_is_whole(difference: Compared) -> None:
    told = json.loads(json.dumps(difference(replayed(1), replayed(2)).as_json(), allow_nan=False))
    assert (told["format"], told["version"], told["counts_agree"]) == ("hotseat.replay.diff", 1, True)
    assert [mode["label"] for mode in told["modes"]] == ["full", "star"]
    assert told["modes"][1]["ttft"]["turns"] == NUM_TURNS
    assert told["ratio_changes"].keys() == {"star over full"}


# What is no report.


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is JSON of another kind"),
        ('{"format":"hotseat.recording"}', "it is JSON of another kind"),
        ('{"format":"hotseat.replay","version":1}', "it has version 1 and this program compares 2"),
        ('{"format":"hotseat.replay","version":2}', "its field 'recording' is not as it should be"),
    ],
)
def test_what_is_no_report_is_refused_with_the_reason(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(NotAReport, match=why):
        read_report(file)


def test_a_turn_that_was_edited_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with file.open("w", encoding="utf-8") as out:
        replayed(1).write_json(out)
    told = json.loads(file.read_text(encoding="utf-8"))
    told["turns"][3]["ttft_ms"] = "soon"
    file.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(NotAReport, match=r"of turn 3 \(from 0\), its field 'ttft_ms'"):
        read_report(file)


def test_a_report_comes_back_as_it_was_written(tmp_path: Path) -> None:
    report, file = replayed(1), tmp_path / "a.json"
    with file.open("w", encoding="utf-8") as out:
        report.write_json(out)
    read = read_report(file)
    assert read.turns is not None
    for mode in report.modes:
        written = [replace(turn, ttft_ms=None, engine_ms=None) for turn in mode.samples]
        assert [replace(turn, ttft_ms=None, engine_ms=None) for turn in read.turns[mode.label]] == written
        assert [turn.ttft_ms for turn in read.turns[mode.label]] == pytest.approx(
            [turn.ttft_ms for turn in mode.samples], rel=1e-5
        )
