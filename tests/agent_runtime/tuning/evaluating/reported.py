"""Reports of evaluations that nobody made, with the figures that a test wants."""

from collections.abc import Mapping, Sequence
from typing import Any

from agent_runtime.tuning.evaluating.gains import Counting, Gains, differences, is_model, texts_of
from agent_runtime.tuning.evaluating.reports import by_source, tallies_in
from agent_runtime.tuning.evaluating.tallies import ALL, Tally

Counts = Sequence[int]


def file_of(
    name: str, items: Mapping[str, Counts], right: Mapping[str, Mapping[str, Counts]], **said: Any
) -> dict[str, Any]:
    """Return a file as a report has it: `items` of each kind by sample, and `right` of them under each condition."""
    tallies = []
    for kind, counts in items.items():
        sums = {condition: tuple(kinds[kind]) for condition, kinds in right.items()}
        tallies.append(Tally(kind, tuple(counts), sums, 0.1 * sum(counts), 0, dict.fromkeys(sums, 0.0)))
    if len(tallies) > 1:
        together = {name: _sum([each.right[name] for each in tallies]) for name in right}
        counts = _sum([each.items for each in tallies])
        tallies.insert(0, Tally(ALL, counts, together, 0.1 * sum(counts), 0, dict.fromkeys(together, 0.0)))
    return {
        "file": name,
        "digest": f"digest of {name}",
        "generator": "gates",
        "split": "test",
        "arguments": {"blocks": [8, 8], "block_tokens": [33, 33]},
        "held_out": [],
        "blocks": [8, 8],
        "too_long": {"samples": 0, "most_tokens": 0, "most_positions": 0},
        "repeated": 0,
        "cells": [tally.cell_with_sums() for tally in tallies],
        **said,
    }


def report_of(*files: Mapping[str, Any], weights: str = "w1", **said: Any) -> dict[str, Any]:
    """Return a report of files that `file_of` made."""
    conditions = dict.fromkeys(name for file in files for cell in file["cells"] for name in cell["right"])
    return {
        "environment": {"model": "guard", "weights_digest": weights, "device": "cpu"},
        "block_modes": ["star"],
        "context": 8192,
        "conditions": [*conditions] or ["full"],
        "files": list(files),
        "generators": by_source([(file, tallies_in(file)) for file in files]),
        **said,
    }


def game_of(rewards: Mapping[str, Sequence[float]], **said: Any) -> dict[str, Any]:
    """Return a contest as a report has it, of what players gained by match."""
    made = {"game": "leduc", "options": {}, "opponent": "random", "wander": None, "seats": ["a", "b"], **said}
    counting = Counting(made["game"], made["opponent"] is None, len(made["seats"]))
    rewards = {"random": [0.0, 1.0] * (len(rewards["full"]) // 2), **rewards}
    gains = {name: Gains(counting, tuple(each)) for name, each in rewards.items()}
    gains = {**gains, "best constant": gains["random"]}
    players: dict[str, Any] = {name: {**each.report(), **each.results, "decisions": 9} for name, each in gains.items()}
    players["best constant"]["action"] = "raise"
    for name in filter(is_model, players):
        players[name].update(legal_mass=0.5, legal_anyway=25.0, decisions_per_s=7.0)
    order = sorted(gains, key=is_model, reverse=True)
    return {
        **{"matches": len(rewards["full"]), "measure": "score", "at_once": 4, **made},
        "players": {name: players[name] for name in order},
        **differences({name: gains[name] for name in order}),
        "rewards": texts_of({name: gains[name] for name in order}),
    }


def _sum(counts: Sequence[Counts]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*counts, strict=True)))
