"""Single turns of a replay: what is kept of each, in little room, and which belong together."""

import json
import math
from array import array
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import zip_longest
from typing import Any, Protocol, overload

from agent_runtime.turn import Account, Json, Mode, Outcome, Score


@dataclass(frozen=True, slots=True)
class TurnSample:
    """One turn in one mode. Figures of the account are None if it has none; comparisons, if there was nothing to
    compare with: a recorded action, and the same turn in mode `full`.

    `same_best` says whether the likeliest action is full's, `logprob_off` is the largest difference of a legal action's
    log-probability from full's (nats), `total_variation` half the sum of the differences of the shares. `best` is the
    likeliest action, `legal_mass` the sum of the probabilities of all legal ones.

    `ttft_ms` runs from the last byte of the turn's frame to the decision or first token; `engine_ms` is what the
    forwards it took part in lasted, `queue_ms` what it waited before its first one. `cold` is what `is_cold` says.
    `replayer_ms` is what the replayer itself added, outside of all that is reported.

    `due_ms` says when the turn was due in an open loop, since the replay began, and `late_ms` how much later it was
    sent: no wait for an earlier answer is left out. `deadline_met` is None without a deadline. `copy` numbers the
    copies of a recording that are played at once.
    """

    session: str
    turn_id: int
    outcome: Outcome
    ttft_ms: float | None = None
    tokens_prompt: int | None = None
    tokens_computed: int | None = None
    tokens_cached: int | None = None
    forwards: int | None = None
    as_recorded: bool | None = None
    same_best: bool | None = None
    logprob_off: float | None = None
    total_variation: float | None = None
    engine_ms: float | None = None
    queue_ms: float | None = None
    cold: bool = False
    due_ms: float | None = None
    late_ms: float | None = None
    deadline_met: bool | None = None
    copy: int = 0
    best: str | None = None
    legal_mass: float | None = None
    replayer_ms: float | None = None


def is_cold(account: Account, is_first: bool) -> bool:
    """Return whether a turn was a cold start: the first of its session since it was opened, and not made ready for.

    Not ready: it had to load blocks from the store, or most of its static tokens were not resident; in `prefix`, where
    one change costs most of a prompt, none were. A block or two that changed since the session was opened are everyday
    work, and `full` keeps nothing that could be cold.
    """
    if not is_first or account.mode is Mode.FULL:
        return False
    if account.mode is Mode.PREFIX:
        return account.tokens_cached == 0
    return account.blocks_loaded > 0 or account.encoded > account.tokens_cached


def accounted(sample: TurnSample, account: Account) -> TurnSample:
    """Return a sample with the figures of an account; times on the wire are put in behind it."""
    return replace(
        sample,
        ttft_ms=account.ttft_ms,
        engine_ms=account.engine_ms,
        queue_ms=account.queue_ms,
        tokens_prompt=account.tokens_prompt,
        tokens_computed=account.tokens_computed,
        tokens_cached=account.tokens_cached,
        forwards=account.forwards,
    )


def compared(sample: TurnSample, scores: Sequence[Score], full: Sequence[Score]) -> TurnSample:
    """Return a sample with what its scores are: the likeliest action, and how far they are from `full`'s.

    Either may be empty, and `full`'s are of the same turn with the same legal actions in the same order.
    """
    if not scores:
        return sample
    best = _likeliest(scores)
    sample = replace(sample, best=action_text(scores[best].id, scores[best].args))
    if not full:
        return sample
    pairs = list(zip(scores, full, strict=True))
    return replace(
        sample,
        same_best=best == _likeliest(full),
        logprob_off=max(abs(mine.logprob - other.logprob) for mine, other in pairs),
        total_variation=0.5 * sum(abs(mine.p - other.p) for mine, other in pairs),
    )


def action_text(name: str, args: Mapping[str, Json] | None) -> str:
    """Return an action as one text, its parameters in a fixed order."""
    return name if args is None else f"{name} {json.dumps(dict(args), sort_keys=True, ensure_ascii=False)}"


def _likeliest(scores: Sequence[Score]) -> int:
    return max(range(len(scores)), key=lambda index: scores[index].p)


