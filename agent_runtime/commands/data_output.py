"""What `hotseat data` prints."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agent_runtime.adapter_choice import AdapterChoice
from agent_runtime.commands.options import printable, say, say_that_it_loads
from agent_runtime.commands.progress import SECONDS_BETWEEN_LINES, Pace
from agent_runtime.designer.tokens import TokenCounter, token_counter
from agent_runtime.tuning.data.generating import Maker, Recipe, Tally, write_samples
from agent_runtime.tuning.errors import BadArgument
from agent_runtime.tuning.samples import Ask, Sample, read_header, read_samples

if TYPE_CHECKING:
    from agent_runtime.tuning.data.self_talk import SelfTalk, Talk

# Tokens are counted in so many samples, spread over all.
_COUNTED = 48
_INTERRUPTED = 130


def write_and_print(
    recipe: Recipe, samples: int, out: Path, workers: int, as_json: bool, each_once: bool = False
) -> None:
    """Write a file of samples and say what is in it. Raises BadArgument, CannotWrite."""
    started = time.perf_counter()
    with _progress(recipe.name, samples) as tell:
        tally = write_samples(recipe, samples, out, workers=workers, each_once=each_once, tell=tell)
    seconds = time.perf_counter() - started
    report = _report(recipe, tally, out, seconds)
    if as_json:
        print(json.dumps(report, indent=1))
    else:
        _print(report)


def talk_and_print(model: str, recipe: "SelfTalk", samples: int, out: Path, as_json: bool) -> None:
    """Write a file of a model's conversations with itself and say what was left out.

    Raises BadArgument, CannotWrite, NotTrainable, and what loading a model raises.
    """
    from agent_runtime.engine.loading import ModelSpec, load_model
    from agent_runtime.tuning.data.self_talk import NAME, write_self_talk

    say_that_it_loads()
    loaded = load_model(ModelSpec(model, adapter=AdapterChoice.NONE))
    started = time.perf_counter()
    with _progress(NAME, samples) as tell:
        talk = write_self_talk(loaded, recipe, samples, out, tell)
    seconds = time.perf_counter() - started
    report = {
        "format": "hotseat.data",
        "version": 1,
        "file": str(out),
        "generator": NAME,
        "arguments": dict(read_header(out).arguments),
        "split": "train",
        "seed": recipe.seed,
        "samples": talk.num_kept,
        "stopped": talk.is_stopped,
        "left_out": dict(talk.dropped.most_common()),
        "tokens": {"an_answer": round(talk.num_tokens / talk.num_kept, 2), "all_answers": talk.num_tokens},
        "seconds": round(seconds, 2),
    }
    if as_json:
        print(json.dumps(report, indent=1))
    else:
        _print_talk(talk, out, seconds)
    if talk.is_stopped:
        raise typer.Exit(_INTERRUPTED)


def _print_talk(talk: "Talk", out: Path, seconds: float) -> None:
    mean = talk.num_tokens / talk.num_kept
    stopped = "; stopped, this is the file of so many" if talk.is_stopped else ""
    print(f"{out}: {talk.num_kept} conversations, answers of {mean:.1f} tokens; {seconds:.1f} s{stopped}")
    for why, count in talk.dropped.most_common():
        print(f"{count:>8}  left out: {why}")


@contextmanager
def _progress(name: str, samples: int) -> Iterator[Callable[[int], None]]:
    """Yield what hears how many samples there are: a bar at a terminal, else a line now and then."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(f"{name} samples", total=samples)
            yield lambda done: progress.update(task, completed=done)
        return
    started, pace = time.monotonic(), Pace(SECONDS_BETWEEN_LINES)

    def tell(done: int) -> None:
        if pace.is_due():
            left = (time.monotonic() - started) / done * (samples - done)
            say(f"{done:,} of {samples:,} {name} samples, {left:.0f} s left")

    yield tell


