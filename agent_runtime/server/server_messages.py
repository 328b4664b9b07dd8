"""What the server sends. Clients ignore types and fields that they do not know.

`reply_to` echoes the `id` of the client's message. A field that is null is left out.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from agent_runtime.server.client_messages import MessageId
from agent_runtime.server.config import Limits
from agent_runtime.turn import Account, Action, Mode, Outcome, Score


class ServerPart(BaseModel):
    """A part of a server's message: frozen; a client that is older than the server drops what it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ServerMessage(ServerPart):
    """A server's message. `reply_to` is the `id` of the message it answers, when that had one."""

    type: str
    reply_to: MessageId | None = None

    def encode(self) -> str:
        """The message as it goes on the wire."""
        return self.model_dump_json(exclude_none=True)


class ModelInfo(ServerPart):
    """A model by the name that `match.open` takes. `block_tuned`: trained to read blocks that do not see each other."""

    name: str
    block_tuned: bool


class GameInfo(ServerPart):
    """A game by the name that `match.open` takes, with the personas that `session.open` takes."""

    name: str
    title: str | None = None
    personas: tuple[str, ...] = ()


class Welcome(ServerMessage):
    """The answer to hello."""

    type: Literal["welcome"] = "welcome"
    protocol: str
    server: str
    limits: Limits
    models: tuple[ModelInfo, ...]
    games: tuple[GameInfo, ...]


class MatchOpened(ServerMessage):
    """The match is there. Without `frame` it has no state yet; `resumed`: it was known before."""

    type: Literal["match.opened"] = "match.opened"
    match: str
    game: str
    model: str
    block_tuned: bool
    mode: Mode
    resumed: bool
    frame: int | None = None


class MatchApplied(ServerMessage):
    """The state was taken; these blocks changed."""

    type: Literal["match.applied"] = "match.applied"
    match: str
    frame: int
    added: tuple[str, ...]
    replaced: tuple[str, ...]
    removed: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class MatchClosed(ServerMessage):
    """The match and its sessions are over."""

    type: Literal["match.closed"] = "match.closed"
    match: str


class SessionOpened(ServerMessage):
    """The session is there and takes turns; `session.ready` follows when its blocks are encoded."""

    type: Literal["session.opened"] = "session.opened"
    session: str
    match: str
    resumed: bool
    last_turn_id: int | None = None


class SessionReady(ServerMessage):
    """Everything that the session sees is encoded. Counts are tokens; `shared` were there already."""

    type: Literal["session.ready"] = "session.ready"
    session: str
    tokens: int
    encoded: int
    loaded: int
    shared: int
    ms: float


class SessionClosed(ServerMessage):
    """The session is over."""

    type: Literal["session.closed"] = "session.closed"
    session: str


class BlockReady(ServerMessage):
    """A private block was taken and everything that the session sees is encoded."""

    type: Literal["block.ready"] = "block.ready"
    session: str
    name: str
    tokens: int
    encoded: int
    loaded: int
    shared: int
    ms: float


class TurnPartial(ServerMessage):
    """A piece of free text as it is decoded; the turn's result has the whole."""

    type: Literal["turn.partial"] = "turn.partial"
    session: str
    turn_id: int
    kind: Literal["think", "say"]
    text: str


class TurnResult(ServerMessage):
    """The one answer to a turn. Only `ok` and `truncated` carry an action; nothing is ever substituted."""

    type: Literal["turn.result"] = "turn.result"
    session: str
    turn_id: int
    outcome: Outcome
    action: Action | None = None
    scores: tuple[Score, ...] = ()
    legal_mass: float | None = None
    think: str | None = None
    say: str | None = None
    message: str | None = None
    late: bool | None = None
    account: Account | None = None


class TurnNoted(ServerMessage):
    """The answer to turn.applied and turn.cancel. `over`: there was nothing left to cancel."""

    type: Literal["turn.noted"] = "turn.noted"
    session: str
    turn_id: int
    what: Literal["applied", "cancelling", "over"]


class Flushed(ServerMessage):
    """Everything the match had asked to keep when the flush came is on disk."""

    type: Literal["flushed"] = "flushed"
    match: str
    blocks: int
    bytes: int
    ms: float


class Error(ServerMessage):
    """A message that was refused. `retryable`: the same message may succeed later.

    `match`, `session` and `turn_id` repeat what the refused message named, so that it is known without an `id`.
    """

    type: Literal["error"] = "error"
    code: str
    message: str
    retryable: bool
    match: str | None = None
    session: str | None = None
    turn_id: int | None = None


SERVER_MESSAGES: tuple[type[ServerMessage], ...] = (
    Welcome,
    MatchOpened,
    MatchApplied,
    MatchClosed,
    SessionOpened,
    SessionReady,
    SessionClosed,
    BlockReady,
    TurnPartial,
    TurnResult,
    TurnNoted,
    Flushed,
    Error,
)
