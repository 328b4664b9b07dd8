"""A turn as the runtime sees it: what is asked, what comes out, and what it cost. One frozen type per arrow."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

Json = Any
_encode = json.JSONEncoder(separators=(",", ":")).encode
How = Literal["best", "sample", "distribution"]


class Mode(StrEnum):
    """How a prompt is attended. The prompt and its token ids are the same in all four."""

    STAR = "star"
    ANCHORED = "anchored"
    FULL = "full"
    PREFIX = "prefix"


class Outcome(StrEnum):
    """How a turn ended. Nothing is ever substituted silently: only `OK` and `TRUNCATED` can carry an action."""

    OK = "ok"
    TRUNCATED = "truncated"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    OVERLOADED = "overloaded"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class ActionOption:
    """One legal action: its id is what the model writes, its text explains it, its schema describes its parameters."""

    id: str
    text: str = ""
    schema: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Decide:
    """How the action is chosen among the legal ones.

    `temperature` and `seed` matter to `sample` and to the probabilities shown; `think_tokens` and `say_tokens` bound
    the free text before and after the decision (0: none).
    """

    how: How = "best"
    temperature: float = 1.0
    seed: int | None = None
    think_tokens: int = 0
    say_tokens: int = 0


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One question to one session about one frame of its match."""

    session: str
    turn_id: int
    frame: int
    observation: str
    actions: tuple[ActionOption, ...]
    decide: Decide = Decide()


def body_digest(request: TurnRequest) -> str:
    """What two turns under one turn_id must share to be the same question; the order of a schema's keys counts."""
    actions = [[each.id, each.text, None if each.schema is None else dict(each.schema)] for each in request.actions]
    decide = request.decide
    how = [decide.how, decide.temperature, decide.seed, decide.think_tokens, decide.say_tokens]
    body = [request.session, request.turn_id, request.frame, request.observation, actions, how]
    return hashlib.blake2b(_encode(body).encode("ascii"), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Action:
    """What the agent does; `args` is None for an action without parameters."""

    id: str
    args: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One legal action's exact log-probability (nats, temperature 1) and its share `p` at the asked temperature."""

    id: str
    logprob: float
    p: float
    args: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class BlockUse:
    """What became of one block that was not simply resident: how it came into the pool, and why it had to."""

    name: str
    how: Literal["loaded", "encoded"]
    tokens: int
    why: str


@dataclass(frozen=True, slots=True)
class Account:
    """What a turn cost. Times in milliseconds, everything else in tokens (= model forward rows) or counts.

    `tokens_computed` = `encoded` + `observation` + `scored` + `decoded`: rows of a model forward, checked against an
    independent count. `appended` tokens were forced by a schema and had no forward; `padding` rows carry no token.
    `ttft_ms` runs from the turn's arrival to its decision or first token; `overhead_ms` is the runtime's own share.
    """

    mode: Mode
    model: str
    block_tuned: bool
    blocks_hit: int = 0
    blocks_loaded: int = 0
    blocks_encoded: int = 0
    changed: tuple[BlockUse, ...] = ()
    not_durable: tuple[str, ...] = ()
    tokens_prompt: int = 0
    tokens_cached: int = 0
    tokens_computed: int = 0
    encoded: int = 0
    observation: int = 0
    scored: int = 0
    decoded: int = 0
    appended: int = 0
    padding: int = 0
    forwards: int = 0
    queue_ms: float = 0.0
    engine_ms: float = 0.0
    overhead_ms: float = 0.0
    ttft_ms: float = 0.0
    total_ms: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TurnResult:
    """A turn's answer. `action` is None unless the outcome is `OK` or `TRUNCATED`."""

    session: str
    turn_id: int
    outcome: Outcome
    action: Action | None = None
    scores: tuple[Score, ...] = ()
    legal_mass: float | None = None
    think: str | None = None
    say: str | None = None
    message: str | None = None
    account: Account | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class TurnApplied:
    """What the game did with a turn's action: history holds this, not what the agent wished."""

    session: str
    turn_id: int
    ok: bool
    message: str | None = None
    reward: float | None = None
    action: Action | None = None


@dataclass(frozen=True, slots=True)
class Partial:
    """A piece of free text as it is decoded."""

    kind: Literal["think", "say"]
    text: str


@dataclass(frozen=True, slots=True)
class MatchSpec:
    """A match to open, or to take up again if the store knows it.

    Blocks and prefixes are shared only among matches of equal `cache_salt`.
    """

    match: str
    game: str
    model: str | None = None
    mode: Mode | Literal["auto"] = "auto"
    cache_salt: str = ""


@dataclass(frozen=True, slots=True)
class MatchOpened:
    """What a match starts from: `frame` is None when it has no state yet."""

    match: str
    game: str
    model: str
    block_tuned: bool
    mode: Mode
    resumed: bool
    frame: int | None


@dataclass(frozen=True, slots=True)
class FrameChange:
    """What one new frame did to the blocks of its match."""

    match: str
    frame: int
    added: tuple[str, ...]
    replaced: tuple[str, ...]
    removed: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """A session to open, or to take up again.

    `sight` is a list of JSON Pointer patterns of what of the state the session may see, evaluated in order, the last
    match wins, `!` excludes; empty means everything. `persona` names one of the game's, `persona_text` is inline.
    `history_turns` None takes the game's own number.
    """

    session: str
    match: str
    sight: tuple[str, ...] = ()
    persona: str | None = None
    persona_text: str | None = None
    history_turns: int | None = None


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The session exists; its blocks may still be on their way (`SessionReady` follows)."""

    session: str
    match: str
    resumed: bool
    last_turn_id: int | None


@dataclass(frozen=True, slots=True)
class SessionReady:
    """All blocks that the session sees are resident. Token counts; `shared` were resident already."""

    session: str
    tokens: int
    encoded: int
    loaded: int
    shared: int
    ms: float


@dataclass(frozen=True, slots=True)
class FlushReport:
    """Everything that the match had asked to keep when the flush came is now on disk."""

    match: str
    blocks: int
    bytes: int
    ms: float


@dataclass(slots=True)
class Ledger:
    """Forward rows and forwards spent in the background: prefetched blocks and history, never part of a turn."""

    rows: int = 0
    forwards: int = 0
