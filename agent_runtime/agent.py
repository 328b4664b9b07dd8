"""One turn as its caller's thread sees it, every stage in order.

request -> checks -> prompt (a snapshot of the named frame) -> tokens and keys -> what the store has
        -> the engine's thread (`deciding.Script`): place blocks, ONE forward for new blocks + observation + all
           answers, decide
        -> result with its account
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field

from agent_runtime.actions import Answers
from agent_runtime.deciding import MAX_PARAMETER_TOKENS, Played, Script, Steps
from agent_runtime.engine.errors import PoolFull
from agent_runtime.engine.scheduler import Work
from agent_runtime.engine.text import TextEncoder
from agent_runtime.errors import HotseatError, PromptTooLong, StaleFrame
from agent_runtime.match import Session
from agent_runtime.token_blocks import TokenBlock, TokenPrompt
from agent_runtime.turn import Account, Decide, Mode, Outcome, Partial, TurnRequest, TurnResult
from prompts import ObservationInput, assemble

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class PendingTurn:
    """A turn about one frame, its prompt already taken: later frames do not touch it. `run` it on any thread."""

    session: Session
    request: TurnRequest
    prompt: TokenPrompt
    answers: Answers
    arrived: float
    deadline: float
    length_normalised: bool = False
    body_digest: str = ""
    warnings: list[str] = field(default_factory=list)
    on_end: Callable[[Session], None] = lambda session: None
    _work: Work[Played] | None = None
    _cancelled: bool = False

    def cancel(self) -> None:
        """End the turn as soon as possible, from any thread; `run` then returns the outcome `cancelled`."""
        self._cancelled = True
        if self._work is not None:
            self._work.cancel()

    def run(self, partial: Callable[[Partial], None] | None = None) -> TurnResult:
        """Play the turn and wait for it. Never raises for what a peer, the pool or the clock did: see the outcome."""
        engine = self.session.match.served.engine
        try:
            self._begun(engine.submit(self._staged(partial), deadline=self.deadline))
        except Exception as error:
            return self._failed(error)
        return self._finished()

    def _staged(self, partial: Callable[[Partial], None] | None = None) -> Steps:
        """Read from the store what the pool lacks, and return what is left to do on the engine's thread."""
        match = self.session.match
        cache, num_rows = match.served.cache, len(self.prompt.observation)
        staged = cache.fetch(match.mode, self.prompt.blocks, num_rows, self.session.name)
        script = Script(
            self.session,
            self.request,
            self.prompt,
            self.answers,
            staged,
            partial or (lambda piece: None),
            length_normalised=self.length_normalised,
            warnings=self.warnings,
        )
        return script.play()

    def _begun(self, work: Work[Played]) -> None:
        self._work = work
        if self._cancelled:
            work.cancel()

    def _finished(self) -> TurnResult:
        """Wait for the engine, and close the account."""
        assert self._work is not None
        work = self._work
        try:
            played = work.future.result()
        except Exception as error:
            return self._failed(error)
        finished_at = work.finished_at or time.perf_counter()
        now = time.perf_counter()
        account = played.account(
            forwards=work.forwards,
            queue_ms=1e3 * work.queue_s,
            engine_ms=1e3 * work.engine_s,
            ttft_ms=1e3 * (played.decided_at - self.arrived),
            overhead_ms=1e3 * (work.submitted_at - self.arrived + now - finished_at),
            total_ms=1e3 * (now - self.arrived),
        )
        return self._ended(played.outcome, None, played, account)

    def _failed(self, error: Exception) -> TurnResult:
        """Return what a turn ends as when it brings nothing."""
        match error:
            case CancelledError():
                return self._ended(Outcome.CANCELLED, "The turn was cancelled.")
            case PoolFull():
                return self._ended(Outcome.OVERLOADED, str(error))
            case HotseatError():
                return self._ended(Outcome.ERROR, str(error))
        # Ours, or the device's: the turn has an answer all the same.
        _log.error("turn %d of session %r failed", self.request.turn_id, self.session.name, exc_info=error)
        return self._ended(Outcome.ERROR, f"The turn failed ({type(error).__name__}). The server's log has more.")

    def _ended(
        self, outcome: Outcome, message: str | None, played: Played | None = None, account: Account | None = None
    ) -> TurnResult:
        result = TurnResult(
            session=self.session.name,
            turn_id=self.request.turn_id,
            outcome=outcome,
            action=played.action if played else None,
            scores=played.scores if played else (),
            legal_mass=played.legal_mass if played else None,
            think=played.think if played else None,
            say=played.say if played else None,
            message=message,
            account=account,
        )
        with self.session.match.lock:
            # A turn that found no room may be asked again, unless a newer one has been seen.
            if outcome is not Outcome.OVERLOADED or not self.session.unsee(self.request.turn_id):
                self.session.finish(self.request, self.body_digest, result)
            self.on_end(self.session)
        return result


