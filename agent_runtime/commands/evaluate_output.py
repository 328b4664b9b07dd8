"""What `hotseat evaluate` measures, kept as it comes, and printed at the end."""

import json
from collections.abc import Callable, Sequence
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
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Measure all that was asked for and return the report. `out` has what was finished so far, file by file.

    Of matches it has those that all have played, some hundreds more at a time: a report is of use wherever it was cut.
    `tell` hears how far it has come, in words, item by item and match by match.

    Raises what the pieces raise, CannotWrite, and NothingAnswered where there is nothing to tell of but a text of which
    no conversation was scored.
    """

    def keep(so_far: dict[str, Any]) -> None:
        _write(so_far, out)

    def answered(path: Path, done: int) -> None:
        tell(f"{path.name}: {done:,} items answered")

    def scored(name: str, done: int) -> None:
        tell(f"{name}: {done:,} conversations scored")

    report = evaluation.evaluate(loaded, samples, conditions, row_tokens, answered, keep)
    if text is not None:
        report["texts"] = [texts.score_text(loaded, text, scored)]
        if not (report["texts"][0]["conversations"] or samples or arenas):
            raise NothingAnswered(tuple(map(_too_long, report["texts"])))
        keep(report)
    played: list[dict[str, Any]] = []

    def keep_played(contest: dict[str, Any]) -> None:
        keep(report | {"games": [*played, contest]})

    modes = [condition.mode for condition in conditions]
    for arena in arenas:

        def heard(what: str, done: int, matches: int = arena.num_matches) -> None:
            tell(f"{what}: {done:,} of {matches:,} matches played")

        for each in arena.hold(loaded, modes, pool_mib, heard, keep_played):
            played.append(each)
            report["games"] = played
            keep(report)
    return report


def warn_of_training(samples: Sequence[Path]) -> None:
    """Say which files are of the split that models are trained on. Raises NotSamples, NewerSamples."""
    for path in samples:
        if read_header(path).split == "train":
            say(f"{path.name} is of the split train: the model may have been trained on these samples.")


def warn_of_left_out(report: dict[str, Any], row_tokens: int, context: int) -> None:
    """Say of which files something was not answered, or scored, and what would take it."""
    for file in report["files"]:
        if why := evaluation.left_out(file, row_tokens, context):
            say(why)
    for text in report.get("texts", ()):
        if text["too_long"]["conversations"]:
            say(_too_long(text))


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


def _write(report: dict[str, Any], out: Path | None) -> None:
    if out is not None:
        try:
            # Beside it first: a disk that is full must not take the report that is there.
            written = out.with_name(f"{out.name}.part") if out.is_file() or not out.exists() else out
            written.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
            if written is not out:
                written.replace(out)
        except OSError as error:
            raise CannotWrite(out, error.strerror or str(error)) from error