class Samples(Sequence[TurnSample]):
    """Turns in columns: about 150 bytes each, a fifth of what they take as objects."""

    def __init__(self, samples: Iterable[TurnSample] = ()) -> None:
        self._columns: dict[str, _Column] = {field.name: _column(field.type) for field in fields(TurnSample)}
        for sample in samples:
            self.append(sample)

    def append(self, sample: TurnSample) -> None:
        """Add a turn."""
        for name, column in self._columns.items():
            column.append(getattr(sample, name))

    def __len__(self) -> int:
        return len(self._columns["session"])

    def column(self, name: str) -> Iterator[Any]:
        """Yield one field of every turn, without making the turns."""
        column = self._columns[name]
        return (column[index] for index in range(len(column)))

    @overload
    def __getitem__(self, index: int) -> TurnSample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TurnSample]: ...
    def __getitem__(self, index: int | slice) -> TurnSample | Sequence[TurnSample]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        return TurnSample(*(column[index] for column in self._columns.values()))


class _Column(Protocol):
    def append(self, value: Any) -> None: ...
    def __getitem__(self, index: int) -> Any: ...
    def __len__(self) -> int: ...


class _Floats:
    """Numbers or None, as NaN."""

    def __init__(self) -> None:
        self._values = array("d")

    def __len__(self) -> int:
        return len(self._values)

    def append(self, value: float | None) -> None:
        self._values.append(math.nan if value is None else value)

    def __getitem__(self, index: int) -> float | None:
        value = self._values[index]
        return None if math.isnan(value) else value


class _Names:
    """Names or None, each kept once and by its number from then on."""

    def __init__(self) -> None:
        self._numbers = array("I")
        self._known: dict[Any, int] = {}
        self._values: list[Any] = []

    def __len__(self) -> int:
        return len(self._numbers)

    def append(self, value: Any) -> None:
        number = self._known.setdefault(value, len(self._values))
        if number == len(self._values):
            self._values.append(value)
        self._numbers.append(number)

    def __getitem__(self, index: int) -> Any:
        return self._values[self._numbers[index]]


class _Ints:
    """Whole numbers of 63 bits or None."""

    _NONE = -(2**63)

    def __init__(self) -> None:
        self._values = array("q")

    def __len__(self) -> int:
        return len(self._values)

    def append(self, value: int | None) -> None:
        self._values.append(self._NONE if value is None else value)

    def __getitem__(self, index: int) -> int | None:
        value = self._values[index]
        return None if value == self._NONE else value


class _Flags:
    """True, False or None, a byte each."""

    def __init__(self) -> None:
        self._values = bytearray()

    def __len__(self) -> int:
        return len(self._values)

    def append(self, value: bool | None) -> None:
        self._values.append(2 if value is None else value)

    def __getitem__(self, index: int) -> bool | None:
        value = self._values[index]
        return None if value == 2 else bool(value)


def _column(kind: Any) -> _Column:
    if kind in (float, float | None):
        return _Floats()
    if kind in (int, int | None):
        return _Ints()
    if kind in (bool, bool | None):
        return _Flags()
    return _Names()


def column(samples: Sequence[TurnSample], name: str) -> Iterator[Any]:
    """Yield one field of every turn."""
    return samples.column(name) if isinstance(samples, Samples) else (getattr(sample, name) for sample in samples)


def paired(samples: Iterable[TurnSample], others: Iterable[TurnSample]) -> Iterator[tuple[TurnSample, TurnSample]]:
    """Yield the turns that are in both, side by side, whatever their order. What is in order costs no memory."""
    mine: defaultdict[tuple[int, str, int], deque[TurnSample]] = defaultdict(deque)
    theirs: defaultdict[tuple[int, str, int], deque[TurnSample]] = defaultdict(deque)
    for sample, other in zip_longest(samples, others):
        if sample is not None:
            mine[_name(sample)].append(sample)
        if other is not None:
            theirs[_name(other)].append(other)
        for name in {_name(each) for each in (sample, other) if each is not None}:
            if name in mine and name in theirs:
                yield mine[name].popleft(), theirs[name].popleft()
                for waiting in (mine, theirs):
                    if not waiting[name]:
                        del waiting[name]


def _name(sample: TurnSample) -> tuple[int, str, int]:
    """What names a turn in a replay; a session that was closed may have used a turn_id before, so not always one."""
    return sample.copy, sample.session, sample.turn_id
