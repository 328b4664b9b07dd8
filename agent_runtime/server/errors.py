"""The server's errors: what a peer on the wire or the way it was started can cause.

HotseatError (agent_runtime.errors)
├── MessageError             a message that is answered by an `error`; the connection lives on
│   ├── MalformedMessage     not JSON, not an object, or a number that is not finite
│   ├── UnknownType          no message type of that name
│   ├── UnknownField         a field that the message does not have
│   ├── BadField             a field that is missing or has the wrong type or value
│   ├── BadCombination       fields that exclude each other, or of which one is needed
│   ├── MessageTooBig        more bytes than the limit
│   ├── NotOpen              a match or session that was not opened on this connection
│   ├── TooMany              more matches or sessions on one connection than the limit
│   ├── ShuttingDown         the server is about to stop
│   ├── BadGame              the game's files, or a pattern for them, cannot be used
│   └── ServerFault          the server failed on the message; its log has the details
├── ConnectionRefused        ends the connection; `close_code` is the WebSocket's
│   ├── HelloExpected        the first message was something else, or none came in time
│   ├── UnsupportedProtocol  a hello for another protocol
│   ├── Unauthorised         no token, or a wrong one
│   └── BinaryRefused        a binary frame
├── StartError               the server does not start
│   ├── TokenRequired        a bind that other machines can reach, without a token
│   ├── BadToken             a token that is too short, or that no HTTP header can carry
│   ├── CannotBind           the address is not ours, or may not be used
│   └── PortInUse            another server listens there
└── ClientError              raised by `client.Client`
    ├── ServerError          the server answered with an `error`
    ├── NoAnswer             no answer in time; a late one is dropped, never taken for another
    └── ConnectionLost       the connection ended, with its code and reason
"""

from dataclasses import dataclass
from typing import ClassVar

from agent_runtime.errors import HotseatError


class MessageError(HotseatError):
    """A message that cannot be taken; it is answered by an `error` and changes nothing."""


@dataclass(eq=False)
class MalformedMessage(MessageError):
    """Text that is not one JSON object of finite numbers."""

    why: str
    code: ClassVar[str] = "malformed_message"

    def __str__(self) -> str:
        return f"A message is one JSON object with a 'type' (and finite numbers); this is not: {self.why}."


@dataclass(eq=False)
class UnknownType(MessageError):
    """A message type that the protocol does not have."""

    name: str
    nearest: str
    code: ClassVar[str] = "unknown_type"

    def __str__(self) -> str:
        return f"There is no message type {self.name!r}; the nearest known one is {self.nearest!r}."


@dataclass(eq=False)
class UnknownField(MessageError):
    """A field that the message, or an object within it, does not have."""

    type: str
    field: str
    nearest: str
    code: ClassVar[str] = "unknown_field"

    def __str__(self) -> str:
        return f"{self.type!r} has no field {self.field!r}; the nearest known one is {self.nearest!r}."


@dataclass(eq=False)
class BadField(MessageError):
    """A field that is missing, or whose type or value is not what the protocol says."""

    type: str
    field: str
    why: str
    code: ClassVar[str] = "bad_field"

    def __str__(self) -> str:
        return f"Field {self.field!r} of {self.type!r}: {self.why}."


@dataclass(eq=False)
class BadCombination(MessageError):
    """Fields that are each right and wrong together, or none of those of which one is needed. `why` names them."""

    type: str
    why: str
    code: ClassVar[str] = "bad_field"

    def __str__(self) -> str:
        return f"{self.type!r} {self.why}."


@dataclass(eq=False)
class MessageTooBig(MessageError):
    """A message over the size limit, which was not read."""

    size_bytes: int
    limit_bytes: int
    code: ClassVar[str] = "message_too_big"

    def __str__(self) -> str:
        return (
            f"The message has {self.size_bytes} bytes and the limit is {self.limit_bytes}; it was not read. "
            "Send the state as a patch, or raise the server's limit."
        )


@dataclass(eq=False)
class NotOpen(MessageError):
    """A match or session that this connection has not opened."""

    kind: str
    name: str
    nearest: str | None = None
    code: ClassVar[str] = "not_open"

    def __str__(self) -> str:
        hint = f" Did you mean {self.nearest!r}?" if self.nearest else ""
        return f"No {self.kind} {self.name!r} was opened on this connection: send {self.kind}.open first.{hint}"


@dataclass(eq=False)
class TooMany(MessageError):
    """More of something on one connection than the limit in `welcome`."""

    kind: str
    limit: int
    code: ClassVar[str] = "too_many"

    def __str__(self) -> str:
        return f"A connection holds at most {self.limit} {self.kind}: close some, or open a second connection."


