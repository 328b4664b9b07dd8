"""Plots of a run."""

import importlib.util
import json
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from agent_runtime.tuning.errors import LacksTuningExtra
from agent_runtime.tuning.plots import plot_losses, require_plotting


def lacking(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a package look as if it were not installed."""
    real = importlib.util.find_spec

    def found(name: str, above: str | None = None) -> ModuleSpec | None:
        return None if name == package else real(name, above)

    monkeypatch.setattr(importlib.util, "find_spec", found)


def test_a_mode_is_drawn_where_it_was_learned(tmp_path: Path) -> None:
    lines = [{"step": 0, "loss_full": 2.0, "loss_star": 3.0}, {"step": 1, "loss_star": 2.5}]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    plot_losses(tmp_path / "metrics.jsonl", tmp_path / "losses.svg")
    drawn = (tmp_path / "losses.svg").read_text("utf-8")
    assert drawn.count('id="legend_1"') == 1 and "line2d" in drawn


def test_validation_is_drawn_beside_its_mode_in_the_steps_that_have_it(tmp_path: Path) -> None:
    lines = [{"step": step, "loss_full": 2.0, "loss_star": 3.0} for step in range(4)]
    for place in (1, 3):
        lines[place] |= {"validation_loss_star": 2.5, "validation_loss_full": 2.25}
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    plot_losses(tmp_path / "metrics.jsonl", tmp_path / "with.svg")
    for line in lines:
        line.pop("validation_loss_full", None)
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    plot_losses(tmp_path / "metrics.jsonl", tmp_path / "half.svg")
    both, half = ((tmp_path / name).read_text("utf-8") for name in ("with.svg", "half.svg"))
    assert both.count("stroke-dasharray") == half.count("stroke-dasharray") + 2 > 2, "a line, and one in the legend"


def test_without_matplotlib_it_is_said_what_installs_it_and_what_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking("matplotlib", monkeypatch)
    with pytest.raises(LacksTuningExtra, match=r'A plot needs matplotlib\. .* pip install "hotseat\[tuning\]"$'):
        require_plotting(tmp_path / "losses.svg")
    with pytest.raises(LacksTuningExtra, match=r'"hotseat\[tuning\]" \(or tune without one: --no-plot\)$'):
        require_plotting(tmp_path / "losses.svg", without="tune without one: --no-plot")
