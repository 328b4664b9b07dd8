"""One turn, every stage in order. The only file that knows this order.

request -> checks -> prompt (a snapshot of the named frame) -> tokens and keys -> what the store has
        -> the engine's thread: place blocks, ONE forward for new blocks + observation + all answers, decide
        -> result with its account
"""

import logging
import os
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace

import torch

from agent_runtime.actions import Answers, Candidate, list_answers
from agent_runtime.block_cache import Placement, Staged
from agent_runtime.engine.decision import AnswerTree, draw, grow_tree, legal_mass, probabilities, read_logprobs
from agent_runtime.engine.decoding import Choose, Generated, Sampler, generate, greedy
from agent_runtime.engine.errors import PoolFull
from agent_runtime.engine.forward import Logits
from agent_runtime.engine.scheduler import Work
from agent_runtime.engine.span import Span
from agent_runtime.engine.text import TextEncoder
from agent_runtime.errors import HotseatError, PromptTooLong, StaleFrame
from agent_runtime.match import Session
from agent_runtime.token_blocks import TokenBlock, TokenPrompt
from agent_runtime.turn import (
    Account,
    Action,
    Decide,
    Mode,
    Outcome,
    Partial,
    Score,
    TurnRequest,
    TurnResult,
)
from prompts import ObservationInput, assemble

_log = logging.getLogger(__name__)

# Parameters that have to be decoded end by then, or the turn is `truncated`.
MAX_PARAMETER_TOKENS = 256
# Below this the prompt does not lead the model to the listed answers, and the choice says little.
_TINY_LEGAL_MASS = 1e-4

Steps = Generator[Sequence[Span], Logits, "Played"]


