"""What keeps a recording from being played against a server.

HotseatError (agent_runtime.errors)
└── LoadError
    ├── NoServer        nothing answers at the address
    ├── NotHotseat      something answers there, and it is no Hotseat server
    ├── TokenRefused    the server wants a token, or another one
    ├── LacksName       the server has not the game or the model
    ├── NobodyLetIn     every copy of the match was refused
    ├── NoTimes         a pace was asked for, and the recording has no times
    ├── BadPace         a pace that is none
    └── ServerLost      the connection ended while the recording was played; what was measured until then is reported
"""

from dataclasses import dataclass
from typing import ClassVar

from agent_runtime.errors import HotseatError


class LoadError(HotseatError):
    """Why a recording was not played against a server, or not to its end."""


@dataclass(eq=False)
class NoServer(LoadError):
    """An address at which nothing answers."""

    url: str
    why: str
    code: ClassVar[str] = "no_server"
    retryable: ClassVar[bool] = True

    def __str__(self) -> str:
        return (
            f"No server answers at {self.url} ({self.why}). Start one with `hotseat serve` and wait until it says that "
            "it listens: loading its model takes a while."
        )


@dataclass(eq=False)
class NotHotseat(LoadError):
    """An address at which something else answers."""

    url: str
    why: str
    code: ClassVar[str] = "not_hotseat"

    def __str__(self) -> str:
        return f"What answers at {self.url} is no Hotseat server ({self.why}). Give the address that it printed."


@dataclass(eq=False)
class TokenRefused(LoadError):
    """A server that lets nobody in without its token. Never says which token."""

    url: str
    shown: bool
    code: ClassVar[str] = "token_refused"

    def __str__(self) -> str:
        wants = "another token than the one that was shown" if self.shown else "a token"
        return f"The server at {self.url} wants {wants}: --token, or HOTSEAT_TOKEN in the environment."


@dataclass(eq=False)
class LacksName(LoadError):
    """A game or model of the recording that the server does not have."""

    url: str
    kind: str
    name: str
    known: tuple[str, ...]
    code: ClassVar[str] = "lacks_name"

    def __str__(self) -> str:
        there = f"it has {', '.join(self.known)}" if self.known else f"it has no {self.kind} at all"
        how = (
            "Start it with --games, and the folder that holds the game's."
            if self.kind == "game"
            else "Name one of its own with --model."
        )
        return f"The server at {self.url} has no {self.kind} {self.name!r}; {there}. {how}"


@dataclass(eq=False)
class NobodyLetIn(LoadError):
    """A match that the server opened for none of the copies. `why` is its sentence."""

    copies: int
    why: str
    code: ClassVar[str] = "nobody_let_in"

    def __str__(self) -> str:
        who = "the match" if self.copies == 1 else f"any of the {self.copies} copies of the match"
        return f"The server did not open {who}: {self.why}"


@dataclass(eq=False)
class NoTimes(LoadError):
    """A recording whose lines all carry one time, so that it has no pace."""

    code: ClassVar[str] = "no_times"

    def __str__(self) -> str:
        return (
            "The recording has no times (all its messages carry the same), so it cannot be played at its pace. "
            "Play it with --pace closed: each message as soon as the one before is answered."
        )


@dataclass(eq=False)
class BadPace(LoadError):
    """A pace that is neither a word we know nor a number above zero."""

    text: str
    code: ClassVar[str] = "bad_pace"

    def __str__(self) -> str:
        return (
            f"{self.text!r} is no pace: give `closed` (each message after the answer to the one before), `recorded`, "
            "or how many times as fast as recorded, as 2 or 0.5."
        )


@dataclass(eq=False)
class ServerLost(LoadError):
    """A connection that ended while a recording was played."""

    url: str
    close_code: int | None
    reason: str
    code: ClassVar[str] = "server_lost"
    retryable: ClassVar[bool] = True

    def __str__(self) -> str:
        how = "without a word" if self.close_code is None else f"with code {self.close_code}"
        said = f": {self.reason}" if self.reason else ""
        return f"The server at {self.url} ended the connection {how}{said}."
