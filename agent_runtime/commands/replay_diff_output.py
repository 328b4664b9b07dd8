"""What `hotseat replay diff` prints."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.text import Text

from agent_runtime.commands.replay_output import none_holds
from agent_runtime.replay.conditions import parse_condition
from agent_runtime.replay.difference import Difference, compare, findings, metrics_of_difference
from agent_runtime.replay.saved_report import read_report
from agent_runtime.replay.table import TABLE_WIDTH, count_cell, new_table, ratio_cell, share_cell, time_cell


def print_diff(a: Path, b: Path, fail_if: Sequence[str], as_json: bool) -> bool:
    """Compare two reports; returns whether nothing is wrong.

    Raises NotAReport, NotComparable, BadCondition, UnknownMetric and NoValue.
    """
    conditions = tuple(map(parse_condition, fail_if))
    difference = compare(read_report(a), read_report(b))
    if as_json:
        print(json.dumps(difference.as_json(), indent=1))
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = TABLE_WIDTH
        console.print(_drawn(difference))
    fine = none_holds(conditions, metrics_of_difference(difference))
    return fine and (difference.counts_agree or not difference.must_agree)


def _drawn(difference: Difference) -> Group:
    headings = (
        "TTFT ms\nin A",
        "\nin B",
        "B over A",
        "engine\nB over A",
        "tokens\nin A",
        "\nin B",
        "like rec.\nin A",
        "\nin B",
    )
    table = new_table(headings)
    for lane in difference.lanes:
        table.add_row(
            lane.label,
            time_cell(lane.a.ttft_ms.get("mean")),
            time_cell(lane.b.ttft_ms.get("mean")),
            ratio_cell(lane.ttft),
            ratio_cell(lane.engine),
            count_cell(lane.a.tokens_computed),
            count_cell(lane.b.tokens_computed),
            share_cell(lane.a.as_recorded),
            share_cell(lane.b.as_recorded),
        )
    title = f"A: {difference.a.path}, B: {difference.b.path} ({difference.a.game or 'no game'})"
    notes = [*difference.origins, *findings(difference)]
    return Group(Text(title, style="bold"), Text(), table, Text(), *map(Text, notes))
