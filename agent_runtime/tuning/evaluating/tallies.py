"""How many items of each sample are right: sums from which shares come, and differences of whatever is kept so.

A report keeps them for every cell, in the order of the file, so that models that were evaluated apart are compared
sample by sample. Sums of several files are joined end to end: a sample stays a cluster of its own.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from agent_runtime.tuning.evaluating.findings import Clusters, Estimate
from agent_runtime.turn import Mode

if TYPE_CHECKING:
    from agent_runtime.tuning.evaluating.scoring import Item

ALL = "all"
FULL = Mode.FULL.value
# With the kinds that are held out, the name of the sums over all others. Those may have been asked in training: what
# blocks cost there is one thing, and where nobody ever asked another.
_ALL_BUT = "all but "
# Above chance by fewer points, full mode itself has not learned what is asked.
LEAST_LEARNED = 20.0


@dataclass(frozen=True, slots=True)
class Tally:
    """The items of one kind: of sample n there are `items[n]`, and under a condition `right[condition][n]` are right.

    `chance` adds up the items' chances. `decisions` counts those for which `legal_mass` adds up, by condition, the
    probability of all listed actions. The first condition is the measure of the others.
    """

    kind: str
    items: tuple[int, ...]
    right: Mapping[str, tuple[int, ...]]
    chance: float
    decisions: int
    legal_mass: Mapping[str, float]

    @classmethod
    def of_items(cls, kind: str, names: Sequence[str], items: Sequence["Item"], num_samples: int) -> "Tally":
        """Return the sums of `items`, which were answered under the conditions `names`."""
        counts, right = [0] * num_samples, [[0] * num_samples for _ in names]
        for item in items:
            counts[item.sample] += 1
            for sums, is_right in zip(right, item.right, strict=True):
                sums[item.sample] += is_right
        masses = [item.legal_mass for item in items if item.legal_mass is not None]
        legal_mass = {name: math.fsum(mass[number] for mass in masses) for number, name in enumerate(names)}
        by_name = {name: tuple(sums) for name, sums in zip(names, right, strict=True)}
        return cls(kind, tuple(counts), by_name, math.fsum(item.chance for item in items), len(masses), legal_mass)

    @classmethod
    def joined(cls, kind: str, tallies: Sequence["Tally"]) -> "Tally":
        """Return the sums of several files, over the conditions that all of them have."""
        names = [name for name in tallies[0].right if all(name in each.right for each in tallies)]
        return cls(
            kind,
            tuple(count for each in tallies for count in each.items),
            {name: tuple(count for each in tallies for count in each.right[name]) for name in names},
            math.fsum(each.chance for each in tallies),
            sum(each.decisions for each in tallies),
            {name: math.fsum(each.legal_mass[name] for each in tallies) for name in names},
        )

    @classmethod
    def of_cell(cls, cell: Mapping[str, Any]) -> "Tally":
        """Return the sums that a report's cell keeps.

        Raises KeyError, TypeError and ValueError for what is no such cell.
        """
        sums = cell["sums"]
        right = {str(name): _numbers(text) for name, text in sums["right"].items()}
        masses = {str(name): float(mass) for name, mass in sums["legal_mass"].items()}
        tally = cls(
            str(cell["kind"]), _numbers(sums["items"]), right, float(sums["chance"]), int(sums["decisions"]), masses
        )
        if any(len(each) != len(tally.items) for each in right.values()) or {*masses} != {*right}:
            raise ValueError(f"the sums of {tally.kind} are of several lengths")
        if tally.cell()["right"] != cell["right"]:
            raise ValueError(f"the sums of {tally.kind} do not add up to its shares")
        return tally

    def without(self, other: "Tally") -> "Tally":
        """Return the sums of what is not among the items of `other`, which are some of these."""
        return Tally(
            self.kind,
            _less(self.items, other.items),
            {name: _less(counts, other.right[name]) for name, counts in self.right.items()},
            self.chance - other.chance,
            self.decisions - other.decisions,
            {name: mass - other.legal_mass[name] for name, mass in self.legal_mass.items()},
        )

    @property
    def num_items(self) -> int:
        """Return how many items there are."""
        return sum(self.items)

    @property
    def chance_points(self) -> float:
        """Return the points that blind guesses would reach."""
        return 100 * self.chance / self.num_items

    @property
    def is_learned(self) -> bool:
        """Whether full mode, or else the first condition, is so far above chance that a difference means something."""
        name = FULL if FULL in self.right else next(iter(self.right))
        return self.share(name).points >= self.chance_points + LEAST_LEARNED

    def share(self, name: str) -> Estimate:
        """Return the share of items that are right under a condition."""
        return _estimate(zip(self.right[name], self.items, strict=True))

    def above(self, name: str, other: "Tally", other_name: str) -> Estimate:
        """Return by how many points this condition is right more often than one of `other`, on the samples of both.

        Raises ValueError where a sample has other items there.
        """
        lines = zip(self.right[name], other.right[other_name], self.items, other.items, strict=True)
        both = [line for line in lines if line[2] and line[3]]
        if any(count != other_count for _, _, count, other_count in both):
            raise ValueError(f"a sample has other numbers of {self.kind}")
        sums = ((right - other_right, count) for right, other_right, count, _ in both)
        return _estimate(sums, is_difference=True)

    def of_samples(self, kept: Sequence[bool]) -> "Tally":
        """Return the sums of the samples that are kept. Without all of them, chance is shared out by items."""
        if all(keep or not count for count, keep in zip(self.items, kept, strict=True)):
            return self

        def only(counts: Sequence[int]) -> tuple[int, ...]:
            return tuple(count if keep else 0 for count, keep in zip(counts, kept, strict=True))

        items = only(self.items)
        right = {name: only(counts) for name, counts in self.right.items()}
        chance = self.chance * sum(items) / self.num_items
        return Tally(self.kind, items, right, chance, 0, dict.fromkeys(self.right, 0.0))

    def cell(self) -> dict[str, Any]:
        """Return the cell as the JSON report has it, without the sums. `cost` is the first condition less another."""
        first, *others = self.right
        report: dict[str, Any] = {
            "kind": self.kind,
            "chance": round(self.chance_points, 2),
            "learned": self.is_learned,
            "right": {name: self.share(name).report() for name in self.right},
            "cost": {name: self.above(first, self, name).report() for name in others},
        }
        if self.decisions:
            report["legal_mass"] = {name: mass / self.decisions for name, mass in self.legal_mass.items()}
        return report

    def cell_with_sums(self) -> dict[str, Any]:
        """Return the cell with its sums: numbers by sample as one text, which takes a line whatever their number."""
        sums = {
            "items": _text(self.items),
            "right": {name: _text(counts) for name, counts in self.right.items()},
            "chance": self.chance,
            "decisions": self.decisions,
            "legal_mass": dict(self.legal_mass),
        }
        return {**self.cell(), "sums": sums}


def tallies_of(
    names: Sequence[str], items: Sequence["Item"], num_samples: int, held_out: Collection[str]
) -> list[Tally]:
    """Return the sums of every kind of a file, as `joined_by_kind` has them."""
    whole = Tally.of_items(ALL, names, items, num_samples)
    tallies = [
        Tally.of_items(kind, names, [item for item in items if item.kind == kind], num_samples)
        for kind in sorted({item.kind for item in items})
    ]
    return joined_by_kind([[whole, *tallies]], held_out)


def of_all(tallies: Sequence[Tally]) -> Tally:
    """Return the sums over all kinds of what `joined_by_kind` returned."""
    return next((each for each in tallies if each.kind == ALL), tallies[0])


def joined_by_kind(files: Sequence[Sequence[Tally]], held_out: Collection[str]) -> list[Tally]:
    """Return the sums of files by kind, behind those of all kinds if there are several.

    If some kinds are held out and several are not, the sums of all that are not come second.
    """
    kinds = in_order({each.kind for tallies in files for each in tallies if not is_of_several(each.kind)})
    joined = [
        Tally.joined(kind, [each for tallies in files for each in tallies if each.kind == kind]) for kind in kinds
    ]
    if len(kinds) < 2:
        return joined
    wholes = [Tally.joined(ALL, [of_all(tallies) for tallies in files])]
    if 1 < sum(kind not in held_out for kind in kinds) < len(kinds):
        asked = [each for tallies in files for each in _asked(tallies, held_out)]
        wholes.append(Tally.joined(_ALL_BUT + ", ".join(held_out), asked))
    return [*wholes, *joined]


def _asked(tallies: Sequence[Tally], held_out: Collection[str]) -> list[Tally]:
    """Return the sums over all kinds of a file but those held out, if it has others."""
    kinds = [each for each in tallies if not is_of_several(each.kind)]
    unasked = [each for each in kinds if each.kind in held_out]
    return [reduce(Tally.without, unasked, of_all(tallies))] if len(unasked) < len(kinds) else []


def is_of_several(kind: str) -> bool:
    """Whether a kind unites several."""
    return kind == ALL or kind.startswith(_ALL_BUT)


def _estimate(lines: Iterable[tuple[int, int]], *, is_difference: bool = False) -> Estimate:
    clusters = Clusters()
    for total, count in lines:
        clusters.add(total, count)
    return clusters.in_points(is_difference=is_difference)


def in_order(kinds: Iterable[str]) -> list[str]:
    """Return kinds by name, those that unite several first."""
    return sorted(kinds, key=lambda kind: (kind != ALL, not is_of_several(kind), kind))


def _less(counts: Sequence[int], others: Sequence[int]) -> tuple[int, ...]:
    return tuple(count - other for count, other in zip(counts, others, strict=True))


def _text(counts: Sequence[int]) -> str:
    return " ".join(map(str, counts))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split()))
