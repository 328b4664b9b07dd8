"""Plots of a run."""

import json
from pathlib import Path

from agent_runtime.tuning.plots import plot_losses


def test_a_mode_is_drawn_where_it_was_learned(tmp_path: Path) -> None:
    lines = [{"step": 0, "loss_full": 2.0, "loss_star": 3.0}, {"step": 1, "loss_star": 2.5}]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    plot_losses(tmp_path / "metrics.jsonl", tmp_path / "losses.svg")
    drawn = (tmp_path / "losses.svg").read_text("utf-8")
    assert drawn.count('id="legend_1"') == 1 and "line2d" in drawn
