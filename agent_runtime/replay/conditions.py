"""Conditions on a report's figures, as `--fail-if` takes them: `metric op number`.

    ttft_p50_ms>400    star.tokens_computed >= 1e3    ratio.star_over_full > 0.5    agreement<0.8

`op` is one of > >= < <= == !=. A metric of a mode begins with its label (`star`, and `star_2` for one named twice);
without one it is asked of every mode, and the condition holds if it holds in any. A metric without a value is an
error: a condition that cannot be checked has not been met.
"""

import difflib
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from agent_runtime.replay.errors import BadCondition, NoValue, UnknownMetric

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {
        ">=": operator.ge,
        "<=": operator.le,
        "==": operator.eq,
        "!=": operator.ne,
        ">": operator.gt,
        "<": operator.lt,
    }
)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_CONDITION = re.compile(rf"\s*([\w.]+)\s*({'|'.join(_OPERATORS)})\s*({_NUMBER})\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as it was written, taken apart."""

    text: str
    metric: str
    op: str
    number: float

    def holds(self, value: float) -> bool:
        """Return whether it holds for a value of its metric."""
        return _OPERATORS[self.op](value, self.number)


def parse_condition(text: str) -> Condition:
    """Read a condition. Raises BadCondition."""
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise BadCondition(text)
    return Condition(text.strip(), found[1], found[2], float(found[3]))


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures by name: those of all, and those of each lane under its label. None is one that was not measured.

    `missing` says in words why a figure is None, by its whole name.
    """

    general: Mapping[str, float | None]
    lanes: Mapping[str, Mapping[str, float | None]]
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Return every name that a condition may use; those of lanes without their labels."""
        return (*dict.fromkeys(name for figures in self.lanes.values() for name in figures), *self.general)

    def find(self, name: str) -> dict[str, float | None]:
        """Return the figures that a name means, by their whole names. Raises UnknownMetric."""
        if name in self.general:
            return {name: self.general[name]}
        label, _, short = name.partition(".")
        if short in self.lanes.get(label, {}):
            return {name: self.lanes[label][short]}
        found = {f"{label}.{name}": figures[name] for label, figures in self.lanes.items() if name in figures}
        if not found:
            raise UnknownMetric(name, self._nearest(name), self.names, tuple(self.lanes))
        return found

    def _nearest(self, name: str) -> str:
        whole = (f"{label}.{short}" for label, figures in self.lanes.items() for short in figures)
        return difflib.get_close_matches(name, [*self.names, *whole], n=1, cutoff=0.0)[0]


def check_names(conditions: Sequence[Condition], metrics: Metrics) -> None:
    """Raise UnknownMetric for the first condition whose metric there is not."""
    for condition in conditions:
        metrics.find(condition.metric)


def failures(conditions: Sequence[Condition], metrics: Metrics) -> Iterator[str]:
    """Yield in sentences which conditions hold. Raises UnknownMetric or NoValue."""
    for condition in conditions:
        for name, value in metrics.find(condition.metric).items():
            if value is None:
                raise NoValue(condition.text, name, metrics.missing.get(name, "it was not measured"))
            if condition.holds(value):
                yield f"{condition.text} holds: {name} is {value:.6g}."
