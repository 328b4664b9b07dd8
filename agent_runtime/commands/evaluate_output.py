"""What `hotseat evaluate` measures, kept as it comes, and printed at the end."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_runtime.commands.options import say
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.errors import CannotWrite
from agent_runtime.tuning.errors import NothingAnswered
from agent_runtime.tuning.evaluating import evaluation, texts
from agent_runtime.tuning.evaluating.conditions import Condition
from agent_runtime.tuning.samples import read_header

if TYPE_CHECKING:
    from agent_runtime.tuning.evaluating.contests import Arena


def measure(
    loaded: LoadedModel,
    conditions: Sequence[Condition],
    out: Path | None,
    *,
    samples: Sequence[Path],
    row_tokens: int,
    arenas: Sequence["Arena"],
    pool_mib: int,
    text: Path | None,
) -> dict[str, Any]:
    """Measure all that was asked for and return the report. `out` has what was finished so far, file by file.

    Of matches it has those that all have played, some hundreds more at a time: a report is of use wherever it was cut.

    Raises what the pieces raise, CannotWrite, and NothingAnswered where there is nothing to tell of but a text of which
    no conversation was scored.
    """

    def keep(so_far: dict[str, Any]) -> None:
        _write(so_far, out)

    def tell(path: Path, done: int) -> None:
        _tell(path.name, done)

    report = evaluation.evaluate(loaded, samples, conditions, row_tokens, tell, keep)
    if text is not None:
        report["texts"] = [texts.score_text(loaded, text, _tell)]
        if not (report["texts"][0]["conversations"] or samples or arenas):
            raise NothingAnswered(tuple(map(_too_long, report["texts"])))
        keep(report)
    played: list[dict[str, Any]] = []

    def keep_played(contest: dict[str, Any]) -> None:
        keep(report | {"games": [*played, contest]})

    for arena in arenas:
        for each in arena.hold(loaded, [condition.mode for condition in conditions], pool_mib, _tell, keep_played):
            played.append(each)
            report["games"] = played
            keep(report)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    for file in report["files"]:
        if why := evaluation.left_out(file, row_tokens, loaded.context_limit):
            say(why)
    for file in report.get("texts", ()):
        if file["too_long"]["conversations"]:
            say(_too_long(file))
    return report


def warn_of_training(samples: Sequence[Path]) -> None:
    """Say which files are of the split that models are trained on. Raises NotSamples, NewerSamples."""
    for path in samples:
        if read_header(path).split == "train":
            say(f"{path.name} is of the split train: the model may have been trained on these samples.")


def _too_long(text: dict[str, Any]) -> str:
    number, most = text["too_long"]["conversations"], text["too_long"]["most_tokens"]
    return f"{text['file']}: {number} conversations are too long (up to {most} tokens) for the model's context."


def as_markdown(report: dict[str, Any]) -> str:
    """Return a report as tables, one for each kind of what was measured."""
    tables = [evaluation.as_markdown(report)] if report["files"] else []
    if "games" in report:
        from agent_runtime.tuning.evaluating import contests

        tables.append(contests.as_markdown(report["games"]))
    if "texts" in report:
        tables.append(texts.as_markdown(report["texts"]))
    return "\n".join(tables)


def _tell(what: str, done: int) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what}: {done}", end="", file=sys.stderr, flush=True)


def _write(report: dict[str, Any], out: Path | None) -> None:
    if out is not None:
        try:
            out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise CannotWrite(out, error.strerror or str(error)) from error
