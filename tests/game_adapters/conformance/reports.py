"""What the tests of this room make games conform with, and read of the reports."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from game_adapters.conformance import Report


def makes(env_class: Callable[..., Any], **options: Any) -> Callable[[int], Any]:
    def make(seed: int) -> Any:
        env = env_class(**options)
        env.reset(seed=seed)
        return env

    return make


def outcomes(report: Report) -> dict[str, str]:
    return {finding.check: finding.outcome for finding in report.findings}


def said(report: Report, check: str) -> str:
    return next(finding.what for finding in report.findings if finding.check == check)


def failed(report: Report) -> set[str]:
    return {finding.check for finding in report.failures}


def folder(parent: Path, toml: str = "", **files: str) -> Path:
    """A game folder that says lamps in its own way."""
    made = parent / "lamps"
    made.mkdir()
    (made / "game.toml").write_text(f'name = "lamps"\n{toml}', encoding="utf-8")
    (made / "rules.md").write_text("Switch lamps.\n", encoding="utf-8")
    for name, text in files.items():
        (made / f"{name}.md").write_text(text, encoding="utf-8")
    return made
