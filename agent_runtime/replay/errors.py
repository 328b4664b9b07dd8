"""What can be wrong with a recording, with replaying one, and with what is asked of the report.

HotseatError (agent_runtime.errors)
└── RecordingError
    ├── NotARecording        some other file, or one that ends before its first line does
    ├── NewerRecording       written by a later version of this program
    ├── EditedRecording      a line was changed, removed or added; its number is named
    ├── CannotRecord         the folder to record into cannot be made
    ├── OtherProtocol        frames of a protocol that the replayer does not speak
    ├── LacksGame            its game is not here
    ├── NothingToReplay      no turn was asked for
    ├── PromptsDiffer        the modes of a replay did not see the same tokens, so nothing can be compared
    ├── BadCondition         what --fail-if was given is no condition
    ├── UnknownMetric        a condition about a figure that there is not
    ├── NoValue              a condition about a figure that was not measured
    ├── NotAReport           a file that is no report of a replay, or one of another version
    └── NotComparable        reports of different recordings
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from agent_runtime.errors import HotseatError


class RecordingError(HotseatError):
    """A recording that cannot be read."""


@dataclass(eq=False)
class NotARecording(RecordingError):
    """A file that does not begin with a recording's header."""

    path: Path
    code: ClassVar[str] = "not_a_recording"

    def __str__(self) -> str:
        return f"{self.path} is not a recording: its first line is no header. Name a file that --record has written."


@dataclass(eq=False)
class NewerRecording(RecordingError):
    """A recording of a format that this program does not know yet."""

    path: Path
    version: int
    known: int
    line: int = 1
    code: ClassVar[str] = "newer_recording"

    def __str__(self) -> str:
        return (
            f"{self.path}, line {self.line}: it has format version {self.version} and this program reads up to "
            f"{self.known}. Read it with the Hotseat that wrote it, or a later one."
        )


@dataclass(eq=False)
class EditedRecording(RecordingError):
    """A recording that is not as it was written."""

    path: Path
    line: int
    why: str
    code: ClassVar[str] = "edited_recording"

    def __str__(self) -> str:
        return (
            f"{self.path}, line {self.line}: {self.why}. The recording was changed after it was written; "
            "take the original, or let hotseat read it as it is with --no-verify."
        )


@dataclass(eq=False)
class CannotRecord(RecordingError):
    """A folder that recordings cannot be written to."""

    folder: Path
    why: str
    code: ClassVar[str] = "cannot_record"

    def __str__(self) -> str:
        return f"Cannot record into {self.folder} ({self.why}). Name a folder that can be written."


@dataclass(eq=False)
class OtherProtocol(RecordingError):
    """A recording of frames that mean something else."""

    path: Path
    protocol: str
    known: str
    code: ClassVar[str] = "other_protocol"

    def __str__(self) -> str:
        return (
            f"{self.path} holds frames of the protocol {self.protocol!r} and this program replays {self.known!r}. "
            "Replay it with the Hotseat that recorded it."
        )


@dataclass(eq=False)
class LacksGame(RecordingError):
    """A recording of a game whose folder is neither ours, installed, nor named."""

    path: Path
    game: str
    known: tuple[str, ...]
    code: ClassVar[str] = "lacks_game"

    def __str__(self) -> str:
        return (
            f"{self.path} is a match of the game {self.game!r}, which is not among those that are here "
            f"({', '.join(self.known)}). Name the folder that holds it with --games."
        )


@dataclass(eq=False)
class NothingToReplay(RecordingError):
    """A recording without a turn."""

    path: Path
    code: ClassVar[str] = "nothing_to_replay"

    def __str__(self) -> str:
        return f"{self.path} holds no turn that was asked for. Name the file of a match that was played."


@dataclass(eq=False)
class PromptsDiffer(RecordingError):
    """A turn whose token ids were not the same in all modes: a fault of ours, or games that changed meanwhile."""

    session: str
    turn_id: int
    modes: tuple[str, ...]
    code: ClassVar[str] = "prompts_differ"

    def __str__(self) -> str:
        return (
            f"Turn {self.turn_id} of session {self.session!r} reads differently in {', '.join(self.modes)} than in the "
            "other modes, so their times cannot be compared. If no game folder was edited during the replay, report it."
        )


@dataclass(eq=False)
class BadCondition(RecordingError):
    """A condition that cannot be read."""

    text: str
    code: ClassVar[str] = "bad_condition"

    def __str__(self) -> str:
        return (
            f"{self.text!r} is no condition. Write a metric, one of > >= < <= == != and a number, in quotes: "
            "--fail-if 'ttft_p50_ms>400'."
        )


@dataclass(eq=False)
class UnknownMetric(RecordingError):
    """A condition about a figure that this report does not have."""

    name: str
    nearest: str
    known: tuple[str, ...]
    lanes: tuple[str, ...]
    code: ClassVar[str] = "unknown_metric"

    def __str__(self) -> str:
        label, dot, short = self.name.partition(".")
        if dot and short in self.known and label not in self.lanes:
            return f"No mode {label!r} is replayed, so there is no {self.name!r}. There is: {', '.join(self.lanes)}."
        of_one = ", ".join(f"{lane}.{self.known[0]}" for lane in self.lanes)
        return (
            f"There is no metric {self.name!r}; the nearest is {self.nearest!r}. There are: {', '.join(self.known)}. "
            f"Those of a mode are asked of every mode, or of one by its name: {of_one}."
        )


@dataclass(eq=False)
class NoValue(RecordingError):
    """A condition about a figure that this replay did not measure."""

    condition: str
    name: str
    why: str
    code: ClassVar[str] = "no_value"

    def __str__(self) -> str:
        return f"{self.condition!r} cannot be checked: {self.name} has no value, for {self.why}."


@dataclass(eq=False)
class NotAReport(RecordingError):
    """A file that `hotseat replay --json` has not written, or that was changed since."""

    path: Path
    why: str
    code: ClassVar[str] = "not_a_report"

    def __str__(self) -> str:
        return (
            f"{self.path} is not a report that can be compared: {self.why}. Make one with `hotseat replay RECORDING "
            f"--out {self.path.name}`."
        )


@dataclass(eq=False)
class NotComparable(RecordingError):
    """Two reports that are not of one recording; each with its path, its recording and its game."""

    a: tuple[Path, str, str | None]
    b: tuple[Path, str, str | None]
    code: ClassVar[str] = "not_comparable"

    def __str__(self) -> str:
        told = [f"{path} replays {recording} ({game or 'no game'})" for path, recording, game in (self.a, self.b)]
        return (
            f"The two reports cannot be compared: {told[0]}, {told[1]}, and these are different recordings. Replay the "
            "same file both times."
        )
