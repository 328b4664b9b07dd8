"""What can be wrong with samples, with what a generator of them is asked for, with training on them, and with what
tuned weights are measured on.

HotseatError (agent_runtime.errors)
└── TuningError
    ├── BadArgument        a generator cannot do what it is asked for
    ├── NotTrainable       a mode or a view of a sample that no row can hold
    ├── SampleTooLong      samples of more tokens than a row has
    ├── NotHeldOut         samples that a run is to be measured on as it goes, and that it learns from
    ├── BadTuneConfig      a configuration with a key or a value that cannot be
    ├── LossNotFinite      training that has come apart
    ├── OtherRun           a folder with a run of another configuration
    ├── RunInUse           a folder with a run that another process is at
    ├── BadLaunch          a setting of accelerate's that no run can follow
    ├── DamagedSaving      what a run has saved cannot be read
    ├── NotSaved           a step that could not be saved; what was saved before is as it was
    ├── OtherLaunch        a run that was saved by other processes than are to go on with it
    ├── LacksTuningExtra   a package of the extra is not installed
    ├── MatchFailed        a match that could not be played to its end
    ├── BadConversation    a line of a file of conversations that is none
    ├── NothingAnswered    an evaluation in which not one sample, or conversation, could be answered
    ├── NotEvaluation      some other file than a report of an evaluation, or a damaged one
    ├── PartsDiffer        reports that cannot be parts of one evaluation
    └── SamplesError       a file of samples that cannot be read
        ├── NotSamples     some other file, or none
        ├── NewerSamples   written by a later version of this program
        ├── CutSamples     it ends before its last line does
        └── EditedSamples  a line was changed, removed or added; its number is named
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from agent_runtime.errors import HotseatError


class TuningError(HotseatError):
    """Base of all errors of block tuning."""


@dataclass(eq=False)
class BadArgument(TuningError):
    """Something that a generator of samples was asked for and cannot do."""

    argument: str
    why: str
    code: ClassVar[str] = "bad_argument"

    def __str__(self) -> str:
        return f"{self.argument}: {self.why}"


@dataclass(eq=False)
class NotTrainable(TuningError):
    """Something that a training row cannot express."""

    why: str
    code: ClassVar[str] = "not_trainable"

    def __str__(self) -> str:
        return f"This cannot be trained on: {self.why}"


@dataclass(eq=False)
class SampleTooLong(TuningError):
    """Samples that do not fit into a row."""

    tokens: int
    limit: int
    code: ClassVar[str] = "sample_too_long"

    def __str__(self) -> str:
        return (
            f"The samples have {self.tokens} tokens and a row holds {self.limit}. Make rows longer or samples shorter."
        )


@dataclass(eq=False)
class NotHeldOut(TuningError):
    """A file that is to validate a run, and that the run learns from, or one of a split that it learns from."""

    file: str
    why: str
    code: ClassVar[str] = "not_held_out"

    def __str__(self) -> str:
        return (
            f"{self.file} cannot validate the run: {self.why}. Make samples of --split validation with `hotseat data` "
            "and name them, or leave the file out of data.validation."
        )


class SamplesError(TuningError):
    """A file of samples that cannot be read."""


@dataclass(eq=False)
class NotSamples(SamplesError):
    """A file that does not begin with the header of a sample file."""

    path: Path
    why: str = "its first line is no header"
    code: ClassVar[str] = "not_samples"

    def __str__(self) -> str:
        return f"{self.path} is no file of samples: {self.why}. Name a file that `hotseat data` has written."


@dataclass(eq=False)
class NewerSamples(SamplesError):
    """Samples of a format that this program does not know."""

    path: Path
    format: str
    known: str
    code: ClassVar[str] = "newer_samples"

    def __str__(self) -> str:
        return (
            f"{self.path} has the format {self.format!r} and this program reads {self.known!r}. "
            "Read it with the Hotseat that wrote it, or generate it again."
        )


@dataclass(eq=False)
class CutSamples(SamplesError):
    """A file that ends too early: the line that is cut or missing is named."""

    path: Path
    line: int
    code: ClassVar[str] = "cut_samples"

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: the file is cut or damaged here. Copy or generate it again."


@dataclass(eq=False)
class EditedSamples(SamplesError):
    """A line whose digest is not that of what it says, or that is no sample."""

    path: Path
    line: int
    why: str
    code: ClassVar[str] = "edited_samples"

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.why}. Generate the file again instead of editing it."


@dataclass(eq=False)
class BadTuneConfig(TuningError):
    """A tuning configuration with an unknown key or a value that cannot be."""

    path: Path
    key: str
    why: str
    code: ClassVar[str] = "bad_tune_config"

    def __str__(self) -> str:
        return f"{self.path}{f', {self.key}' if self.key else ''}: {self.why}."


@dataclass(eq=False)
class LossNotFinite(TuningError):
    """A loss or gradient that came apart in a step, counted from 0; `saved_step` steps are saved and untouched."""

    step: int
    name: str
    value: float
    saved_step: int
    code: ClassVar[str] = "loss_not_finite"

    def __str__(self) -> str:
        return (
            f"The {self.name} of step {self.step + 1} is {self.value}. What was saved last is step {self.saved_step}: "
            "lower learning_rate, raise warmup_steps, or lower clip_norm, and start again in another folder."
        )


@dataclass(eq=False)
class RunInUse(TuningError):
    """A folder whose run another process is at; `pid` is None where it has not said who it is."""

    folder: Path
    pid: int | None
    code: ClassVar[str] = "run_in_use"

    def __str__(self) -> str:
        who = "Another process" if self.pid is None else f"Process {self.pid}"
        return f"{who} is at the run in {self.folder}. Wait until it is done, stop it, or name another folder (--out)."


@dataclass(eq=False)
class OtherRun(TuningError):
    """A folder that holds a run of another configuration; `differs` says in what, where that is a word or two."""

    folder: Path
    what: str
    differs: str = ""
    code: ClassVar[str] = "other_run"

    def __str__(self) -> str:
        what = f"{self.what} ({self.differs})" if self.differs else self.what
        return f"{self.folder} holds a run with another {what}. Name another folder, or remove that one first."


@dataclass(eq=False)
class BadLaunch(TuningError):
    """A setting of accelerate's configuration that a run cannot follow."""

    setting: str
    why: str
    code: ClassVar[str] = "bad_launch"

    def __str__(self) -> str:
        return f"accelerate's {self.setting}: {self.why}."


