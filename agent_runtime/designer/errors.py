"""What can be wrong with what a designer hands in.

HotseatError (agent_runtime.errors)
└── BadStates       a file of states that cannot be read: file, line, and what is wrong there
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from agent_runtime.errors import HotseatError


@dataclass(eq=False)
class BadStates(HotseatError):
    """A file of states that cannot be read; `line` is None where the whole file is meant."""

    file: Path
    line: int | None
    why: str
    code: ClassVar[str] = "bad_states"

    def __str__(self) -> str:
        return f"{self.file}{'' if self.line is None else f':{self.line}'}: {self.why}"
