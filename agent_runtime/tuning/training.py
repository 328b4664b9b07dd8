"""Block tuning: the loop, on one processor or many (accelerate), interrupted and taken up again at will.

A run is a folder:

    run.json        what it is of: configuration, weights, tokenizer; another run is refused in the same folder
    metrics.jsonl   a line per step, written when the next step is under way; of some with what validation came to
    saved/          accelerate's state of the step in saved/step.json, replaced as a whole: of the weights those that
                    are trained, the optimizer's state and that of random numbers
    adapter/        what came out: a PEFT adapter with its card (`model/` if all weights were tuned)
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from multiprocessing import get_all_start_methods
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import set_seed
from torch.utils.data import DataLoader

from agent_runtime.engine.adapters import adapter_digest, check_base, way_out
from agent_runtime.engine.card import Card, write_card
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.engine.merging import check_weights
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.sources import cache_folder
from agent_runtime.tuning.agreement import Teacher, Turns, is_noted, note_agreement
from agent_runtime.tuning.attention import Planner
from agent_runtime.tuning.config import TEACHER, TrainingPart, TuneConfig
from agent_runtime.tuning.errors import LossNotFinite, NotTrainable
from agent_runtime.tuning.figures import Figures, Mark, columns_of, forget_from
from agent_runtime.tuning.kept_texts import KeptTexts
from agent_runtime.tuning.launching import check_layers, is_sharded, kind_of, launched
from agent_runtime.tuning.lora import Start, as_bare, as_it_began, start_of, with_lora
from agent_runtime.tuning.packing import Batch
from agent_runtime.tuning.preparing import check_samples, check_texts, claim, held, load_for, served_card
from agent_runtime.tuning.remembering import Memory, Remembered, bare_rope
from agent_runtime.tuning.rows import Room
from agent_runtime.tuning.saving import Savings
from agent_runtime.tuning.stream import BatchStream, FileSource, Schedule, Source, TokenSource, longest_of
from agent_runtime.tuning.student import Agreement, Losses, Student, losses_of, wanted_of
from agent_runtime.tuning.validation import Validation
from agent_runtime.turn import Mode

ADAPTER, MODEL, METRICS = "adapter", "model", "metrics.jsonl"
NORM = "gradient_norm"


@dataclass(frozen=True, slots=True)
class TuneResult:
    """How far a run came; `made` is the folder of what came out, None if it was stopped before its last step."""

    step: int
    made: Path | None


def tune(
    config: TuneConfig,
    folder: Path,
    tell: Callable[[dict[str, Any]], None],
    is_stopped: Callable[[], bool] = lambda: False,
    turns: Callable[[LoadedModel], Turns] | None = None,
) -> TuneResult:
    """Tune as `config` says, going on where `folder` was left; `tell` hears the metrics of every step, a step late.

    `is_stopped` is asked once a step. Of several processes the first one alone writes and tells, and all stop behind
    the same step if any of them is to.

    With `turns` nothing is learned from answers: every mode learns what full mode decided in them before the run
    (`Agreement`), in the model as it is served; and the report of before and after is in the folder, as agreement.json.

    Raises TuningError (BadLaunch, OtherLaunch, OtherRun, RunInUse, DamagedSaving, NotSaved, LossNotFinite,
    NotTrainable, NotHeldOut, SamplesError), MissingPackage before anything is loaded, and what loading a model raises.
    """
    if turns is not None and not config.full_mode_teaches:
        raise NotTrainable(f"{TEACHER}.")
    if turns is not None and (config.data.train or config.data.validation):
        raise NotTrainable(
            "over recordings the model learns what it says itself, not from samples: name no files of them."
        )
    # Batches are made in forked processes, and the tokenizer's threads do not survive a fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    accelerator = launched(exchanges=turns is not None or bool(config.data.remember))
    start = start_of(config, recorded=turns is not None)
    check_samples(config)
    with ThreadPoolExecutor(1) as beside:  # samples are read while the model is loaded
        names = (*config.data.train, *config.data.remember, *config.data.validation) if turns is None else ()
        reading = [beside.submit(KeptTexts, config.folder / name) for name in names]
        config, loaded, card = load_for(config, start, accelerator.device, recorded=turns is not None)
        kept = [each.result() for each in reading]
    if start is not None:  # a hub's weights are here only now
        check_base(start.folder, config.model.source, cache_folder())
        with way_out(start.folder):
            check_weights(loaded.model, start.folder)
    recorded = None if turns is None else turns(loaded)
    served = served_card(config, start)
    if recorded is not None and config.data.remember:
        raise NotTrainable("over recordings the model learns what it says itself, and nothing is remembered beside it.")
    if recorded is not None and (card.positions, card.lead) != (served.positions, served.lead):
        raise NotTrainable(
            "who teaches is the model as it is served, and training.positions or training.lead would have it served in "
            "another way. Leave them out."
        )
    texts = dict(zip(names, kept, strict=True))
    check_texts(config, {name: each.digest for name, each in texts.items()})
    files = {name: FileSource(config.folder / name, loaded.text, each) for name, each in texts.items()}
    sources = _sources(config, files) if recorded is None else [(1.0, TokenSource(recorded.train))]
    remembered = [(1.0, files[name]) for name in config.data.remember]
    is_short = accelerator.device.type == "cpu" and config.training.row_tokens is None
    measured = TokenSource(() if recorded is None else recorded.held_out)
    everything = (*(source for _, source in (*sources, *remembered)), measured)
    validation = _validation(config, [files[name] for name in config.data.validation], loaded, card, is_short)
    config = config.saying_rows(longest_of(everything, loaded.context_limit) if is_short else None)
    with held(folder) if accelerator.is_main_process else nullcontext():
        claim(folder, config, loaded, card, accelerator, start, recorded, [each.digest for each in kept])
        run = _Run(config, folder, accelerator, loaded, card, start, recorded, sources, remembered, validation)
        return run.go(tell, is_stopped)


def leave_others() -> None:
    """Part from the other processes of a run when all have come so far: what is left to do is done.

    A launcher ends the others as soon as one has ended.
    """
    state = PartialState()
    state.wait_for_everyone()
    state.destroy_process_group()


class _Run:
    """One process's share of a run."""

    def __init__(
        self,
        config: TuneConfig,
        folder: Path,
        accelerator: Accelerator,
        loaded: LoadedModel,
        card: Card,
        start: Start | None,
        turns: Turns | None,
        sources: Sequence[tuple[float, Source]],
        remembered: Sequence[tuple[float, Source]],
        validation: Validation | None,
    ) -> None:
        self._config, self._folder, self._accelerator, self._card = config, folder, accelerator, card
        self._loaded, self._validation = loaded, validation
        part = config.training
        self._turns = turns
        if turns is not None and not part.lora_rank:
            raise NotTrainable("the model as it was is the teacher, and is gone if all weights change. Set lora_rank.")
        set_seed(part.seed)
        model = loaded.model
        self._adapted: Any = None
        if part.lora_rank:
            self._adapted = with_lora(model, part, start)
        else:
            model.requires_grad_(True)
        model.train()
        student = Student(model)
        check_layers(accelerator, student._no_split_modules)
        if part.compile:
            # torch would cut every compiled graph into its buckets of gradients, and cannot where FlexAttention is.
            torch._dynamo.config.optimize_ddp = False
            for layer in model.get_decoder().layers:  # all alike: compiled once, in a thirtieth of the time of all
                layer.compile(dynamic=False)
        weights = [weight for weight in student.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(
            weights, lr=part.learning_rate, betas=(0.9, 0.95), weight_decay=part.weight_decay, fused=True
        )
        self._student, self._optimizer = accelerator.prepare(student, optimizer)
        self._planner = Planner(
            RotaryTable(model.get_decoder().rotary_emb.inv_freq, loaded.context_limit), accelerator.device
        )
        limit, positions = loaded.context_limit, card.positions
        learned = BatchStream(sources, config.modes, part.rows, config.row_tokens, limit, part.seed, positions)
        a_step = part.accumulate * accelerator.num_processes
        self._schedule = Schedule(learned, a_step, part.full_every)
        self._memory: Memory | None = None
        if remembered:
            rope = bare_rope(config.model.source, loaded)
            rows, limit = part.rows * len(config.modes), min(limit, rope.num_positions)
            talk = BatchStream(remembered, (Mode.FULL,), rows, config.row_tokens, limit, part.seed)
            self._schedule = replace(self._schedule, remembered=talk, remember_every=part.remember_every)
            self._memory = Memory(as_bare(self._adapted), rope, self._answered)
        self._savings = Savings(folder, accelerator, kind_of(accelerator))
        began = nullcontext if self._adapted is None else as_it_began(self._adapted, start)
        self._teacher = Teacher(config.modes, began, self._answered, positions)

    def go(self, tell: Callable[[dict[str, Any]], None], is_stopped: Callable[[], bool]) -> TuneResult:
        """Run the steps that are left."""
        part = self._config.training
        first = self._savings.resume()
        if self._accelerator.is_main_process:
            forget_from(self._folder / METRICS, first)
        has_after = is_noted(self._folder, "after")
        if first == 0:
            self._note_agreement("before")
        batches = self._batches(first)
        pending: Figures | None = None
        begin = Mark.here(self._accelerator.device)
        for step in range(first, part.steps):
            _set_rate(self._optimizer, _rate(part, step))
            modes = self._schedule.modes_of(step)
            losses, tokens, left_out = self._gradients(batches, step)
            is_asked = is_stopped()
            norm = self._accelerator.clip_grad_norm_(self._student.parameters(), part.clip_norm)
            names, values = self._figures(losses, modes, norm, left_out, is_asked)
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
            world, done = self._accelerator.num_processes, Mark.here(self._accelerator.device)
            before = pending
            pending = Figures(step, names, values, world, _rate(part, step), tokens * world, begin, done)
            begin = done
            # Of several processes each may be asked at another step: they learn of it together, a step late.
            stopped = is_asked and world == 1
            if before is not None:
                stopped |= self._settle(before, tell)
            if self._validation is not None and ((step + 1) % part.validate_every == 0 or step + 1 == part.steps):
                pending = replace(pending, further=self._validated(self._validation))
                begin = Mark.here(self._accelerator.device)
            if (step + 1) % part.save_every == 0 or step + 1 == part.steps or stopped:
                stopped |= self._settle(pending, tell)
                pending = None
                self._savings.save(step + 1)
                begin = Mark.here(self._accelerator.device)
            if stopped and step + 1 < part.steps:
                return TuneResult(step + 1, None)
        if first < part.steps or not has_after:  # it was cut off behind its last step
            self._note_agreement("after")
        return TuneResult(part.steps, self._write_result())

    def _batches(self, first: int) -> Iterator[Batch]:
        """Yield this process's batches from step `first` on."""
        part = self._config.training
        world, rank = self._accelerator.num_processes, self._accelerator.process_index
        numbers = range(first * part.accumulate * world + rank, part.steps * part.accumulate * world, world)
        can_fork = "fork" in get_all_start_methods()
        loader: Any = DataLoader(
            self._schedule,  # type: ignore[arg-type]
            sampler=numbers,
            batch_size=None,
            num_workers=part.workers if can_fork else 0,
            multiprocessing_context="fork" if part.workers and can_fork else None,
            prefetch_factor=3 if part.workers and can_fork else None,
            worker_init_fn=_stand_apart,
            pin_memory=self._accelerator.device.type == "cuda",
        )
        return iter(loader)

    def _gradients(self, batches: Iterator[Batch], step: int) -> tuple[list[Losses | Agreement | Remembered], int, int]:
        """Compute one step's gradients; return what its batches cost, their tokens, and how many were left out."""
        part = self._config.training
        found: list[Losses | Agreement | Remembered] = []
        tokens, left_out = 0, 0
        for number in range(part.accumulate):
            batch = next(batches)
            if self._accelerator.device.type == "cpu":  # where every pair of tokens of a row costs time
                batch = batch.trimmed()
            batch = batch.to(self._accelerator.device)
            is_last = number + 1 == part.accumulate
            # Gradients are shared once, but in parts: every process would hold all of them until then.
            is_shared = is_last or is_sharded(self._accelerator)
            with nullcontext() if is_shared else self._accelerator.no_sync(self._student):
                losses = self._losses(batch, step)
                self._accelerator.backward(losses.total / part.accumulate)
            found.append(losses)
            tokens += batch.ids.numel()
            left_out += batch.left_out
        return found, tokens, left_out

    def _losses(self, batch: Batch, step: int) -> Losses | Agreement | Remembered:
        if self._turns is not None:
            return self._teacher.agreement(batch)
        if self._memory is not None and self._schedule.remembers(step):
            return self._memory.remembered(batch)
        logits, labels = self._answered(batch)
        num_modes = len(self._schedule.modes_of(step))
        return losses_of(logits, labels, batch.rows, num_modes, self._config.training.distillation)

    def _answered(self, batch: Batch, rope: RotaryTable | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits of all predicted tokens and what they should be; by `rope` places are others."""
        wanted = wanted_of(batch)
        plan = self._planner.plan(batch)
        if rope is not None:
            plan = replace(plan, at_place=rope.at(batch.place.flatten()))
        with self._accelerator.autocast():
            logits: torch.Tensor = self._student(batch.ids, plan, wanted)
        return logits, batch.label.flatten().index_select(0, wanted)

    def _validated(self, validation: Validation) -> dict[str, float]:
        """Measure the model on the samples for validation, as fields of a line of metrics."""
        with self._measuring():
            return validation.measured(self._accelerator, self._answered)

    @contextmanager
    def _measuring(self) -> Iterator[None]:
        self._student.train(False)
        try:
            yield
        finally:
            self._student.train(True)

    def _note_agreement(self, when: str) -> None:
        """Measure the agreement on the turns that are held out, and write it into the folder's report."""
        if self._turns is None:
            return
        row_tokens, device = self._config.row_tokens, self._accelerator.device
        room = Room(row_tokens, self._loaded.context_limit)
        length = row_tokens if device.type == "cuda" else None
        with self._measuring():
            measured = self._teacher.measured(self._turns.held_out, room, length, device)
        if self._accelerator.is_main_process:
            note_agreement(self._folder, when, {**measured, "repeated": self._turns.repeated})
        self._accelerator.wait_for_everyone()

    def _figures(
        self,
        losses: list[Losses | Agreement | Remembered],
        modes: Sequence[Mode],
        norm: Any,
        left_out: int,
        is_asked: bool,
    ) -> tuple[tuple[str, ...], torch.Tensor]:
        """Return the names of a step's figures, and what `Figures` has of them, over its batches and all processes."""
        names, columns = columns_of(losses, modes)
        mean = torch.stack(columns).mean(0).detach().float()
        whole = norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # of weights in parts it is in parts, too
        values = [mean, whole.detach().float().reshape(1), mean.new_full((1,), left_out), mean.new_full((1,), is_asked)]
        return (*names, NORM), Figures.to_host(self._accelerator.reduce(torch.cat(values), "mean"))

    def _settle(self, figures: Figures, tell: Callable[[dict[str, Any]], None]) -> bool:
        """Write and tell a step's line; return whether some process was asked to stop. Raises LossNotFinite."""
        line, is_asked = figures.settled()
        for name in ("loss", NORM):
            if not math.isfinite(line[name]):
                raise LossNotFinite(figures.step, name, line[name], self._savings.step)
        if self._accelerator.is_main_process:
            with (self._folder / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            tell(line)
        return is_asked

    def _write_result(self) -> Path:
        """Write the adapter, or the weights if all of them were tuned, with the card. Returns their folder."""
        accelerator, folder = self._accelerator, self._folder / (ADAPTER if self._adapted else MODEL)
        state = accelerator.get_state_dict(self._student)
        if accelerator.is_main_process:
            weights = {name.removeprefix("model."): weight for name, weight in state.items()}
            if self._adapted is not None:
                named = {f"base_model.model.{name}": weight for name, weight in weights.items()}
                self._adapted.save_pretrained(str(folder), state_dict=named)
                card = replace(self._card, digest=adapter_digest(folder))
            else:
                self._loaded.model.save_pretrained(str(folder), state_dict=weights)
                self._loaded.text.tokenizer.save_pretrained(str(folder))
                card = Card(self._card.block_modes, positions=self._card.positions, lead=self._card.lead)
            write_card(folder, card)
        accelerator.wait_for_everyone()
        return folder


def _sources(config: TuneConfig, files: Mapping[str, Source]) -> list[tuple[float, Source]]:
    weights = config.data.weights or (1.0,) * len(config.data.train)
    return [(weight, files[name]) for weight, name in zip(weights, config.data.train, strict=True)]


def _validation(
    config: TuneConfig, files: Sequence[Source], loaded: LoadedModel, card: Card, is_short: bool
) -> Validation | None:
    """Return what the run is measured on as it goes, if on anything; its rows change nothing about those of the run."""
    if not files:
        return None
    limit = loaded.context_limit
    row_tokens = config.saying_rows(longest_of(files, limit) if is_short else None).row_tokens
    return Validation(files, config.modes, config.training.rows, Room(row_tokens, limit), card.positions)


def _rate(part: TrainingPart, step: int) -> float:
    """Return the learning rate of a step."""
    rising = min(1.0, (step + 1) / max(part.warmup_steps, 1))
    falling = 0.5 * (1 + math.cos(math.pi * step / part.steps)) * (1 - part.final_share) + part.final_share
    return part.learning_rate * rising * falling


def _set_rate(optimizer: Any, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _stand_apart(worker: int) -> None:
    """Leave the run's group of processes: a signal to all of it is to end the run, which still needs its batches."""
    os.setpgid(0, 0)
