"""Players: each plays one copy of the match in one mode, under names of its own.

In the closed loop a player sends a message when the one before has been answered to the end (a session's blocks are
encoded, a turn is decided). In the open loop it sends each message when it is due, whatever the answers do, and a
turn's latency counts from then: a server that stalls is measured by every turn that it kept waiting, not only by the
one that it answered late, and a sender that comes late itself adds to the latency. Only what cannot be said sooner
waits for answers: what is behind the opening of the match, what became of a turn, and the end of a session or match
whose turns are under way.

A deadline goes out with its turn in the open loop only. In the closed loop every turn is played to its end, so that
modes can be compared, and the deadline is judged here.
"""

import asyncio
import hashlib
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from agent_runtime.replay.load.errors import ServerLost
from agent_runtime.replay.load.options import LoadOptions
from agent_runtime.replay.load.script import AskedTurn, Cue, Script
from agent_runtime.replay.load.spare import SpareTime
from agent_runtime.replay.load.tally import DECIDED, AnsweredTurn, Measured, Tally, sample_turn
from agent_runtime.replay.load.wire import Question, Wire, sleep_until, wait_for
from agent_runtime.server import server_messages as s2c
from agent_runtime.turn import Mode

# By a message's type, that of its last answer.
_LAST_ANSWERS = {
    "match.open": "match.opened",
    "match.state": "match.applied",
    "match.close": "match.closed",
    "session.open": "session.ready",
    "session.close": "session.closed",
    "block.put": "block.ready",
    "turn": "turn.result",
    "turn.applied": "turn.noted",
}
_CLOSINGS = ("session.close", "match.close")
_NO_BLOCK = b'"type":"block.put","name":"nothing"}'
_MOST_CHARS = 128
# Of these a server that is overrun still hears what became of them, and refuses it.
_MOST_UNDECIDED = 1024


@dataclass(frozen=True, slots=True)
class Names:
    """What a player calls matches and sessions: nobody else's names, and still to be recognised in a server's log."""

    prefix: str

    def of(self, name: str) -> str:
        """Return the player's own name for a recorded one; no longer than the protocol allows."""
        whole = f"{self.prefix}.{name}"
        if len(whole) <= _MOST_CHARS:
            return whole
        digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        return f"{whole[: _MOST_CHARS - len(digest) - 1]}.{digest}"


