"""What a client sends. Unknown fields are refused; a message may carry an `id`, which its answers echo as `reply_to`.

In both directions a field that is null may be left out: null and absent mean the same.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agent_runtime import turn
from agent_runtime.turn import Action, ActionOption, Decide, How, Json, MatchSpec, Mode, SessionSpec, TurnRequest

MessageId = int | Annotated[str, Field(max_length=128)]
# Letters and digits of any script and a little punctuation, never a path separator: names also name folders.
Name = Annotated[str, Field(pattern=r"^\w[\w .:@+-]*$", max_length=128)]
BlockName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=200)]
# What a double holds exactly, so that every client language reads the number that was sent.
Counter = Annotated[int, Field(ge=0, le=2**53 - 1)]
OnDeadline = Literal["timeout", "late"]


class ClientPart(BaseModel):
    """A part of a client's message: frozen, strict in types, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ClientMessage(ClientPart):
    """A client's message. `id` is the client's own; answers carry it as `reply_to`."""

    type: str
    id: MessageId | None = None

    def encode(self) -> str:
        """The message as it goes on the wire."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


class Hello(ClientMessage):
    """The first message of a connection."""

    type: Literal["hello"] = "hello"
    protocol: str
    client: str | None = Field(default=None, max_length=200)
    token: str | None = Field(default=None, repr=False)


class MatchOpen(ClientMessage):
    """Open a match, or take up one that the server or its disk still knows.

    Matches of one game share what was computed of equal texts, unless their `cache_salt` differs: then none finds, or
    learns by its times, what another has sent. To take a match up again takes the same one.
    """

    type: Literal["match.open"] = "match.open"
    match: Name
    game: str
    model: str | None = None
    mode: Literal["auto", "star", "anchored", "full", "prefix"] = "auto"
    cache_salt: str | None = Field(default=None, max_length=128, repr=False)

    def spec(self) -> MatchSpec:
        """The same as the runtime takes it."""
        mode: Mode | Literal["auto"] = "auto" if self.mode == "auto" else Mode(self.mode)
        return MatchSpec(self.match, self.game, self.model, mode, self.cache_salt or "")


class MatchState(ClientMessage):
    """The state of a match at one frame: whole, or as an RFC 6902 patch of the frame before.

    `base` is the frame that the patch was made of; a match that is at another one (a server that was killed may have
    lost the last frames) refuses it instead of patching what the game does not mean.
    """

    type: Literal["match.state"] = "match.state"
    match: Name
    frame: Counter
    state: dict[str, Json] | list[Json] | None = None
    patch: list[dict[str, Json]] | None = None
    base: Counter | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "MatchState":
        if (self.state is None) == (self.patch is None):
            found = "neither 'state' nor 'patch'" if self.state is None else "both 'state' and 'patch'"
            raise ValueError(
                f"has {found}: give exactly one of them, the whole 'state' (an object or array) or a 'patch' of the "
                "frame before (an array of RFC 6902 operations)"
            )
        if self.base is not None and self.patch is None:
            raise ValueError("has a 'base' and no 'patch': it is the frame that a patch was made of, so leave it out")
        return self


class MatchClose(ClientMessage):
    """End a match and its sessions."""

    type: Literal["match.close"] = "match.close"
    match: Name


class SessionOpen(ClientMessage):
    """Open a session in a match, or take it up again; its blocks begin to be encoded at once.

    `on_deadline`: with `timeout` a turn that is not decided at its deadline is answered without an action and its
    action never comes; with `late` its one answer comes when it is decided, marked `late`.
    """

    type: Literal["session.open"] = "session.open"
    session: Name
    match: Name
    sight: Annotated[tuple[str, ...], Field(strict=False)] = ()
    persona: str | None = None
    persona_text: str | None = None
    history_turns: Counter | None = None
    on_deadline: OnDeadline = "timeout"

    @model_validator(mode="after")
    def _one_persona(self) -> "SessionOpen":
        if self.persona is not None and self.persona_text is not None:
            raise ValueError("has both 'persona' (a name of the game's) and 'persona_text': give one of them, not both")
        return self

    def spec(self) -> SessionSpec:
        """The same as the runtime takes it."""
        return SessionSpec(self.session, self.match, self.sight, self.persona, self.persona_text, self.history_turns)


class SessionClose(ClientMessage):
    """End a session."""

    type: Literal["session.close"] = "session.close"
    session: Name


class BlockPut(ClientMessage):
    """Add or replace a private block of a session; without a text it is removed."""

    type: Literal["block.put"] = "block.put"
    session: Name
    name: BlockName
    text: str | None = None


class ListedAction(ClientPart):
    """One legal action: its id is what the model writes, its text explains it, its schema describes its parameters."""

    id: str
    text: str = ""
    schema_: Mapping[str, Json] | None = Field(default=None, alias="schema")


class HowToDecide(ClientPart):
    """How the action is chosen; `Decide` of agent_runtime.turn, as the wire has it."""

    how: How = "best"
    temperature: float = Field(default=1.0, gt=0)
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    think_tokens: Counter = 0
    say_tokens: Counter = 0


class Turn(ClientMessage):
    """A question to one session about one frame. Sent again with an equal body, it is answered with the same result."""

    type: Literal["turn"] = "turn"
    session: Name
    turn_id: Counter
    frame: Counter
    observation: str
    actions: Annotated[tuple[ListedAction, ...], Field(strict=False)]
    decide: HowToDecide = HowToDecide()
    deadline_ms: float | None = Field(default=None, gt=0)

    def request(self) -> TurnRequest:
        """The same as the runtime takes it. The deadline stays with the server."""
        return TurnRequest(
            session=self.session,
            turn_id=self.turn_id,
            frame=self.frame,
            observation=self.observation,
            actions=tuple(ActionOption(each.id, each.text, each.schema_) for each in self.actions),
            decide=Decide(
                self.decide.how,
                self.decide.temperature,
                self.decide.seed,
                self.decide.think_tokens,
                self.decide.say_tokens,
            ),
        )


class TurnCancel(ClientMessage):
    """Stop deciding a turn; its result comes as `cancelled`, unless it was decided already."""

    type: Literal["turn.cancel"] = "turn.cancel"
    session: Name
    turn_id: Counter


class AppliedAction(ClientPart):
    """What the game did, where it differs from what the agent chose."""

    id: str
    args: Mapping[str, Json] | None = None


class TurnApplied(ClientMessage):
    """What became of a turn's action; history holds this, and with `ok` false the message joins the next attempt."""

    type: Literal["turn.applied"] = "turn.applied"
    session: Name
    turn_id: Counter
    ok: bool
    message: str | None = None
    reward: float | None = None
    action: AppliedAction | None = None

    def applied(self) -> turn.TurnApplied:
        """The same as the runtime takes it."""
        action = None if self.action is None else Action(self.action.id, self.action.args)
        return turn.TurnApplied(self.session, self.turn_id, self.ok, self.message, self.reward, action)


class Flush(ClientMessage):
    """Ask for an answer when everything the match has asked to keep is on disk."""

    type: Literal["flush"] = "flush"
    match: Name
    timeout_ms: float = Field(default=30_000, gt=0, le=600_000)


CLIENT_MESSAGES: tuple[type[ClientMessage], ...] = (
    Hello,
    MatchOpen,
    MatchState,
    MatchClose,
    SessionOpen,
    SessionClose,
    BlockPut,
    Turn,
    TurnCancel,
    TurnApplied,
    Flush,
)
