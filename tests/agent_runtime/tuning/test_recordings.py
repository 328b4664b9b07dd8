"""Recordings without labels: block mode learns what its own full mode decides, and is measured on other matches."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from agent_runtime.adapter_choice import AdapterChoice
from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine.adapters import base_digest
from agent_runtime.engine.card import CARD, Card, read_card, write_card
from agent_runtime.engine.errors import ModelNotFound
from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model
from agent_runtime.engine.positions import Positions
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.text import Lead
from agent_runtime.replay.recording_format import read_recording
from agent_runtime.replay.replayer import put_into
from agent_runtime.replay.steps import RecordedSteps, RecordedTurn
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import serve_model
from agent_runtime.tuning.agreement import AGREEMENT, Teacher, Turns
from agent_runtime.tuning.attention import Planner
from agent_runtime.tuning.config import DataPart, ModelPart, TrainingPart, TuneConfig
from agent_runtime.tuning.errors import NotTrainable
from agent_runtime.tuning.lora import start_of
from agent_runtime.tuning.packing import Batch, batch_of, joined
from agent_runtime.tuning.preparing import load_for
from agent_runtime.tuning.recordings import recorded_turns, recordings_in
from agent_runtime.tuning.rows import TokenAsk, TokenSample, row_of
from agent_runtime.tuning.student import Decisions, Student, wanted_of
from agent_runtime.tuning.training import METRICS, tune
from agent_runtime.turn import Mode
from tests.agent_runtime.embedded import bring, embed
from tests.agent_runtime.engine.worlds import random_ids
from tests.agent_runtime.replay.duel import NUM_TURNS, record_duel
from tests.agent_runtime.worlds import write_game
from tests.tiny_models import save_tiny_adapter, save_tiny_model

MODES = (Mode.FULL, Mode.STAR)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    save_tiny_model(folder / "guard", "llama")
    write_game(folder / "games")
    record_duel(folder / "recordings", folder / "games", loaded_from(folder))
    level = folder / "games" / "level"
    shutil.copytree(folder / "games" / "duel", level)
    said = (
        (level / "game.toml")
        .read_text("utf-8")
        .replace('name = "duel"\n', 'name = "level"\nlength_normalised = true\n')
    )
    (level / "game.toml").write_text(said, "utf-8")
    for game in ("duel", "level"):
        record_duel(folder / "mixed", folder / "games", loaded_from(folder), match=game, game=game)
    return folder


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    monkeypatch.setenv("HOTSEAT_CACHE", str(home / "cache"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def loaded_from(home: Path) -> LoadedModel:
    return load_model(ModelSpec(str(home / "guard"), device="cpu"), home / "cache")


def played(home: Path, recording: Path, mode: Mode) -> list[list[float]]:
    """The probabilities that a runtime gives the actions of every recorded turn, at temperature 1."""
    loaded = loaded_from(home)
    served = serve_model("default", loaded, MemoryStore(), pool_mib=16, max_rows=512, probed=False)
    runtime = AgentRuntime({"default": served}, games=[home / "games"])
    found = []
    for step in (each.step for each in RecordedSteps(read_recording(recording))):
        if isinstance(step, RecordedTurn):
            request = replace(step.request, decide=replace(step.request.decide, temperature=1.0))
            found.append([score.p for score in runtime.begin_turn(request).run().scores])
        else:
            put_into(runtime, mode, step)
    runtime.close()
    return found


def test_what_is_learned_from_is_what_the_runtime_decides(home: Path) -> None:
    """In a set of turns of two games, one of which divides log-probabilities by the tokens of answers."""
    matches = recordings_in(home / "mixed")
    turns = recorded_turns(loaded_from(home), matches, [home / "games"])
    samples = [*turns.train, *turns.held_out]
    assert len(samples) == 2 * NUM_TURNS
    loaded = loaded_from(home)
    student = Student(loaded.model)
    length = sum(sample.num_tokens for sample in samples)
    rows = [joined([row_of(sample, mode) for sample in samples], length) for mode in MODES]
    batch = batch_of(rows)
    decisions = Decisions.of(batch, wanted_of(batch).chunk(2)[0])
    planner = Planner(RotaryTable(loaded.model.model.rotary_emb.inv_freq, loaded.context_limit), CPU)
    with torch.inference_mode():
        logits = student(batch.ids, planner.plan(batch), wanted_of(batch))
    labels = batch.label.flatten()[wanted_of(batch)].chunk(2)[0]
    assert decisions.num_decisions == len(samples)
    for mode, part in zip(MODES, logits.chunk(2), strict=True):
        probabilities = decisions.logprobs(part, labels).exp().split(4)
        theirs = [each for recording in matches for each in played(home, recording, mode)]
        for ours in probabilities:
            nearest = min(theirs, key=lambda each: (torch.tensor(each) - ours).abs().max().item())
            assert ours.tolist() == pytest.approx(nearest, abs=1e-4)
            theirs.remove(nearest)
    raw = replace(decisions, divisor_of_action=torch.ones_like(decisions.divisor_of_action))
    far = (decisions.logprobs(logits.chunk(2)[0], labels) - raw.logprobs(logits.chunk(2)[0], labels)).split(4)
    assert sum(bool(each.abs().max() > 0.1) for each in far) == NUM_TURNS, "in one game of two it makes a difference"
    agreement = decisions.agreement(
        *[decisions.logprobs(part, labels) for part in logits.chunk(2)][:1],
        [decisions.logprobs(logits.chunk(2)[0], labels)],
    )
    assert agreement.total == 0 and agreement.agreed[0] == 1


def config(home: Path, **changes: Any) -> TuneConfig:
    part = TrainingPart(
        modes=("full", "star"),
        steps=40,
        row_tokens=220,
        learning_rate=5e-3,
        warmup_steps=2,
        lora_rank=8,
        save_every=100,
    )
    return TuneConfig(ModelPart(str(home / "guard")), DataPart(), replace(part, **changes), home)


def short_turns(number: int) -> Turns:
    """Turns of a few short blocks, whose modes differ more than those of a long state read by a random model."""
    rng = numpy.random.default_rng(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(random_ids(rng, length))

    def turn() -> TokenSample:
        asked = ids(4)
        return TokenSample((ids(6), ids(9), ids(7)), (TokenAsk(asked, tuple(ids(2) for _ in range(4))),))

    return Turns(tuple(turn() for _ in range(number)), tuple(turn() for _ in range(3)), "")


def test_block_mode_comes_nearer_to_its_own_full_mode_and_full_mode_stays(home: Path, tmp_path: Path) -> None:
    turns = short_turns(4)
    result = tune(config(home), tmp_path / "run", lambda line: None, turns=lambda loaded: turns)
    assert result.made is not None
    lines = [json.loads(line) for line in (tmp_path / "run" / METRICS).read_text().splitlines()]
    assert lines[0]["loss_star"] > 0.05 and lines[0]["loss_full"] < 1e-6
    assert max(lines[-1]["loss_star"], lines[-1]["loss_full"]) < 0.3 * lines[0]["loss_star"]
    report = json.loads((tmp_path / "run" / AGREEMENT).read_text())
    assert report["before"]["full"] == {"divergence": 0.0, "variation": 0.0, "agreed": 1.0}
    assert set(report) == {"before", "after"} and report["after"]["turns"] == 3 and report["after"]["left_out"] == 0
    tuned = load_model(ModelSpec(str(home / "guard"), adapter=result.made, device="cpu"), home / "cache")
    assert tuned.block_modes == ("star",)


@pytest.mark.parametrize(("said", "noted", "longest"), [(None, 37, 37), (80, 80, 66)])
def test_on_a_cpu_a_row_is_as_long_as_the_longest_turn_unless_rows_are_said(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: int | None, noted: int, longest: int
) -> None:
    turns, lengths = short_turns(4), set[int]()
    long = turns.held_out[0]
    turns = replace(turns, held_out=(replace(long, blocks=(*long.blocks, (5,) * 4)), *turns.held_out[1:]))
    planned = Planner.plan

    def plan(planner: Planner, batch: Batch) -> Any:
        lengths.add(batch.ids.shape[1])
        return planned(planner, batch)

    monkeypatch.setattr(Planner, "plan", plan)
    tune(config(home, steps=1, row_tokens=said), tmp_path / "run", lambda line: None, turns=lambda loaded: turns)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["training"]["row_tokens"] == noted
    assert max(lengths) == longest


def test_a_run_that_was_cut_off_behind_its_last_step_is_measured_when_it_is_taken_up(
    home: Path, tmp_path: Path
) -> None:
    turns = short_turns(2)

    def go() -> dict[str, Any]:
        tune(config(home, steps=2), tmp_path / "run", lambda line: None, turns=lambda loaded: turns)
        report: dict[str, Any] = json.loads((tmp_path / "run" / AGREEMENT).read_text())
        return report

    whole = go()
    (tmp_path / "run" / AGREEMENT).write_text(json.dumps({"before": whole["before"]}))
    assert go() == whole


@pytest.mark.parametrize("part", ["train", "validation"])
def test_no_samples_are_learned_from_beside_recordings(home: Path, tmp_path: Path, part: str) -> None:
    run = config(home)
    run = replace(run, data=replace(run.data, **{part: ("samples.jsonl",)}))
    with pytest.raises(NotTrainable, match="name no files of them"):
        tune(run, tmp_path / "run", lambda line: None, turns=lambda loaded: short_turns(2))


@pytest.mark.parametrize("modes", [("star", "full"), ("star",), ("anchored", "star"), ("full",)])
def test_nothing_but_full_mode_teaches_and_this_is_said_before_the_model_is_loaded(
    home: Path, tmp_path: Path, modes: tuple[str, ...]
) -> None:
    run = replace(config(home, modes=modes), model=ModelPart(str(tmp_path / "no weights")))
    with pytest.raises(NotTrainable, match="put full first, and a block mode behind it"):
        tune(run, tmp_path / "run", lambda line: None, turns=lambda loaded: short_turns(2))


def test_nothing_but_what_is_served_teaches(home: Path, tmp_path: Path) -> None:
    for changed in ({"lead": "label"}, {"positions": "shared"}):
        with pytest.raises(NotTrainable, match="served in another way"):
            tune(config(home, **changed), tmp_path / "run", lambda line: None, turns=lambda loaded: short_turns(2))


def test_weights_with_a_card_of_their_own_teach_as_they_are_served(home: Path, tmp_path: Path) -> None:
    write_card(home / "guard", Card(("star",), positions=Positions.SHARED, lead=Lead.LABEL))
    seen: list[LoadedModel] = []

    def turns(loaded: LoadedModel) -> Turns:
        seen.append(loaded)
        return short_turns(2)

    result = tune(config(home, steps=1), tmp_path / "run", lambda line: None, turns=turns)
    assert result.made is not None
    card = read_card(result.made / CARD)
    assert (card.positions, card.lead, seen[0].positions, seen[0].text.lead) == (Positions.SHARED, Lead.LABEL) * 2
    with pytest.raises(NotTrainable, match="served in another way"):
        tune(config(home, lead="none"), tmp_path / "other", lambda line: None, turns=turns)


def test_the_model_as_it_was_is_the_teacher_and_has_to_stay(home: Path, tmp_path: Path) -> None:
    files = recordings_in(home / "recordings")
    with pytest.raises(NotTrainable, match="Set lora_rank"):
        tune(
            config(home, lora_rank=0),
            tmp_path,
            lambda line: None,
            turns=lambda made: recorded_turns(made, files, [home / "games"]),
        )


def test_recordings_that_cannot_be_learned_from_are_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(NotTrainable, match="has no recordings"):
        recordings_in(tmp_path)
    with pytest.raises(NotTrainable, match="0 recorded sessions have turns with listed actions"):
        recorded_turns(loaded_from(home), recordings_in(home / "recordings"), [])


def test_the_report_says_how_many_held_out_turns_were_left_out(home: Path, tmp_path: Path) -> None:
    turns = replace(short_turns(2), repeated=5)
    tune(config(home, steps=1), tmp_path / "run", lambda line: None, turns=lambda loaded: turns)
    report = json.loads((tmp_path / "run" / AGREEMENT).read_text())
    assert [report[when]["repeated"] for when in ("before", "after")] == [5, 5]


class Lessons:
    """Hears what the teacher teaches, batch by batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.heard: list[tuple[Batch, torch.Tensor]] = []
        taught = Teacher.taught

        def heard(teacher: Teacher, batch: Batch) -> torch.Tensor:
            logits = taught(teacher, batch)
            self.heard.append((batch, logits.clone()))
            return logits

        monkeypatch.setattr(Teacher, "taught", heard)