def print_sample(file: Path, number: int) -> None:
    """Print one sample of a file. Raises SamplesError, BadArgument if there are not so many."""
    header = read_header(file)
    sample = next(read_samples(file, part=number, parts=sys.maxsize), None)
    if sample is None:
        raise BadArgument("--number", f"{file} has fewer than {number + 1} samples. They are counted from 0.")
    counter = _counter()
    made = f"{header.generator}, {sample.split}, seed {sample.seed}"
    blocks = [(name, text, counter.count(text)) for name, text in sample.blocks]
    total = sum([tokens for _, _, tokens in blocks])
    lines = [f"Sample {number} of {file} ({made}): {len(blocks)} blocks, {total} tokens, {len(sample.asks)} asks"]
    lines += ["", f"anchor  {counter.count_anchor(sample.anchor)} tokens", *_indented(sample.anchor)]
    for name, text, tokens in blocks:
        lines += ["", f"{name}  {tokens} tokens", *_indented(text)]
    for ask in sample.asks:
        lines += ["", *_asked(ask, counter)]
    print(printable("\n".join(lines)))


def _asked(ask: Ask, counter: TokenCounter) -> list[str]:
    tokens = f"{counter.count_observation(ask.observation)} + {counter.count_text(ask.target)} tokens"
    compared = f", of which {ask.answer!r} is compared" if ask.answer != ask.target else ""
    lines = [f"{ask.kind}  {tokens}, chance {ask.chance:.3g}", *_indented(ask.observation)]
    also = f"; as right: {', '.join(ask.also)}" if ask.also else ""
    return [*lines, f"    -> {ask.target}{compared}{also}"]


def _indented(text: str) -> list[str]:
    return [f"    {line}" for line in text.splitlines()]


def _counter() -> TokenCounter:
    counter = token_counter(adapter=AdapterChoice.NONE)  # what is to lead a block is the tuning run's to say
    if counter.note:
        say(counter.note)
    return counter


def _report(recipe: Recipe, tally: Tally, out: Path, seconds: float) -> dict[str, Any]:
    counter = _counter()
    counted = _tokens(recipe.maker(), tally.num_samples, counter)
    a_block = counted["blocks"] / max(1, counted["num_blocks"])
    return {
        "format": "hotseat.data",
        "version": 1,
        "file": str(out),
        "generator": recipe.name,
        "arguments": recipe.arguments(),
        "split": recipe.split,
        "seed": recipe.seed,
        "samples": tally.num_samples,
        "blocks": tally.num_blocks,
        "asks": tally.asks.total(),
        "tokens": {
            "a_block": round(a_block, 2),
            "an_observation": round(counted["observations"] / max(1, counted["num_asks"]), 2),
            "a_target": round(counted["targets"] / max(1, counted["num_asks"]), 2),
            "all_blocks": round(a_block * tally.num_blocks),
            "largest_sample": counted["largest"],
            "counted_samples": counted["num_samples"],
            "counted_by": counter.name,
        },
        "kinds": tally.kinds(),
        "seconds": round(seconds, 2),
        "tokens_per_second": round(a_block * tally.num_blocks / seconds),
    }


def _tokens(maker: Maker, num_samples: int, counter: TokenCounter) -> dict[str, int]:
    """Tokens in samples spread over all: made again, which is faster than reading so far."""
    found = dict.fromkeys(("num_samples", "num_blocks", "num_asks", "blocks", "observations", "targets", "largest"), 0)
    for number in range(0, num_samples, -(-num_samples // _COUNTED)):
        sample: Sample = maker.sample(number)
        blocks = sum([counter.count(text) for _, text in sample.blocks])
        found["num_samples"] += 1
        found["num_blocks"] += len(sample.blocks)
        found["num_asks"] += len(sample.asks)
        found["blocks"] += blocks
        found["largest"] = max(found["largest"], blocks)
        found["observations"] += sum([counter.count_observation(ask.observation) for ask in sample.asks])
        found["targets"] += sum([counter.count_text(ask.target) for ask in sample.asks])
    return found


def _print(report: dict[str, Any]) -> None:
    tokens = report["tokens"]
    print(
        f"{report['file']}: {report['samples']} samples, {report['blocks']} blocks of {tokens['a_block']:.1f} tokens, "
        f"{report['asks']} asks; {report['seconds']:.1f} s, {report['tokens_per_second']:,} tokens a second"
    )
    print(f"{'kind':>16}  {'asks':>8}  {'chance':>6}  best constant answer")
    for kind, found in report["kinds"].items():
        constant = f"{found['best_constant']:.3f}  {found['constant_answer']}"
        print(printable(f"{kind:>16}  {found['asks']:>8}  {found['chance']:>6.3f}  {constant}"))