@dataclass(eq=False)
class OtherLaunch(TuningError):
    """A run that was saved by other processes than are to go on with it; `saved` and `now` are theirs, in words."""

    folder: Path
    saved: str
    now: str
    code: ClassVar[str] = "other_launch"

    def __str__(self) -> str:
        return (
            f"What {self.folder} has saved is that of {self.saved}, and here is {self.now}: its steps would be of "
            "other batches. Launch it as it was, or name another folder."
        )


@dataclass(eq=False)
class DamagedSaving(TuningError):
    """A file of what a run has saved that cannot be read: cut by a full disk or in copying, changed, or gone."""

    file: Path
    saved: Path
    why: str
    code: ClassVar[str] = "damaged_saving"

    def __str__(self) -> str:
        return (
            f"{self.file}, which the run is to go on from, is damaged: {self.why}. Copy it again, or delete the folder "
            f"{self.saved} and the run begins again with its first step."
        )


@dataclass(eq=False)
class NotSaved(TuningError):
    """A step that could not be saved."""

    step: int
    saved: Path
    why: str
    code: ClassVar[str] = "not_saved"

    def __str__(self) -> str:
        return (
            f"Step {self.step} could not be saved: {self.why}. What {self.saved} had is as it was: make room for as "
            "much again beside it, and the same command goes on from there."
        )


@dataclass(eq=False)
class LacksTuningExtra(TuningError):
    """Something for which a package of the extra `tuning` is needed; `without` is how to do without it, if one can."""

    what: str
    package: str
    without: str = ""
    code: ClassVar[str] = "lacks_tuning_extra"

    def __str__(self) -> str:
        otherwise = f" (or {self.without})" if self.without else ""
        return f'{self.what} needs {self.package}. Install it with: pip install "hotseat[tuning]"{otherwise}'


@dataclass(eq=False)
class MatchFailed(TuningError):
    """A match that could not be played to its end; the cause is why (`__cause__`)."""

    game: str
    seed: int
    seat: str
    why: str
    code: ClassVar[str] = "match_failed"

    def __str__(self) -> str:
        return f"The match of {self.game} with seed {self.seed} and the player as {self.seat} ended early: {self.why}"


@dataclass(eq=False)
class NothingAnswered(TuningError):
    """An evaluation that answered nothing: of each file it is said why."""

    whys: tuple[str, ...]
    code: ClassVar[str] = "nothing_answered"

    def __str__(self) -> str:
        return f"Nothing was answered. {' '.join(self.whys)}"


@dataclass(eq=False)
class BadConversation(TuningError):
    """A line of a file of conversations that is none, or that the model's chat template refuses."""

    path: Path
    line: int
    why: str
    code: ClassVar[str] = "bad_conversation"

    def __str__(self) -> str:
        return (
            f"{self.path}, line {self.line}: {self.why}. A line is "
            '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'
        )


@dataclass(eq=False)
class NotEvaluation(TuningError):
    """A file that is no report of an evaluation."""

    path: Path
    why: str
    code: ClassVar[str] = "not_evaluation"

    def __str__(self) -> str:
        return (
            f"{self.path} is no report of an evaluation, or not of this Hotseat's: {self.why}. Evaluate again, and "
            "name the file that `hotseat evaluate --out` writes."
        )


@dataclass(eq=False)
class PartsDiffer(TuningError):
    """Two reports that are said to be parts of one evaluation and cannot be; `what` says what is not the same."""

    name: str
    first: Path
    second: Path
    what: str
    advice: str
    code: ClassVar[str] = "parts_differ"

    def __str__(self) -> str:
        return f"{self.first} and {self.second} cannot both be {self.name!r}: {self.what}. {self.advice}"


def not_each_once(said: Sequence[str], known: Sequence[str]) -> str | None:
    """Return what is wrong with words of which each may be there once, and one has to; None if nothing is."""
    listed = ", ".join(known)
    for place, word in enumerate(said):
        if word not in known:
            return f"{word!r} is none of {listed}"
        if word in said[:place]:
            return f"{word!r} is there twice; each once, of {listed}"
    return None if said else f"none is there; each once, of {listed}"