@dataclass(eq=False)
class ShuttingDown(MessageError):
    """The server has been asked to stop and takes nothing new."""

    code: ClassVar[str] = "shutting_down"
    retryable: ClassVar[bool] = True

    def __str__(self) -> str:
        return "The server is shutting down. Connect again when it is back; matches and sessions go on from disk."


@dataclass(eq=False)
class BadGame(MessageError):
    """What the game's templates and rules, or a session's patterns, were refused with."""

    why: str
    code: ClassVar[str] = "bad_game"

    def __str__(self) -> str:
        return self.why


@dataclass(eq=False)
class ServerFault(MessageError):
    """A failure that is not the client's."""

    what: str
    code: ClassVar[str] = "server_fault"

    def __str__(self) -> str:
        return f"The server failed on this message ({self.what}); its log has the details. Other sessions go on."


class ConnectionRefused(HotseatError):
    """An error after which the connection is closed with `close_code`."""

    close_code: ClassVar[int] = 1008


@dataclass(eq=False)
class HelloExpected(ConnectionRefused):
    """Something else, or nothing, came where a hello had to come."""

    got: str
    code: ClassVar[str] = "hello_expected"

    def __str__(self) -> str:
        return f"The first message of a connection is a valid hello, and this was {self.got}."


@dataclass(eq=False)
class UnsupportedProtocol(ConnectionRefused):
    """A hello for a protocol that this server does not speak."""

    asked: str
    spoken: str
    code: ClassVar[str] = "unsupported_protocol"

    def __str__(self) -> str:
        return f"This server speaks {self.spoken!r}, not {self.asked!r}."


@dataclass(eq=False)
class Unauthorised(ConnectionRefused):
    """No token or a wrong one. Never says which token."""

    code: ClassVar[str] = "unauthorised"

    def __str__(self) -> str:
        return "This server needs its token: the header 'Authorization: Bearer ...', or the field 'token' of hello."


@dataclass(eq=False)
class BinaryRefused(ConnectionRefused):
    """A binary frame: the protocol is JSON text."""

    code: ClassVar[str] = "binary_refused"
    close_code: ClassVar[int] = 1003

    def __str__(self) -> str:
        return "Messages are JSON in text frames, and this was a binary frame."


class StartError(HotseatError):
    """Why the server does not start."""


@dataclass(eq=False)
class TokenRequired(StartError):
    """An address that other machines can reach, and no token."""

    host: str
    code: ClassVar[str] = "token_required"

    def __str__(self) -> str:
        return f"Other machines can reach {self.host!r}: set a token for the server (--token), or bind to 127.0.0.1."


@dataclass(eq=False)
class BadToken(StartError):
    """A token that is easily guessed, or that no HTTP header can carry. Never says which."""

    min_chars: int
    code: ClassVar[str] = "bad_token"

    def __str__(self) -> str:
        return f"The server's token needs at least {self.min_chars} characters, all of them printable ASCII."


@dataclass(eq=False)
class CannotBind(StartError):
    """The operating system refused the address."""

    host: str
    port: int
    why: str
    code: ClassVar[str] = "cannot_bind"

    def __str__(self) -> str:
        return (
            f"Cannot listen on {address(self.host, self.port)}: {self.why}. Give an address of this machine (--host) "
            "and a port that you may use (--port, 0 for any free one)."
        )


@dataclass(eq=False)
class PortInUse(StartError):
    """Another program has the address."""

    host: str
    port: int
    code: ClassVar[str] = "port_in_use"

    def __str__(self) -> str:
        return (
            f"Another server already has {address(self.host, self.port)}. Stop it, or choose another port "
            "(--port, 0 for any free one)."
        )


def address(host: str, port: int) -> str:
    """Host and port as URLs have them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class ClientError(HotseatError):
    """What `client.Client` raises."""


class ServerError(ClientError):
    """The server's `error`: its code, its sentence, and whether the same message may succeed later."""

    code: str  # type: ignore[misc]  # an instance's own, as the wire said
    retryable: bool  # type: ignore[misc]

    def __init__(self, code: str, message: str, retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable

    def __str__(self) -> str:
        return self.message


@dataclass(eq=False)
class NoAnswer(ClientError):
    """The answer did not come in time."""

    asked: str
    timeout_s: float
    code: ClassVar[str] = "no_answer"
    retryable: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"No answer to {self.asked!r} within {self.timeout_s:g} s. A late one will be dropped; ask again."


@dataclass(eq=False)
class ConnectionLost(ClientError):
    """The connection ended; sessions and turns under way outlive it."""

    close_code: int
    reason: str
    code: ClassVar[str] = "connection_lost"
    retryable: ClassVar[bool] = True

    def __str__(self) -> str:
        said = f": {self.reason}" if self.reason else ""
        return f"The connection ended with code {self.close_code}{said}. Connect again and open the sessions."
