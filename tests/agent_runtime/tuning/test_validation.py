"""Validation within a run: what it measures, and that the run is the same without it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model
from agent_runtime.engine.positions import Positions
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.tuning.attention import Planner
from agent_runtime.tuning.config import DataPart
from agent_runtime.tuning.errors import NotHeldOut, NotTrainable, OtherRun
from agent_runtime.tuning.packing import Batch, batch_of
from agent_runtime.tuning.rows import Room, row_of
from agent_runtime.tuning.samples import Ask, Header, Sample, SampleWriter, Split
from agent_runtime.tuning.stream import FileSource
from agent_runtime.tuning.student import Student
from agent_runtime.tuning.training import METRICS
from agent_runtime.tuning.validation import Validation
from agent_runtime.turn import Mode
from tests.agent_runtime.tuning.test_training import config, home, on_a_cpu, run, write_samples

__all__ = ["home", "on_a_cpu"]
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

MODES = (Mode.FULL, Mode.ANCHORED)


def write_walls(path: Path, lengths: Sequence[int], split: Split = "validation") -> None:
    """Write samples of different lengths, with answers of different lengths, one question more in each second one."""
    with SampleWriter(path, Header("walls", {}, "1", 0, split)) as writer:
        for seed, length in enumerate(lengths):
            asks = [Ask("How long?\n", "long " * (seed + 1), "long", "wall"), Ask("High?\n", "no", "no", "wall")]
            blocks = (("wall", "wall\n" + "stone " * length), ("gate", "gate\nopen: no\n"))
            writer.write(Sample("walls", "walls", split, seed, "Answer.", blocks, tuple(asks[: 1 + seed % 2])))


def answering(loaded: LoadedModel) -> Any:
    """Return what answers a batch, as a run has it."""
    student = Student(loaded.model)
    table = RotaryTable(loaded.model.get_decoder().rotary_emb.inv_freq, loaded.context_limit)
    planner = Planner(table, torch.device("cpu"))

    def answered(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        return student(batch.ids, planner.plan(batch), batch.wanted), batch.label.flatten()[batch.wanted]

    return answered


def plainly(loaded: LoadedModel, files: Sequence[Path], limit: int = 10**6) -> dict[str, float]:
    """What `validation` is to say: every sample in a row of its own, in one mode after the other."""
    answered, line = answering(loaded), {}
    samples = [
        source.tokens(n) for file in files for source in [FileSource(file, loaded.text)] for n in range(len(source))
    ]
    held = [sample for sample in samples if sample.num_tokens <= limit]
    for mode in MODES:
        costs, rights = [], []
        for sample in held:
            batch = batch_of([row_of(sample, mode)])
            logits, labels = answered(batch)
            costs.append(torch.nn.functional.cross_entropy(logits, labels).item())
            rights += (logits.argmax(-1) == labels).tolist()
        line[f"validation_loss_{mode}"] = sum(costs) / len(costs)
        line[f"validation_right_{mode}"] = sum(rights) / len(rights)
    return {**line, "validation_left_out": len(samples) - len(held)}


def validated(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name.startswith("validation_")}


@pytest.mark.parametrize("changes", [{"row_tokens": 320}, {"rows": 2}])
def test_it_is_the_mean_over_samples_and_the_share_of_tokens_by_mode(home: Path, changes: dict[str, Any]) -> None:
    write_walls(home / "walls.jsonl", [3, 12, 8, 10, 5])
    write_walls(home / "more.jsonl", [50, 4])
    names = ("walls.jsonl", "more.jsonl")
    result, heard = run(config(home, steps=6, validation=names, validate_every=4, **changes), home / "run")
    assert [line["step"] for line in heard if validated(line)] == [3, 5]
    assert result.made is not None
    loaded = load_model(ModelSpec(str(home / "guard"), adapter=result.made, dtype="float32", device="cpu"))
    expected = plainly(loaded, [home / name for name in names], changes.get("row_tokens", 160))
    assert validated(heard[-1]) == pytest.approx(expected, abs=2e-5)
    assert expected["validation_left_out"] == (1 if "rows" in changes else 0)
    assert validated(heard[3]) != validated(heard[5])
    assert [json.loads(line) for line in (home / "run" / METRICS).read_text().splitlines()] == heard


@pytest.mark.parametrize("changes", [{"row_tokens": None}, {"workers": 1, "rows": 2}])
def test_a_run_is_to_the_bit_the_same_without_it(home: Path, changes: dict[str, Any]) -> None:
    """Where rows are as long as the longest sample, one for validation does not count, and still is measured."""
    write_walls(home / "walls.jsonl", [90, 3])
    _, plain = run(config(home, **changes), home / "plain")
    _, seen = run(config(home, validation=("walls.jsonl",), validate_every=2, **changes), home / "seen")
    for name in ("adapter/adapter_model.safetensors", "saved/random_states_0.pkl", "saved/optimizer.bin"):
        assert (home / "seen" / name).read_bytes() == (home / "plain" / name).read_bytes(), name
    assert sum(bool(validated(line)) for line in seen) == 6
    for line, without in zip(seen, plain, strict=True):
        kept = {name: value for name, value in line.items() if name not in validated(line)}
        assert {**kept, "tokens_per_s": 0} == {**without, "tokens_per_s": 0}
    assert seen[-1]["validation_left_out"] == (0 if "row_tokens" in changes else 1)


def test_a_run_that_was_stopped_says_the_same(home: Path) -> None:
    write_walls(home / "walls.jsonl", [3, 8])
    made = config(home, validation=("walls.jsonl",), validate_every=3)
    _, whole = run(made, home / "whole")
    _, first = run(made, home / "halves", stop_after=6)
    _, second = run(made, home / "halves")
    assert [validated(line) for line in [*first, *second]] == [validated(line) for line in whole]


def test_whatever_the_number_of_processes_it_is_the_same(home: Path) -> None:
    write_walls(home / "walls.jsonl", [3, 12, 8, 10, 5])
    loaded = load_model(ModelSpec(str(home / "guard"), dtype="float32", device="cpu"))
    sources = [FileSource(home / "walls.jsonl", loaded.text)]
    validation = Validation(sources, MODES, 1, Room(100, loaded.context_limit), Positions.SEQUENTIAL)
    answered, calls = answering(loaded), [0, 0, 0, 0]
    assert len(validation) == 3, "of which two processes, and four, get unlike shares"

    def measured(world: int) -> dict[str, float]:
        """Let one process after the other measure its share; the last one hears of all."""
        summed, line = [torch.zeros(())], {}

        def reduce(sums: torch.Tensor, how: str) -> torch.Tensor:
            summed[0] = summed[0] + sums
            return summed[0]

        for rank in range(world):

            def noted(batch: Batch, rank: int = rank) -> Any:
                calls[rank] += 1
                return answered(batch)

            ours: Any = SimpleNamespace(
                num_processes=world, process_index=rank, device=torch.device("cpu"), reduce=reduce
            )
            line = validation.measured(ours, noted)
        return line

    alone = measured(1)
    assert calls == [3, 0, 0, 0]
    assert measured(2) == alone and measured(4) == alone
    assert calls == [3 + 2 + 1, 2 + 1, 1, 1], "all compute as often: weights may lie in parts"


@pytest.mark.parametrize(
    ("name", "splits", "said"),
    [
        ("train.jsonl", ("train",), "the run learns from it"),
        ("./train.jsonl", ("train",), "the run learns from it"),
        ("talk.jsonl", ("train",), "the run learns from it"),
        ("other.jsonl", ("train",), "it is of the split train, which the run learns from"),
        ("test.jsonl", ("train", "test"), "it is of the split test, which the run learns from"),
        ("copy.jsonl", ("train",), "its samples are those of train.jsonl, which the run learns from"),
    ],
)
def test_what_is_learned_from_is_no_measure(home: Path, name: str, splits: tuple[str, ...], said: str) -> None:
    write_samples(home / "other.jsonl", 7)
    write_samples(home / "test.jsonl", 7, "test")
    write_samples(home / "talk.jsonl", 7, "validation")
    header, rest = (home / "train.jsonl").read_text().split("\n", 1)
    (home / "copy.jsonl").write_text(f"{header.replace('train', 'validation')}\n{rest}")
    made = config(home, validation=(name,))
    made = replace(made, data=replace(made.data, splits=splits, remember=("talk.jsonl",)))
    with pytest.raises(NotHeldOut, match=rf"{name} cannot validate the run: {said}.*--split validation"):
        run(made, home / "run")
    assert not (home / "run").exists()


def test_a_split_that_is_not_learned_from_is_taken(home: Path) -> None:
    write_samples(home / "test.jsonl", 7, "test")
    write_samples(home / "other.jsonl", 7)
    _, heard = run(config(home, steps=1, validation=("test.jsonl",)), home / "run")
    assert validated(heard[0])
    made = config(home, steps=1)
    _, heard = run(replace(made, data=DataPart(("test.jsonl",), (), (), ("other.jsonl",), ("test",))), home / "second")
    assert validated(heard[0])


def test_samples_of_which_none_fits_are_refused_before_the_run_has_a_folder(home: Path) -> None:
    write_walls(home / "walls.jsonl", [300])
    with pytest.raises(NotTrainable, match=r"no sample for validation fits: a row holds 160 tokens"):
        run(config(home, validation=("walls.jsonl",)), home / "run")
    assert not (home / "run").exists()


def test_a_run_does_not_go_on_with_samples_for_validation_that_were_made_anew(home: Path) -> None:
    write_walls(home / "walls.jsonl", [3])
    made = config(home, validation=("walls.jsonl",))
    run(made, home / "run", stop_after=3)
    write_walls(home / "walls.jsonl", [4])
    with pytest.raises(OtherRun, match="another set of samples"):
        run(made, home / "run")
