"""What `hotseat prompts check` found as one HTML file: no network, no library, and all that states say is only text."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from agent_runtime.designer.advice import Advice
from agent_runtime.designer.course import BlockCourse
from agent_runtime.designer.report import PromptsReport, saving
from agent_runtime.errors import CannotWrite

# A page that a browser opens at once: texts are cut to the first, and left out beyond the second.
_MOST_CHARACTERS = 4000
_MOST_CHARACTERS_IN_ALL = 8_000_000
_LEFT_OUT = "(left out: the page would become too large)"
_MOST_NAMES = 20


def write_page(report: PromptsReport, file: Path) -> None:
    """Write the page. Raises CannotWrite."""
    try:
        file.write_text(page(report), encoding="utf-8")
    except OSError as error:
        raise CannotWrite(file, error.strerror or str(error)) from error


def page(report: PromptsReport) -> str:
    """Return the page as HTML. Its policy lets the one script and the one style on it through, and nothing else."""
    style, script = _part("page.css"), _part("page.js")
    advice = "\n".join(_advice(each) for each in report.advices.pieces)
    values = {
        "title": escape(f"Blocks of {report.course.game.name}: {report.course.file.file.name}"),
        "summary": "\n".join(f"<p>{escape(line)}</p>" for line in report.summary()),
        "style": style,
        "style_hash": _policy_hash(style),
        "script": script,
        "script_hash": _policy_hash(script),
        "advice": f"<ol>\n{advice}\n</ol>{_all_together(report)}" if advice else "<p>There is nothing to advise.</p>",
        "blocks": "\n".join(_block_rows(report)),
        "frames": "\n".join(_frame_rows(report)),
        # In a script nothing but "<" could end it.
        "data": json.dumps(_data(report), separators=(",", ":")).replace("<", "\\u003c"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found.group(1)], _part("page.html"))


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _policy_hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _data(report: PromptsReport) -> dict[str, Any]:
    texts = _Texts()
    return {
        "frames": [frame.number for frame in report.course.frames],
        "costs": [[frame.blocks_mode, frame.prefix_mode] for frame in report.course.frames],
        "blocks": [_block_data(block, texts) for block in report.course.blocks],
        "texts": texts.listed,
    }


def _block_data(block: BlockCourse, texts: "_Texts") -> dict[str, Any]:
    versions = [
        [version.since, -1 if version.text is None else texts.place(version.text), version.tokens]
        for version in block.versions
    ]
    return {"name": block.name, "tokens": block.tokens, "versions": versions}


class _Texts:
    """The different texts on a page, each once."""

    def __init__(self) -> None:
        self.listed: list[str] = []
        self._places: dict[str, int] = {}
        self._characters = 0

    def place(self, text: str) -> int:
        """Where a text stands."""
        if len(text) > _MOST_CHARACTERS:
            text = f"{text[:_MOST_CHARACTERS]}\n(and {len(text) - _MOST_CHARACTERS} more characters)"
        if text not in self._places and self._characters + len(text) > _MOST_CHARACTERS_IN_ALL:
            text = _LEFT_OUT
        if text not in self._places:
            self._places[text] = len(self.listed)
            self.listed.append(text)
            self._characters += len(text)
        return self._places[text]


def _advice(advice: Advice) -> str:
    place = f"{escape(advice.place)}: " if advice.place else ""
    toml = f"<pre>{escape(advice.toml)}</pre>" if advice.toml else ""
    figures = ""
    if advice.before is not None and advice.after is not None:
        figures = f"<small>{escape(saving(advice.before, advice.after))}</small>"
    return f"<li>{place}{escape(advice.sentence)}{toml}{figures}</li>"


def _all_together(report: PromptsReport) -> str:
    after = report.advices.after
    if after is None:
        return ""
    return f"<p>All that has figures, together: {escape(saving(report.advices.before, after))}</p>"


def _block_rows(report: PromptsReport) -> Iterator[str]:
    num_frames = len(report.course.frames)
    for block in report.course.blocks:
        figures = (block.tokens, block.existed(num_frames), block.changed, block.chances(num_frames))
        cells = "".join(f"<td>{figure}" for figure in figures)
        yield f'<tr><td class="text">{escape(block.name)}<td class="text">{escape(block.family)}{cells}</tr>'


def _frame_rows(report: PromptsReport) -> Iterator[str]:
    for frame in report.course.frames:
        figures = (frame.number, frame.num_blocks, frame.blocks_mode, frame.prefix_mode, frame.prompt)
        cells = "".join(f"<td>{figure}" for figure in figures)
        lists = "".join(f'<td class="text">{_listed(each)}' for each in (frame.added, frame.replaced, frame.removed))
        yield f"<tr>{cells}{lists}</tr>"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return escape(", ".join(names[:_MOST_NAMES]) + more)