@dataclass(frozen=True, slots=True)
class Played:
    """What the engine's thread made of a turn."""

    outcome: Outcome
    action: Action | None
    scores: tuple[Score, ...]
    legal_mass: float
    think: str | None
    say: str | None
    decided_at: float
    account: Account


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

    def _staged(self, partial: Callable[[Partial], None] | None = None) -> "Steps":
        """Read from the store what the pool lacks, and return what is left to do on the engine's thread."""
        match = self.session.match
        staged = match.served.cache.fetch(match.mode, self.prompt.blocks)
        return _Script(self, staged, partial or (lambda piece: None)).play()

    def _begun(self, work: Work[Played]) -> None:
        self._work = work
        if self._cancelled:
            work.cancel()

    def _finished(self) -> TurnResult:
        """Wait for the engine, and close the account."""
        assert self._work is not None
        served, match, work = self.session.match.served, self.session.match, self._work
        try:
            played = work.future.result()
        except Exception as error:
            return self._failed(error)
        finished_at = work.finished_at or time.perf_counter()
        not_durable = served.cache.not_durable(match.mode, self.prompt.blocks)
        now = time.perf_counter()
        account = replace(
            played.account,
            not_durable=not_durable,
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
        answers = list_answers(request.actions, served.loaded.text, served.grammar)
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


@dataclass(slots=True)
class _Script:
    """A turn on the engine's thread, between forwards. Every `yield` is one packed forward, shared with others."""

    turn: PendingTurn
    staged: Staged
    partial: Callable[[Partial], None]
    decoded: int = 0
    appended: int = 0

    def play(self) -> Steps:
        """Place the blocks, think, decide, fill in parameters, speak."""
        turn, match = self.turn, self.turn.session.match
        decide, cache = turn.request.decide, match.served.cache
        placement = cache.place(match.name, match.mode, turn.prompt, self.staged)
        try:
            ids = placement.lead + placement.observation
            follows = decide.think_tokens or decide.say_tokens or turn.answers.decodes
            keeps = bool(follows) or placement.prefix_ids is not None
            root = placement.cursor.extend(ids) if keeps else placement.cursor.peek(ids)
            riding: tuple[Span, ...] = placement.riding
            think = None
            if decide.think_tokens:
                logits = yield [*riding, root]
                placement.settle()
                riding = ()
                think, root = yield from self._think(placement, logits[root][-1])
            tree = grow_tree([candidate.ids for candidate in turn.answers.candidates], root)
            logits = yield [*riding, root, *tree.spans]
            if not placement.settled:
                placement.settle()
            scores, chosen, mass = self._decide(tree, logits)
            decided_at = time.perf_counter()
            outcome, action, unfed = yield from self._fill(placement, turn.answers.candidates[chosen])
            say = None
            if decide.say_tokens and outcome is Outcome.OK:
                say = yield from self._say(placement, unfed)
            return Played(outcome, action, scores, mass, think, say, decided_at, self._account(placement, tree, mass))
        finally:
            placement.release()

    def _choose(self, purpose: str) -> Choose:
        decide, request = self.turn.request.decide, self.turn.request
        if decide.how != "sample":
            return greedy
        return Sampler(decide.temperature, _seed(decide), request.session, request.turn_id, purpose)

    def _think(
        self, placement: Placement, logits_V: torch.Tensor
    ) -> Generator[Sequence[Span], Logits, tuple[str, Span]]:
        text = self.turn.session.match.served.loaded.text
        thought: Generated = yield from generate(
            placement.cursor,
            logits_V,
            limit=self.turn.request.decide.think_tokens,
            stop_ids=text.stop_ids,
            choose=self._choose("think"),
            on_tokens=self._stream("think"),
        )
        closing = tuple(thought.unfed) + tuple(text.text_ids("\n"))
        self.decoded += thought.rows + len(closing)
        return text.decode(thought.ids), placement.cursor.extend(closing)

    def _decide(self, tree: AnswerTree, logits: Logits) -> tuple[tuple[Score, ...], int, float]:
        request, answers = self.turn.request, self.turn.answers.candidates
        decide = request.decide
        logprobs = read_logprobs(tree, logits)
        lengths = [len(a.ids) for a in answers] if self.turn.length_normalised else None
        shares = probabilities(logprobs, decide.temperature, lengths)
        best = max(range(len(shares)), key=shares.__getitem__)
        chosen = draw(shares, _seed(decide), request.session, request.turn_id) if decide.how == "sample" else best
        scores = tuple(
            Score(answer.action.id, logprob, share, answer.action.args)
            for answer, logprob, share in zip(answers, logprobs, shares, strict=True)
        )
        return scores, chosen, legal_mass(logprobs)

    def _fill(
        self, placement: Placement, chosen: Candidate
    ) -> Generator[Sequence[Span], Logits, tuple[Outcome, Action | None, tuple[int, ...]]]:
        """Decode the parameters of the chosen action, if they were too many to be scored with its name."""
        if chosen.schema is None:
            return Outcome.OK, chosen.action, tuple(chosen.ids[:-1])
        served = self.turn.session.match.served
        mask = served.grammar.arguments(chosen.schema)
        for token in chosen.opened:
            mask.advance(token)
        self.decoded += len(chosen.ids)
        span = placement.cursor.extend(chosen.ids)
        logits = yield [span]
        filled: Generated = yield from generate(
            placement.cursor,
            logits[span][-1],
            limit=MAX_PARAMETER_TOKENS,
            stop_ids=served.loaded.text.stop_ids,
            choose=self._choose("parameters"),
            mask=mask,
        )
        self.decoded += filled.rows
        self.appended += filled.appended
        if not filled.ended:
            return Outcome.TRUNCATED, None, ()
        return Outcome.OK, chosen.with_args(served.loaded.text.decode(chosen.opened + filled.ids)), filled.unfed

    def _say(self, placement: Placement, unfed: tuple[int, ...]) -> Generator[Sequence[Span], Logits, str]:
        text = self.turn.session.match.served.loaded.text
        opening = unfed + tuple(text.text_ids("\n"))
        self.decoded += len(opening)
        span = placement.cursor.extend(opening)
        logits = yield [span]
        said: Generated = yield from generate(
            placement.cursor,
            logits[span][-1],
            limit=self.turn.request.decide.say_tokens,
            stop_ids=text.stop_ids,
            choose=self._choose("say"),
            on_tokens=self._stream("say"),
        )
        self.decoded += said.rows
        return text.decode(said.ids)

    def _stream(self, kind: str) -> Callable[[Sequence[int]], None]:
        """Return a sink for the tokens so far that passes on new text, whole characters only."""
        text = self.turn.session.match.served.loaded.text
        sent = ""

        def on_tokens(ids: Sequence[int]) -> None:
            nonlocal sent
            now = text.decode(tuple(ids))
            if now.endswith("\ufffd") or now == sent:
                return
            self.partial(Partial("think" if kind == "think" else "say", now[len(sent) :]))
            sent = now

        return on_tokens

    def _account(self, placement: Placement, tree: AnswerTree, mass: float) -> Account:
        match, warnings = self.turn.session.match, list(self.turn.warnings)
        if mass < _TINY_LEGAL_MASS:
            warnings.append(f"The prompt does not lead the model to the listed actions (legal mass {mass:.1e}).")
        changed = tuple(use for use in placement.uses.values() if use is not None)
        observation = len(placement.observation)
        return Account(
            mode=match.mode,
            model=match.served.name,
            block_tuned=match.served.loaded.block_tuned,
            blocks_hit=len(placement.uses) - len(changed),
            blocks_loaded=sum(use.how == "loaded" for use in changed),
            blocks_encoded=sum(use.how == "encoded" for use in changed),
            changed=changed,
            tokens_prompt=self.turn.prompt.num_tokens,
            tokens_cached=placement.num_cached,
            tokens_computed=placement.num_encoded + observation + tree.num_rows + self.decoded,
            encoded=placement.num_encoded,
            observation=observation,
            scored=tree.num_rows,
            decoded=self.decoded,
            appended=self.appended,
            warnings=tuple(warnings),
        )


def _seed(decide: Decide) -> int:
    return decide.seed if decide.seed is not None else int.from_bytes(os.urandom(8), "big")
