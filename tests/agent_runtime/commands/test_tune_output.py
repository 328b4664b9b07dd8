"""What `hotseat tune` says of its steps: some of them, and how long it will take."""

import json

import pytest

from agent_runtime.commands.tune_output import Steps


def said(capsys: pytest.CaptureFixture[str], steps: range, last: int, seconds: float, left_out: int = 0) -> list[str]:
    """What is said of steps, counted from 0, that take as long each."""
    now = 1000.0

    def clock() -> float:
        return now

    progress = Steps(last, clock=clock)
    assert not progress.has_heard
    for step in steps:
        progress.tell({"step": step, "loss": 1.0, "loss_star": 0.5, "left_out": left_out, "tokens_per_s": 99.6})
        now += seconds
    assert progress.has_heard
    return capsys.readouterr().err.splitlines()


def test_steps_are_counted_from_1_and_said_about_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, range(8), 8, 4.0) == [
        "step      1 of 8  star 0.500  100 tokens/s",
        "step      4 of 8  star 0.500  100 tokens/s  16 s left",
        "step      7 of 8  star 0.500  100 tokens/s  4 s left",
        "step      8 of 8  star 0.500  100 tokens/s",
    ]
    assert len(said(capsys, range(400), 400, 0.1)) == 5
    assert len(said(capsys, range(5), 5, 60.0)) == 5


def test_the_time_left_is_that_of_the_steps_done_here(capsys: pytest.CaptureFixture[str]) -> None:
    went_on = said(capsys, range(500, 502), 1000, 60.0)
    assert went_on[0].startswith("step    501 of 1000") and "left" not in went_on[0]
    assert went_on[1].endswith("tokens/s  8.3 h left")
    assert said(capsys, range(2), 10, 60.0)[1].endswith("  8 min left")


def test_samples_that_are_left_out_are_said_of_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, range(3), 5, 1.0, left_out=2)
    assert lines[2:] == [
        f"step {step}: 2 samples are too long for a row or the model, and left out." for step in (2, 3)
    ]


def test_what_validation_came_to_is_said_whenever_there_was_one(capsys: pytest.CaptureFixture[str]) -> None:
    line = {"step": 0, "loss": 1.0, "loss_star": 0.5, "left_out": 0, "tokens_per_s": 99.6}
    measured = {"validation_loss_star": 0.75, "validation_right_star": 0.875, "validation_left_out": 3}
    for as_json in (False, True):
        progress = Steps(9, as_json=as_json, clock=lambda: 0.0)
        progress.tell(line)
        progress.tell({**line, "step": 1, **measured})
    assert capsys.readouterr().err.splitlines()[1:] == [
        "step      2 validation  star 0.750 (87.5 % right)  3 samples are too long for a row or the model, and left out"
    ]


def test_as_json_metrics_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Steps(3, as_json=True)
    progress.tell({"step": 0, "left_out": 0})
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == ({"step": 0, "left_out": 0}, "") and progress.has_heard