@dataclass(eq=False, slots=True)
class Player:
    """One copy of the match in one mode, on one connection.

    `began` is the zero of the run, `on_turn` hears of every turn that was answered. `opened` is what the server said of
    the match, `shut_out` why it did not open it, `failed` what went wrong in the open loop where nobody waited for it.
    """

    wire: Wire
    script: Script
    names: Names
    mode: Mode | Literal["auto"]
    model: str | None
    options: LoadOptions
    tally: Tally
    copy: int = 0
    began: float = 0.0
    on_turn: Callable[[AnsweredTurn], None] = lambda turn: None
    opened: s2c.MatchOpened | None = None
    shut_out: str | None = None
    failed: BaseException | None = None
    spare: SpareTime = field(default_factory=SpareTime)
    # By its recorded name, the frame that opened a match which is still to be closed.
    _open_matches: dict[str, bytes] = field(default_factory=dict)
    _waiting: dict[Question, Cue] = field(default_factory=dict)
    _turns: dict[tuple[str, int], Question] = field(default_factory=dict)
    # The last turns without a decision: nothing can be applied that was not chosen.
    _undecided: deque[tuple[str, int]] = field(default_factory=lambda: deque(maxlen=_MOST_UNDECIDED))
    _held: "set[asyncio.Task[None]]" = field(default_factory=set)

    @property
    def has_open_matches(self) -> bool:
        """Return whether the server still keeps a match that this player has opened."""
        return bool(self._open_matches)

    async def play_closed(self) -> None:
        """Play the whole script, each message after the answer to the one before. Raises ServerLost and NoAnswer."""
        for cue in self.script.cues():
            await self.take(cue)
            if self.shut_out is not None:
                return

    async def take(self, cue: Cue) -> AnsweredTurn | None:
        """Send one message and wait until it has been answered to the end; return what came of a turn."""
        if self._is_void(cue):
            return None
        question = await self._say(cue)
        await wait_for(question, self.options.answer_s)
        self._hear(cue, question)
        if cue.turn is None:
            return None
        return self._measure(cue, cue.turn, question, None, time.perf_counter() - question.answered_at)

    async def settle(self, cue: Cue) -> None:
        """Return when nothing is computed any more that a message has set off in the background.

        A block that is not there is removed: the server answers when all that the session sees is encoded. Only the
        block modes encode history ahead of its first turn.
        """
        if cue.kind == "turn.applied" and self.opened is not None and self.opened.mode in (Mode.STAR, Mode.ANCHORED):
            frame = _members(session=self.names.of(cue.session or "")) + _NO_BLOCK
            await self.wire.ask("block.put", "block.ready", frame, self.options.answer_s)

    async def play_open(self, pace: float, offset_s: float) -> None:
        """Play the whole script at `pace` times the recorded one, beginning `offset_s` after the run.

        Raises ServerLost and NoAnswer.
        """
        for cue in self.script.cues():
            due = self.began + offset_s + cue.at_ms / 1e3 / pace
            frame = self._frame(cue)  # when it is due, it is ready
            self.spare.expect(self, due)
            await sleep_until(due)
            if cue.kind == "turn.applied" and (turn := self._turn_of(cue)) is not None:
                held = asyncio.create_task(self._say_behind(turn, cue))
                self._held.add(held)
                held.add_done_callback(self._let_go)
                continue
            if self._is_void(cue):
                continue
            if cue.kind in _CLOSINGS:
                self.spare.expect(self, None)
                await self._end_of_turns(cue)
            question = await self._say(cue, frame)
            question.when_answered(partial(self._hear_in_time, cue, question, due))
            if cue.kind == "match.open":
                self.spare.expect(self, None)
                await wait_for(question, self.options.answer_s)
                if self.shut_out is not None:
                    return
        self.spare.expect(self, None)
        while self._waiting or self._held:
            await asyncio.gather(*self._held)
            if self._waiting:
                await wait_for(next(iter(self._waiting)), self.options.answer_s)

    async def close(self, wire: Wire, answer_s: float) -> None:
        """Close the matches that are still open, over any connection to the server. Raises ServerLost and NoAnswer."""
        for held in self._held:
            held.cancel()
        for match, opening in list(self._open_matches.items()):
            if wire is not self.wire:  # whoever closes a match must have opened it
                await wire.ask("match.open", "match.opened", opening, answer_s)
            closing = _members(match=self.names.of(match)) + b'"type":"match.close"}'
            await wire.ask("match.close", "match.closed", closing, answer_s)
            del self._open_matches[match]

    def _frame(self, cue: Cue) -> bytes:
        """Return a message in this player's names, but for its id and the brace before it."""
        members: dict[str, str | float] = {}
        body = cue.body
        if cue.match is not None:
            members["match"] = self.names.of(cue.match)
        if cue.session is not None:
            members["session"] = self.names.of(cue.session)
        if cue.kind == "match.open":
            assert cue.match is not None
            members |= {"mode": str(self.mode)} | ({} if self.model is None else {"model": self.model})
            body = self._salted(cue.body)
        if cue.turn is not None and self.options.pace is not None:
            if (deadline_ms := self._deadline_ms(cue.turn)) is not None:
                members["deadline_ms"] = deadline_ms
        return _members(**members) + body[1:]

    async def _say(self, cue: Cue, frame: bytes | None = None) -> Question:
        """Send a message; its `frame` may have been made before."""
        frame = self._frame(cue) if frame is None else frame
        if cue.kind == "match.open":
            assert cue.match is not None
            self._open_matches[cue.match] = frame
        if cue.turn is not None:
            self.tally.ask(time.perf_counter())
        question = await self.wire.send(cue.kind, _LAST_ANSWERS[cue.kind], frame)
        self._waiting[question] = cue
        if cue.turn is not None and cue.session is not None:
            self._turns[cue.session, cue.turn.turn_id] = question
        return question

    def _salted(self, opening: bytes) -> bytes:
        """Return the message that opens a match, with a salt that no other copy has, if copies are not to share."""
        if not self.options.has_own_salts:
            return opening
        return to_json({**from_json(opening), "cache_salt": self.names.prefix})

    def _is_void(self, cue: Cue) -> bool:
        """Return whether a message is about a turn that brought no decision, and count it."""
        turn = cue.session or "", cue.turn_id or 0
        if cue.kind != "turn.applied" or turn not in self._undecided:
            return False
        self._undecided.remove(turn)
        self.tally.not_applied += 1
        return True

    def _deadline_ms(self, turn: AskedTurn) -> float | None:
        return turn.deadline_ms if self.options.deadline_ms is None else self.options.deadline_ms

    def _turn_of(self, cue: Cue) -> Question | None:
        """Return the turn that a message is about, if it is under way."""
        assert cue.session is not None and cue.turn_id is not None
        return self._turns.get((cue.session, cue.turn_id))

    async def _end_of_turns(self, closing: Cue) -> None:
        """Wait for the turns that a closing would cut off; what is behind it comes late then, and says so."""
        for (session, _), question in list(self._turns.items()):
            if closing.session in (None, session):
                await wait_for(question, self.options.answer_s)

    async def _say_behind(self, turn: Question, cue: Cue) -> None:
        await wait_for(turn, self.options.answer_s)
        await self.take(cue)

    def _let_go(self, held: "asyncio.Task[None]") -> None:
        self._held.discard(held)
        error = None if held.cancelled() else held.exception()
        self.failed = self.failed or error

    def _hear_in_time(self, cue: Cue, question: Question, due: float) -> None:
        """Take up at once of an answer what other messages wait for, and the rest when there is time."""
        self._hear(cue, question)
        if cue.turn is not None:
            heard_s = time.perf_counter() - question.answered_at
            self.spare.put(partial(self._measure_in_time, cue, cue.turn, question, due, heard_s))

    def _hear(self, cue: Cue, question: Question) -> None:
        """Take up what an answer says of the messages that follow."""
        del self._waiting[question]
        refusal = question.refusal
        if cue.kind == "match.open" and refusal is None:
            try:
                self.opened = s2c.MatchOpened.model_validate(question.answer)
            except ValidationError:
                raise self.wire.give_up() from None
        elif cue.kind == "match.open" and self.opened is None:
            self.shut_out = refusal
            self._open_matches.clear()
        elif refusal is not None:
            self.tally.refuse(refusal)
        elif cue.kind == "match.close":
            self._open_matches.pop(cue.match or "", None)
        if cue.turn is not None:
            name = cue.session or "", cue.turn.turn_id
            self._turns.pop(name, None)
            self.tally.answer(question.answered_at)
            if refusal is not None or (question.answer or {}).get("outcome") not in DECIDED:
                self._undecided.append(name)

    def _measure_in_time(self, cue: Cue, turn: AskedTurn, question: Question, due: float, heard_s: float) -> None:
        try:
            self._measure(cue, turn, question, due, heard_s)
        except ServerLost as lost:
            self.failed = self.failed or lost

    def _measure(
        self, cue: Cue, turn: AskedTurn, question: Question, due: float | None, heard_s: float
    ) -> AnsweredTurn:
        """Make a sample of a turn that was answered. `due` is when it was due in the open loop, `heard_s` what hearing
        its answer took. Raises ServerLost for what is no result."""
        assert cue.session is not None
        began = time.perf_counter()
        try:
            result = None if question.refusal is not None else s2c.TurnResult.model_validate(question.answer)
        except ValidationError:
            raise self.wire.give_up() from None
        first = question.piece_at or question.answered_at
        zero = question.said_at if due is None else due
        at = Measured(
            first_ms=1e3 * (first - zero),
            answer_ms=1e3 * (question.answered_at - zero),
            due_ms=None if due is None else 1e3 * (due - self.began),
            late_ms=None if due is None else 1e3 * (question.sent_at - due),
            replayer_ms=1e3 * (time.perf_counter() - began + heard_s + question.sent_at - question.said_at),
        )
        sample = sample_turn(cue.session, turn, result, at, self._deadline_ms(turn), self.copy)
        if result is not None and result.account is not None:
            self.tally.sums.add(1e3 * (first - question.said_at), result.account)
            self.tally.num_other_length += turn.num_tokens not in (None, result.account.tokens_prompt)
        answered = AnsweredTurn(sample, result)
        self.on_turn(answered)
        return answered


def _members(**named: str | float) -> bytes:
    """Return JSON members, each with a comma behind it."""
    return b"".join(
        b"%s:%s," % (json.dumps(name).encode(), json.dumps(value).encode()) for name, value in named.items()
    )