def run_together(turns: Sequence[PendingTurn]) -> list[TurnResult]:
    """Play turns of one model at the same time and wait for all: in one forward, if the engine's `max_rows` allows it.

    As with `PendingTurn.run`, what goes wrong with a turn is its outcome; an interrupt cancels them all.
    """
    failed: dict[PendingTurn, TurnResult] = {}
    scripts: dict[PendingTurn, Steps] = {}
    for turn in turns:
        try:
            scripts[turn] = turn._staged()
        except Exception as error:
            failed[turn] = turn._failed(error)
    if scripts:
        try:
            works = next(iter(scripts)).session.match.served.engine.submit_together(list(scripts.values()))
        except Exception as error:
            failed.update({turn: turn._failed(error) for turn in scripts})
        else:
            for turn, work in zip(scripts, works, strict=True):
                turn._begun(work)
    try:
        return [failed[turn] if turn in failed else turn._finished() for turn in turns]
    except BaseException:
        for turn in turns:
            turn.cancel()
        raise


def prepare_turn(
    session: Session, request: TurnRequest, *, arrived: float, deadline: float, body_digest: str = ""
) -> PendingTurn:
    """Check a request and take its prompt from the frame it names.

    Raises StaleFrame, BadActions, PromptTooLong, and what the game's templates raise.
    """
    match, served = session.match, session.match.served
    with match.lock:
        if match.frame != request.frame:
            raise StaleFrame(match.name, request.frame, match.frame)
        answers = served.answers.list(request.actions)
        seen = match.seen_by(session.sight)
        persona, private, history = session.own_blocks()
        observation = ObservationInput(
            text=request.observation,
            live=seen.live,
            actions=answers.listed,
            last_failure=session.last_failure,
            persona_name=session.persona,
        )
        prompt = assemble(
            match.game, persona=persona, state=seen, private=private, history=history, observation=observation
        )
        length_normalised = match.game.length_normalised
        warnings = []
        if match.mode in (Mode.STAR, Mode.ANCHORED) and not served.loaded.block_tuned and not session.told_untuned:
            session.told_untuned = True
            warnings.append(f"Model {served.name!r} is not block-tuned: in mode {match.mode} it may play worse.")
    tokens = served.tokenizer.prompt(prompt, match.mode, match.game.name, session.name, match.cache_salt)
    check_length(tokens, _most_behind(request.decide, answers, served.loaded.text), served.loaded.context_limit)
    return PendingTurn(session, request, tokens, answers, arrived, deadline, length_normalised, body_digest, warnings)


def _most_behind(decide: Decide, answers: Answers, text: TextEncoder) -> int:
    """Return the most tokens that can follow a prompt: each stage, and what separates it from the one before."""
    line, space = len(text.text_ids("\n")), len(text.text_ids(" "))
    thought = decide.think_tokens + line if decide.think_tokens else 0
    parameters = space + MAX_PARAMETER_TOKENS if answers.decodes else 0
    said = line + decide.say_tokens if decide.say_tokens else 0
    return thought + answers.longest + parameters + said


def check_length(prompt: TokenPrompt, behind: int, limit: int) -> None:
    """Raise PromptTooLong if a prompt and what is to follow it do not fit the model's context."""
    if prompt.num_tokens + behind > limit:
        largest: TokenBlock = max(prompt.blocks, key=lambda block: len(block.ids))
        raise PromptTooLong(
            tokens=prompt.num_tokens + behind,
            limit=limit,
            observation_tokens=len(prompt.observation),
            num_blocks=len(prompt.blocks),
            largest=f"{largest.name!r} with {len(largest.ids)}",
        )
