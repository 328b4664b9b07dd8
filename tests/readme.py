"""README.md taken apart, for the tests that hold it to the truth.

In its messages `…` stands for what is left out: as a value it is any number, in quotes any text, alone in brackets
anything at all, and behind a comma the fields that are not shown.
"""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ANY_NUMBER = 999_999_937
ANY_TEXT = "…"


@dataclass(frozen=True, slots=True)
class Said:
    """One message of the exchange, and who says it."""

    by_client: bool
    message: dict[str, Any]


def text() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def fences(language: str) -> list[str]:
    """The contents of the fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text(), re.MULTILINE | re.DOTALL)


def spans() -> list[str]:
    """What stands between backticks in the prose."""
    prose = re.sub(r"^```.*?^```$", "", text(), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def commands() -> list[list[str]]:
    """The words of every line in a shell block."""
    lines = [shlex.split(line, comments=True) for fence in fences("sh") for line in fence.splitlines()]
    return [words for words in lines if words]


def exchange() -> list[Said]:
    """The messages on the wire, in order."""
    [fence] = [fence for fence in fences("text") if fence.startswith("->")]
    said = []
    for arrow, body in re.findall(r"^(->|<-) (.*?)(?=^->|^<-|\Z)", fence, re.MULTILINE | re.DOTALL):
        whole = re.sub(r",…(?=[}\]])", "", body)
        whole = re.sub(r"([{\[])…(?=[}\]])", r"\1", whole)
        said.append(Said(arrow == "->", json.loads(re.sub(r":…", f":{ANY_NUMBER}", whole))))
    return said


def tree() -> list[Path]:
    """The paths in the file tree, below the repository."""
    [fence] = [fence for fence in fences("text") if not fence.startswith("->")]
    paths: list[Path] = []
    folder = Path()
    for line in fence.splitlines():
        name = line.split()[0]
        path = folder / name if line.startswith("  ") else Path(name)
        if not line.startswith("  "):
            folder = path
        paths.append(path)
    return paths
