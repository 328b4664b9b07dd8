"""What a studio's files, a game's state or a client's patterns can cause. Each sentence says what to do.

PromptsError
├── GameFolderError      a game folder that cannot be loaded: file and line, what is wrong with it
├── TemplateFailed       a template that broke on the values it was given: file and line
├── PatternError         a JSON Pointer pattern (segment rule, live rule, sight) that cannot be read
├── StateError           a state that is not JSON: NaN, a key that is no string, too deep
└── PatchError           a patch that is malformed or does not apply: the index of the operation
"""

from dataclasses import dataclass
from pathlib import Path


class PromptsError(Exception):
    """Base of everything that this package raises on account of its input."""


@dataclass
class GameFolderError(PromptsError):
    """A game folder that cannot be loaded; `line` is None where the whole file is meant."""

    file: Path
    line: int | None
    why: str

    def __str__(self) -> str:
        return f"{self.file}{'' if self.line is None else f':{self.line}'}: {self.why}"


@dataclass
class TemplateFailed(PromptsError):
    """A template that broke while it was filled in for `what` (a block's path, or the observation)."""

    file: Path
    line: int | None
    what: str
    why: str

    def __str__(self) -> str:
        place = f"{self.file}{'' if self.line is None else f':{self.line}'}"
        return f"{place}: {self.why} (while writing {self.what}). Mend the template, or the value it was given."


@dataclass
class PatternError(PromptsError):
    """A pattern that is no JSON Pointer."""

    pattern: str
    why: str

    def __str__(self) -> str:
        return f"The pattern {self.pattern!r} cannot be read: {self.why}"


@dataclass
class StateError(PromptsError):
    """A value in a state that JSON has no words for; `path` is the nearest place known."""

    path: str
    why: str

    def __str__(self) -> str:
        return f"The state at {self.path or 'its root'} is not JSON: {self.why}"


@dataclass
class PatchError(PromptsError):
    """A patch that was not applied; `index` is that of the operation, None if the patch as a whole is malformed."""

    index: int | None
    why: str

    def __str__(self) -> str:
        if self.index is None:
            return f"The patch was not applied: {self.why}"
        return f"The patch was not applied: operation {self.index} {self.why}. If the states differ, send a whole one."
