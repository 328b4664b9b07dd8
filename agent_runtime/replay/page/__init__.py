"""A replay's report as one page that needs nothing but a browser: no network, no other file.

Tables are in the page itself; what is drawn is drawn by `page.js` from the numbers that lie beside them. Everything
that came from a recording or a game goes in as text: Jinja escapes it, and the script never writes HTML. The page
forbids itself every script and style but its own two.
"""

import base64
import hashlib
import heapq
import importlib.resources
import itertools
from collections.abc import Sequence
from typing import Any, TextIO

from jinja2 import Environment, StrictUndefined

from agent_runtime.replay.figures import PERCENTILES, turns_needed
from agent_runtime.replay.report import ReplayReport, remarks
from agent_runtime.replay.samples import TurnSample
from agent_runtime.replay.strips import KINDS, Strips
from agent_runtime.replay.table import count_cell, number_cell, ratio_cell, share_cell, time_cell

# The page grows with every turn that it draws. Of a lane with more, evenly spread ones are drawn and the slowest.
_MOST_DRAWN = 20_000
_SLOWEST_DRAWN = 500


def write_page(report: ReplayReport, out: TextIO) -> None:
    """Write the page."""
    script, style = _own("page.js"), _own("page.css")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters.update(time=time_cell, count=count_cell, share=share_cell, number=number_cell, ratio=ratio_cell)
    out.write(
        page.from_string(_own("page.html")).render(
            report=report,
            remarks=list(remarks(report)),
            percentiles={name: turns_needed(name) for name in PERCENTILES},
            rivals=[mode.label for mode in report.modes if any(mode.label in each.ratios for each in report.modes)],
            data=_data(report),
            script=script,
            style=style,
            policy=f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}",
        )
    )


def _own(name: str) -> str:
    return (importlib.resources.files(__package__) / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The name by which a content security policy allows a script or style."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _data(report: ReplayReport) -> dict[str, Any]:
    """What the script draws. Texts are written once, and by their number from then on."""
    texts: dict[str, int] = {}
    return {
        "lanes": [
            {"label": mode.label, "turns": mode.turns, "columns": _columns(mode.samples, texts)}
            for mode in report.modes
        ],
        "strips": _strips(report.strips, texts) if report.strips is not None else [],
        "every": report.strips.every if report.strips is not None else 1,
        "kinds": KINDS,
        "texts": list(texts),
    }


def _columns(samples: Sequence[TurnSample], texts: dict[str, int]) -> dict[str, list[Any]]:
    def text(value: str | None) -> int | None:
        return None if value is None else texts.setdefault(value, len(texts))

    names = ("ttft_ms", "engine_ms", "queue_ms", "late_ms", "tokens_prompt", "tokens_computed", "tokens_cached")
    columns: dict[str, list[Any]] = {name: [] for name in ("number", "turn", "copy", "cold", *names, *_TEXTS)}
    for number in _drawn(samples):
        sample = samples[number]
        columns["number"].append(number)
        columns["turn"].append(sample.turn_id)
        columns["copy"].append(sample.copy)
        columns["cold"].append(int(sample.cold))
        for name in names:
            value = getattr(sample, name)
            columns[name].append(float(f"{value:.5g}") if isinstance(value, float) else value)
        for name in _TEXTS:
            value = getattr(sample, name)
            columns[name].append(text(None if value is None else str(value)))
    return columns


_TEXTS = ("session", "outcome", "best")


def _drawn(samples: Sequence[TurnSample]) -> list[int]:
    """The numbers of the turns that are drawn."""
    if len(samples) <= _MOST_DRAWN:
        return list(range(len(samples)))
    times = [sample.ttft_ms or 0.0 for sample in samples]
    slowest = heapq.nlargest(_SLOWEST_DRAWN, range(len(samples)), key=times.__getitem__)
    return sorted({*range(0, len(samples), -(-len(samples) // _MOST_DRAWN)), *slowest})


def _strips(strips: Strips, texts: dict[str, int]) -> list[list[Any]]:
    """Each as [label, number, name, kind, tokens, name, kind, tokens, ...]."""
    return [
        [
            kept.label,
            kept.number,
            *itertools.chain.from_iterable(
                (texts.setdefault(piece.name, len(texts)), KINDS.index(piece.kind), piece.tokens)
                for piece in kept.strip
            ),
        ]
        for kept in strips
    ]
