"""What can be wrong with what a person types for a first look.

HotseatError (agent_runtime.errors)
├── BadActions       (agent_runtime.errors) a list of actions that cannot be read
├── NoRecordings     a folder without a recording
└── UnknownName      (agent_runtime.errors) no such game, persona or message
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from agent_runtime.errors import HotseatError


@dataclass(eq=False)
class NoRecordings(HotseatError):
    """A place without anything that --record has written."""

    path: Path
    why: str
    code: ClassVar[str] = "no_recordings"

    def __str__(self) -> str:
        return f"{self.path} {self.why}. Name a file that `hotseat serve --record` has written, or its folder."
