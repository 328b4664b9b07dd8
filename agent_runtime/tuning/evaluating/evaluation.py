"""An evaluation: files of samples answered under several conditions, as cells with intervals.

A cell is a kind of question in one file, or all kinds that are not decisions of chance alone. Full mode is the measure
of the others, by paired differences on the same items: in the JSON report `cost` is full - star, above 0 where the
block mode is worse; tables, as everything that people read, have star - full, above 0 where it is better. A cell in
which even full mode is less than 20 points above chance proves nothing about block modes, and says so. Where several
files are of one generator, a kind is also a cell over all of them.

What was asked before behind the same blocks in the same file is left out, and so is what leaves no choice: of a small
game a file holds some positions hundreds of times, and their answers are one answer.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.environment import environment
from agent_runtime.tuning.errors import NothingAnswered
from agent_runtime.tuning.evaluating.conditions import Condition
from agent_runtime.tuning.evaluating.reports import by_source, tallies_in
from agent_runtime.tuning.evaluating.scoring import Item, Needs, Scorer
from agent_runtime.tuning.evaluating.tables import as_table, negated, on_few, with_interval
from agent_runtime.tuning.evaluating.tallies import tallies_of
from agent_runtime.tuning.samples import Sample, encode_sample, read_header, read_samples

_DIGEST_BYTES = 16


def evaluate(
    loaded: LoadedModel,
    files: Sequence[Path],
    conditions: Sequence[Condition],
    row_tokens: int,
    tell: Callable[[Path, int], None],
    keep: Callable[[dict[str, Any]], None] = lambda report: None,
) -> dict[str, Any]:
    """Answer all samples of `files` under all conditions, the first being the measure, and return the report.

    `tell` hears the file and the number of items answered so far, item by item from none on; `keep` hears the report on
    the files so far, behind each of them, once there are answers. Raises SamplesError, and NothingAnswered if none of
    the files has any.
    """
    conditions = tuple(dict.fromkeys(conditions))
    answered: list[dict[str, Any]] = []
    if files:  # a model that is served may be one that packed rows do not do for
        scorer = Scorer(loaded, conditions, row_tokens)
        for path, name in _named(files).items():
            answered.append({"file": name, **_answered(scorer, path, tell)})
            if any(file["cells"] for file in answered):
                keep(_report(loaded, conditions, answered))
        if not any(file["cells"] for file in answered):
            raise NothingAnswered(tuple(left_out(file, row_tokens, loaded.context_limit) for file in answered))
    return _report(loaded, conditions, answered)


def _named(files: Sequence[Path]) -> dict[Path, str]:
    """Return what a report calls each file, once: its name, or where several have that name the path as given."""
    names = Counter(path.name for path in dict.fromkeys(files))
    return {path: path.name if names[path.name] == 1 else path.as_posix() for path in files}


def left_out(file: dict[str, Any], row_tokens: int, context: int) -> str:
    """Return why samples of a report's file were not answered, and what would take them; nothing if all were."""
    number, tokens, positions = (file["too_long"][name] for name in ("samples", "most_tokens", "most_positions"))
    if not number:
        return "" if file["cells"] else f"{file['file']}: there is no sample in it that leaves a choice."
    whose = "samples are" if file["cells"] else "samples, which are all, are"
    reasons = []
    if tokens > row_tokens:
        reasons.append(f"a row holds {row_tokens} tokens, and they take up to {tokens} (--row-tokens {tokens})")
    if positions > context:
        needed = f"the model has {context} positions, and they need up to {positions}"
        reasons.append(f"{needed} (make them of fewer or shorter blocks)")
    return f"{file['file']}: {number} {whose} too long: {'; '.join(reasons)}."


def _report(loaded: LoadedModel, conditions: Sequence[Condition], answered: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "environment": environment(loaded),
        "block_modes": list(loaded.block_modes),
        "context": loaded.context_limit,
        "conditions": [condition.name for condition in conditions],
        "files": [*answered],
        "generators": by_source([(file, tallies_in(file)) for file in answered]),
    }


class _Distinct:
    """Samples without the asks that came before, or that only one action answers, as an iterator.

    When it has come to its end it knows how many samples there were and how many asks were left out, and the digest
    of all that is asked: two files of one digest ask the same, whatever they are called.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.num_samples = 0
        self.num_repeated = 0
        self._samples = samples
        self._digest = blake2b(digest_size=_DIGEST_BYTES)

    @property
    def digest(self) -> str:
        """Return the digest of what has been yielded."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[Sample]:
        seen: set[tuple[int, str]] = set()
        for sample in self._samples:
            state = hash((sample.anchor, sample.blocks))
            asks = []
            for ask in sample.asks:
                if ask.chance < 1 and (state, ask.observation) not in seen:
                    seen.add((state, ask.observation))
                    asks.append(ask)
            self.num_repeated += len(sample.asks) - len(asks)
            if asks:
                asked = replace(sample, asks=tuple(asks))
                self.num_samples += 1
                self._digest.update(encode_sample(asked))
                yield asked


def _answered(scorer: Scorer, path: Path, tell: Callable[[Path, int], None]) -> dict[str, Any]:
    """Return what the report says of a file."""
    header = read_header(path)
    too_long: list[Needs] = []
    items: list[Item] = []
    samples = _Distinct(read_samples(path))
    tell(path, 0)
    for item in scorer.score(samples, lambda number, needs: too_long.append(needs)):
        items.append(item)
        tell(path, len(items))
    blocks = [item.num_blocks for item in items]
    names = [condition.name for condition in scorer.conditions]
    tallies = tallies_of(names, items, samples.num_samples, header.held_out)
    return {
        "digest": samples.digest,
        "generator": header.generator,
        "split": header.split,
        "arguments": dict(header.arguments),
        "held_out": [*header.held_out],
        "blocks": [min(blocks), max(blocks)] if blocks else None,
        "too_long": {
            "samples": len(too_long),
            "most_tokens": max((each.row_tokens for each in too_long), default=0),
            "most_positions": max((each.positions for each in too_long), default=0),
        },
        "repeated": samples.num_repeated,
        "cells": [tally.cell_with_sums() for tally in tallies],
    }


def as_markdown(report: dict[str, Any]) -> str:
    """Return a report as a table: a line per file and kind, shares right, and how far each is above the first."""
    names = report["conditions"]
    head = ["file", "kind", "items", "chance", *names, *[f"{name} - {names[0]}" for name in names[1:]]]
    lines, samples = [], []
    together = [{**each, "file": f"all of {each['generator']}"} for each in report["generators"]]
    for file in [*report["files"], *together]:
        for cell in file["cells"]:
            shares = [f"{cell['right'][name]['points']:.1f}" for name in names]
            note = "" if cell["learned"] else " (not learned)"
            above = [with_interval(negated(cell["cost"][name])) + note for name in names[1:]]
            items = cell["right"][names[0]]["items"]
            samples.append(cell["right"][names[0]]["samples"])
            lines.append([file["file"], cell["kind"], str(items), f"{cell['chance']:.1f}", *shares, *above])
    return as_table(head, lines) + on_few(samples, "samples")