def logits_of(loaded: LoadedModel, batch: Batch) -> torch.Tensor:
    """What a model that is served computes of a batch: its adapter is part of its weights."""
    planner = Planner(RotaryTable(loaded.model.model.rotary_emb.inv_freq, loaded.context_limit), CPU)
    with torch.inference_mode():
        made: torch.Tensor = Student(loaded.model)(batch.ids, planner.plan(batch), wanted_of(batch))
    return made


def begun_with(home: Path, adapter: Path | None) -> TuneConfig:
    model = ModelPart(str(home / "guard"), adapter=None if adapter is None else str(adapter))
    return replace(config(home, steps=12, lora_rank=2, lora_alpha=4), model=model)


def test_who_teaches_is_the_model_as_it_is_served_and_does_not_move(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = save_tiny_adapter(tmp_path / "start", base=base_digest(str(home / "guard"), home / "cache"))
    served, bare = (
        load_model(ModelSpec(str(home / "guard"), adapter=each, device="cpu")) for each in (start, AdapterChoice.NONE)
    )
    lessons, turns = Lessons(monkeypatch), short_turns(4)
    run, folder = begun_with(home, start), tmp_path / "run"
    assert tune(run, folder, lambda line: None, lambda: True, lambda made: turns).step == 1
    assert tune(run, folder, lambda line: None, turns=lambda made: turns).step == 12
    assert len(lessons.heard) == 3 + 12 + 3, "held-out turns before, steps, and after; stopped and taken up again"
    for batch, taught in lessons.heard:
        assert torch.allclose(taught, logits_of(served, batch).chunk(2)[0], atol=1e-4)
        assert not torch.allclose(taught, logits_of(bare, batch).chunk(2)[0], atol=1e-1)

    made = load_model(ModelSpec(str(home / "guard"), adapter=folder / "adapter", device="cpu"))
    report = json.loads((folder / AGREEMENT).read_text())
    assert report["before"]["full"] == {"divergence": 0.0, "variation": 0.0, "agreed": 1.0}
    losses = [json.loads(line)["loss_star"] for line in (folder / METRICS).read_text().splitlines()]
    assert sum(losses[-4:]) < 0.7 * sum(losses[:4]), "it did learn"
    far = {mode: 0.0 for mode in MODES}
    for batch, _ in lessons.heard[-3:]:
        decisions = Decisions.of(batch, wanted_of(batch).chunk(2)[0])
        own = batch.label.flatten()[wanted_of(batch)].chunk(2)[0]
        teacher = decisions.logprobs(logits_of(served, batch).chunk(2)[0], own)
        students = [decisions.logprobs(each, own) for each in logits_of(made, batch).chunk(2)]
        for mode, divergence in zip(MODES, decisions.agreement(teacher, students).divergence, strict=True):
            far[mode] += float(divergence) / 3
    assert far == pytest.approx({mode: report["after"][mode]["divergence"] for mode in MODES}, abs=1e-4)


def test_a_run_begins_with_the_packages_adapter_only_over_recordings_or_if_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = embed(tmp_path, monkeypatch)

    def start(adapter: str | None, source: str = "embedded", **options: bool) -> Path | None:
        part = TrainingPart(lora_rank=2, lora_alpha=4)
        begun = start_of(TuneConfig(ModelPart(source, adapter=adapter), DataPart(), part, tmp_path), **options)
        return None if begun is None else begun.folder

    assert start(None, recorded=True) is None
    with pytest.raises(ModelNotFound, match="brings no adapter"):
        start("packaged")
    bring(tuned)
    assert start(None) is start("none") is start("none", recorded=True) is None
    assert start("packaged") == start(None, recorded=True) == tuned
    for adapter in (None, "none", "packaged"):  # the adapter of a run lies beside the weights, never in them
        config = TuneConfig(ModelPart(adapter=adapter), DataPart(), TrainingPart(lora_rank=2, lora_alpha=4), tmp_path)
        _, loaded, _ = load_for(config, start_of(config), torch.device("cpu"))
        assert loaded.adapter_digest is None
    save_tiny_adapter(tmp_path / "none")
    assert start("./none") == tmp_path / "none"
    assert start(None, str(save_tiny_model(tmp_path / "guard")), recorded=True) is None
    with pytest.raises(NotTrainable, match=r'Set training.lora_rank to 2, or model.adapter to "none"'):
        start_of(TuneConfig(ModelPart(), DataPart(), TrainingPart(), tmp_path), recorded=True)


@pytest.mark.parametrize(
    ("own", "said", "recorded", "trained"),
    [
        (None, None, True, ("full", "anchored")),
        (("star",), None, True, ("full", "star")),
        (("star", "anchored"), None, True, ("full", "star", "anchored")),
        ((), None, True, ("full", "anchored")),
        (("star",), ("full", "anchored"), True, ("full", "anchored")),
        (("star",), None, False, ("full", "anchored")),
    ],
)
@pytest.mark.parametrize("of", ["adapter", "weights"])
def test_a_run_over_recordings_trains_the_modes_that_the_model_is_served_in_unless_it_says_its_own(
    tmp_path: Path,
    of: str,
    own: tuple[str, ...] | None,
    said: tuple[str, ...] | None,
    recorded: bool,
    trained: tuple[str, ...],
) -> None:
    weights, adapter = save_tiny_model(tmp_path / "guard"), None
    if own is not None and of == "weights":
        write_card(weights, Card(own))
    elif own is not None:
        save_tiny_adapter(tmp_path / "start", base=base_digest(str(weights), tmp_path / "cache"), block_modes=own)
        adapter = "start"
    part = TrainingPart(modes=said, lora_rank=2, lora_alpha=4)
    unsaid = TuneConfig(ModelPart(str(weights), adapter=adapter), DataPart(), part, tmp_path)
    run, _, card = load_for(unsaid, start_of(unsaid, recorded=recorded), CPU, recorded=recorded)
    assert run.training.modes == trained and run.modes == tuple(map(Mode, trained))
    assert card.block_modes == trained[1:]
