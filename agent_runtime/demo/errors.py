"""What can stop the demo.

HotseatError (agent_runtime.errors)
└── DemoError
    ├── FolderInUse     the folder to keep things in has something in it
    ├── ServerEnded     the server's process ended by itself; the last lines it wrote are shown
    ├── ServerSilent    the server's process did not say its address in time
    └── TurnFailed      a turn brought no action
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from agent_runtime.errors import HotseatError


class DemoError(HotseatError):
    """The demo cannot go on."""


@dataclass(eq=False)
class FolderInUse(DemoError):
    """A folder that is not empty: a match in its store would be taken up again."""

    folder: Path
    code: ClassVar[str] = "folder_in_use"

    def __str__(self) -> str:
        return f"{self.folder} is not an empty folder. Name a new one for the demo's store and recordings."


@dataclass(eq=False)
class ServerEnded(DemoError):
    """The server's process is gone."""

    exit_code: int
    last_words: str
    code: ClassVar[str] = "server_ended"

    def __str__(self) -> str:
        said = f" Its last words:\n{self.last_words}" if self.last_words else ""
        return f"The server ended with exit code {self.exit_code}.{said}"


@dataclass(eq=False)
class ServerSilent(DemoError):
    """The server's process runs, and cannot be reached."""

    waited_s: float
    last_words: str
    code: ClassVar[str] = "server_silent"

    def __str__(self) -> str:
        said = f" Its last words:\n{self.last_words}" if self.last_words else ""
        return f"The server did not say its address within {self.waited_s:g} s; it was stopped.{said}"


@dataclass(eq=False)
class TurnFailed(DemoError):
    """A turn that ended without an action."""

    session: str
    turn_id: int
    outcome: str
    why: str | None
    code: ClassVar[str] = "turn_failed"

    def __str__(self) -> str:
        return f"Turn {self.turn_id} of {self.session!r} ended as {self.outcome}: {self.why or 'no reason was given'}"
