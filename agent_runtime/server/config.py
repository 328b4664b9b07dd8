"""How a server is set up: where it listens, who may connect, and how much a connection may ask."""

from pydantic import BaseModel, ConfigDict, Field

MEBIBYTE = 1 << 20


class Limits(BaseModel):
    """What one connection may ask; told to every client in `welcome`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    message_bytes: int = Field(default=4 * MEBIBYTE, gt=0)
    """Larger messages are refused unread; the connection lives on up to four times this size, then ends with 1009."""
    matches: int = Field(default=64, gt=0)
    """Matches open on one connection."""
    sessions: int = Field(default=1024, gt=0)
    """Sessions open on one connection."""
    turns: int = Field(default=256, gt=0)
    """Turns under way on one connection; the next one is answered `overloaded`."""
    actions: int = Field(default=1024, gt=0)
    """Actions listed in one turn."""
    action_chars: int = Field(default=2000, gt=0)
    """Characters of one action's id and text."""
    waiting: int = Field(default=256, gt=0)
    """Messages read ahead while earlier ones are still being handled; then the socket is not read."""
    outgoing_messages: int = Field(default=4096, gt=0)
    """Answers waiting for a slow reader; one more and the connection ends with 1013."""
    outgoing_bytes: int = Field(default=32 * MEBIBYTE, gt=0)
    """Characters of answers waiting for a slow reader; more than that and the connection ends with 1013."""


class ServerConfig(BaseModel):
    """Where the server listens and who may connect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    """Any address that other machines can reach needs a token."""
    port: int = Field(default=8765, ge=0, le=65535)
    """0 takes any free port; the line printed at the start names it."""
    token: str | None = Field(default=None, repr=False)
    """What clients show as `Authorization: Bearer` or in their hello; None only on loopback."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages that may connect, as `https://example.org`; those on loopback may when the server is on loopback."""
    hello_s: float = Field(default=10.0, gt=0)
    """How long a new connection may take to say hello."""
    ping_s: float = Field(default=20.0, gt=0)
    """A connection is pinged this often, and ended when the answer takes as long again."""
    close_s: float = Field(default=2.0, gt=0)
    """How long the other side may take to agree to a close."""
    drain_s: float = Field(default=5.0, gt=0)
    """How long a server that was asked to stop may take until everything is on disk."""
    running_turns: int = Field(default=512, gt=0)
    """Turns under way in the whole server; the next one is answered `overloaded`."""
    limits: Limits = Limits()
    """What one connection may ask."""
