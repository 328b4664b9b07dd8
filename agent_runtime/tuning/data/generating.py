"""What a generator of samples is, and how a file of samples comes from one, in this process or in several."""

import json
import multiprocessing
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Protocol

from agent_runtime.tuning.data.positions import position_of
from agent_runtime.tuning.errors import BadArgument
from agent_runtime.tuning.samples import SPLITS, Header, Sample, SampleWriter, Split, encode_sample
from agent_runtime.version import hotseat_version
from prompts import Game, StateBlocks, load_game

FOLDERS = Path(__file__).parent / "folders"

# Samples that a worker makes at a time, and how many times as many may wait for the writer.
_CHUNK = 64
_WAITING = 4
# Answers beyond this many asks of a kind are not tallied: names are endless.
_TALLIED = 20_000


class Recipe(Protocol):
    """What is to be generated: frozen, and small enough to be sent to other processes."""

    @property
    def name(self) -> str:
        """The generator's name, as in `hotseat data`."""

    @property
    def seed(self) -> int:
        """Another seed gives other samples."""

    @property
    def split(self) -> Split:
        """Another split gives other samples, and other names in them."""

    @property
    def held_out(self) -> tuple[str, ...]:
        """Kinds of questions that are asked in no split called train."""

    def arguments(self) -> dict[str, Any]:
        """All that a sample depends on besides seed, split and its number, as JSON."""

    def maker(self) -> "Maker":
        """Return what makes the samples. Raises BadArgument."""


class Maker(Protocol):
    """Makes samples by their number, in any order."""

    @property
    def games(self) -> tuple[Game, ...]:
        """The games whose folders cut the samples."""

    def sample(self, number: int) -> Sample:
        """Return a sample, which depends on the recipe and the number alone."""


@dataclass
class Tally:
    """What was generated. `answers` counts the asks of each kind that an answer is right for, of the first `tallied`.

    `chances` are sums.
    """

    num_samples: int = 0
    num_blocks: int = 0
    num_characters: int = 0
    asks: Counter[str] = field(default_factory=Counter)
    chances: Counter[str] = field(default_factory=Counter)
    tallied: Counter[str] = field(default_factory=Counter)
    answers: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, sample: Sample) -> None:
        """Count a sample."""
        self.num_samples += 1
        self.num_blocks += len(sample.blocks)
        self.num_characters += sum([len(text) for _, text in sample.blocks])
        for ask in sample.asks:
            if self.asks[ask.kind] < _TALLIED:
                self.tallied[ask.kind] += 1
                self.answers.setdefault(ask.kind, Counter()).update((ask.answer, *ask.also))
            self.asks[ask.kind] += 1
            self.chances[ask.kind] += ask.chance  # type: ignore[assignment]  # a Counter adds up fractions too

    def join(self, other: "Tally") -> None:
        """Add what another process counted."""
        self.num_samples += other.num_samples
        self.num_blocks += other.num_blocks
        self.num_characters += other.num_characters
        for kind, answers in other.answers.items():
            if self.asks[kind] < _TALLIED:
                self.tallied[kind] += other.tallied[kind]
                self.answers.setdefault(kind, Counter()).update(answers)
        self.asks.update(other.asks)
        self.chances.update(other.chances)

    def kinds(self) -> dict[str, dict[str, Any]]:
        """Each kind: how many asks, the mean chance of a blind guess, and what the best constant answer would get."""
        return {
            kind: {
                "asks": count,
                "share": count / self.asks.total(),
                "chance": self.chances[kind] / count,
                "best_constant": max(self.answers[kind].values()) / self.tallied[kind],
                "constant_answer": self.answers[kind].most_common(1)[0][0],
            }
            for kind, count in sorted(self.asks.items())
        }


def random_of(recipe: Recipe, number: int) -> Random:
    """Return the source of all chance in one sample."""
    arguments = json.dumps(recipe.arguments(), sort_keys=True)
    return Random(f"hotseat/{recipe.name}/{recipe.split}/{recipe.seed}/{number}/{arguments}")


def blocks_of(game: Game, state: Mapping[str, Any]) -> StateBlocks:
    """Return a state cut as the runtime cuts it. Our folders split no block, so no token is counted."""
    cut = StateBlocks(game, len)
    cut.replace(state)
    assert not cut.warnings, cut.warnings
    return cut


def game_of(name: str) -> Game:
    """Return one of the games in the folders beside this file."""
    return load_game(FOLDERS / name)


def check_split(split: str) -> None:
    """Raise BadArgument for a split that there is not."""
    if split not in SPLITS:
        raise BadArgument("split", f"{split!r} is none of {', '.join(SPLITS)}.")


def check_range(argument: str, said: tuple[int, int], least: int, most: int) -> None:
    """Raise BadArgument for a range that is none, or lies outside."""
    low, high = said
    if not least <= low <= high <= most:
        raise BadArgument(argument, f"{low} to {high} is no range within {least} to {most}.")


def write_samples(
    recipe: Recipe,
    count: int,
    path: Path,
    *,
    workers: int = 1,
    each_once: bool = False,
    tell: Callable[[int], None] | None = None,
) -> Tally:
    """Write samples 0 to count - 1 into a file; `tell` hears how many were made so far.

    With `each_once` those are left out whose position an earlier one has. The file's bytes do not depend on `workers`.
    Raises BadArgument, CannotWrite.
    """
    maker = recipe.maker()
    header = Header(
        generator=recipe.name,
        arguments=recipe.arguments(),
        version=hotseat_version(),
        seed=recipe.seed,
        split=recipe.split,
        games={game.name: game.text_digests() for game in maker.games},
        held_out=recipe.held_out,
    )
    tally = Tally()
    seen: set[bytes] = set()
    num_made = 0
    with SampleWriter(path, header) as file:
        for chunk in _chunks(recipe, maker, count, workers):
            for made in chunk:
                if not each_once or made.position not in seen:
                    file.write_line(made.line)
                    tally.join(made.tally)
                if each_once:
                    seen.add(made.position)
            num_made += len(chunk)
            if tell is not None:
                tell(num_made)
    return tally


def _chunks(recipe: Recipe, maker: Maker, count: int, workers: int) -> Iterator[list["_Made"]]:
    """All samples in their order, some at a time."""
    parts = [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
    if workers == 1 or len(parts) == 1:
        for numbers in parts:
            yield _made(maker, numbers)
        return
    # Started afresh on every system: a fork of a process with threads is a trap.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        waiting: deque[Future[list[_Made]]] = deque()
        for numbers in parts:
            waiting.append(pool.submit(_made_of, recipe, numbers))
            if len(waiting) > workers * _WAITING:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class _Made(NamedTuple):
    """A sample as its line, what was counted in it, and its position."""

    line: bytes
    tally: Tally
    position: bytes


def _made_of(recipe: Recipe, numbers: range) -> list[_Made]:
    return _made(recipe.maker(), numbers)


def _made(maker: Maker, numbers: range) -> list[_Made]:
    made = []
    for number in numbers:
        sample, tally = maker.sample(number), Tally()
        tally.add(sample)
        made.append(_Made(encode_sample(sample), tally, position_of(sample)))
    return made
