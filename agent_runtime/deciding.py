"""A turn on the engine's thread: what it computes, forward by forward, and what it decides of the logits.

place blocks -> think -> ONE forward for new blocks + observation + all answers -> decide -> parameters -> speak
"""

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from agent_runtime.actions import Answers, Candidate
from agent_runtime.block_cache import Placement, Staged
from agent_runtime.engine.decision import AnswerTree, draw, grow_tree, legal_mass, probabilities, read_logprobs
from agent_runtime.engine.decoding import Choose, Generated, Sampler, generate, greedy
from agent_runtime.engine.forward import Logits
from agent_runtime.engine.span import Span
from agent_runtime.match import Session
from agent_runtime.token_blocks import TokenPrompt
from agent_runtime.turn import Account, Action, Decide, Outcome, Partial, Score, TurnRequest

# Parameters that have to be decoded end by then, or the turn is `truncated`.
MAX_PARAMETER_TOKENS = 256
# Below this the prompt does not lead the model to the listed answers, and the choice says little.
_TINY_LEGAL_MASS = 1e-4

Steps = Generator[Sequence[Span], Logits, "Played"]


@dataclass(frozen=True, slots=True)
class Played:
    """What the engine's thread made of a turn. `account` makes the account, of what is known only when it is over."""

    outcome: Outcome
    action: Action | None
    scores: tuple[Score, ...]
    legal_mass: float
    think: str | None
    say: str | None
    decided_at: float
    account: Callable[..., Account]


@dataclass(slots=True)
class Script:
    """A turn on the engine's thread, between forwards. Every `yield` is one packed forward, shared with others."""

    session: Session
    request: TurnRequest
    prompt: TokenPrompt
    answers: Answers
    staged: Staged
    partial: Callable[[Partial], None]
    length_normalised: bool = False
    warnings: Sequence[str] = ()
    decoded: int = 0
    appended: int = 0

    def play(self) -> Steps:
        """Place the blocks, think, decide, fill in parameters, speak."""
        match = self.session.match
        decide, cache = self.request.decide, match.served.cache
        staged, self.staged = self.staged, Staged()
        placement = cache.place(match.name, match.mode, self.prompt, staged, keep_for=self.session.name)
        # What it brought is in the pool: for as long as a turn thinks, others have the room on the device.
        del staged
        try:
            ids = placement.lead + placement.observation
            follows = decide.think_tokens or decide.say_tokens or self.answers.decodes
            keeps = bool(follows) or placement.prefix_ids is not None
            root = placement.cursor.extend(ids) if keeps else placement.cursor.peek(ids)
            riding: tuple[Span, ...] = placement.riding
            think = None
            if decide.think_tokens:
                logits = yield [*riding, root]
                placement.settle()
                riding = ()
                think, root = yield from self._think(placement, logits[root][-1])
            answers = self.answers.candidates
            going_on = {number for number, answer in enumerate(answers) if answer.schema is not None}
            tree = grow_tree([answer.ids for answer in answers], root, going_on=going_on)
            logits = yield [*riding, root, *tree.spans]
            if not placement.settled:
                placement.settle()
            # A GPU still computes: what does without its logits comes before they are waited for.
            costs = self._costs(placement, tree)
            scores, chosen, mass = self._decide(tree, logits)
            decided_at = time.perf_counter()
            behind_V = tree.behind(chosen, logits) if chosen in going_on else None
            outcome, action, unfed = yield from self._fill(placement, answers[chosen], behind_V)
            say = None
            if decide.say_tokens and outcome is Outcome.OK:
                say = yield from self._say(placement, unfed)
            return Played(outcome, action, scores, mass, think, say, decided_at, self._account(costs, mass))
        finally:
            placement.release()

    def _choose(self, purpose: str) -> Choose:
        decide, request = self.request.decide, self.request
        if decide.how != "sample":
            return greedy
        return Sampler(decide.temperature, _seed(decide), request.session, request.turn_id, purpose)

    def _think(
        self, placement: Placement, logits_V: torch.Tensor
    ) -> Generator[Sequence[Span], Logits, tuple[str, Span]]:
        text = self.session.match.served.loaded.text
        thought: Generated = yield from generate(
            placement.cursor,
            logits_V,
            limit=self.request.decide.think_tokens,
            stop_ids=text.stop_ids,
            choose=self._choose("think"),
            on_tokens=self._stream("think"),
        )
        closing = tuple(thought.unfed) + tuple(text.text_ids("\n"))
        self.decoded += thought.rows + len(closing)
        return text.decode(thought.ids), placement.cursor.extend(closing)

    def _decide(self, tree: AnswerTree, logits: Logits) -> tuple[tuple[Score, ...], int, float]:
        request, answers = self.request, self.answers.candidates
        decide = request.decide
        logprobs = read_logprobs(tree, logits)
        divisors = self.answers.divisors(length_normalised=self.length_normalised)
        shares = probabilities(logprobs, decide.temperature, divisors)
        best = max(range(len(shares)), key=shares.__getitem__)
        chosen = draw(shares, _seed(decide), request.session, request.turn_id) if decide.how == "sample" else best
        scores = tuple(
            Score(answer.action.id, logprob, share, answer.action.args)
            for answer, logprob, share in zip(answers, logprobs, shares, strict=True)
        )
        return scores, chosen, legal_mass(logprobs)

    def _fill(
        self, placement: Placement, chosen: Candidate, behind_V: torch.Tensor | None
    ) -> Generator[Sequence[Span], Logits, tuple[Outcome, Action | None, tuple[int, ...]]]:
        """Decode the parameters of the chosen action, if they were too many to be scored with its name.

        `behind_V` are the logits of the first token of them.
        """
        if chosen.schema is None or behind_V is None:
            return Outcome.OK, chosen.action, tuple(chosen.ids[:-1])
        served = self.session.match.served
        mask = served.grammar.arguments(chosen.schema)
        for token in chosen.opened:
            mask.advance(token)
        filled: Generated = yield from generate(
            placement.cursor,
            behind_V,
            limit=MAX_PARAMETER_TOKENS,
            stop_ids=served.loaded.text.stop_ids,
            choose=self._choose("parameters"),
            mask=mask,
            unfed=chosen.ids,
        )
        self.decoded += filled.rows
        self.appended += filled.appended
        if not filled.ended:
            return Outcome.TRUNCATED, None, ()
        return Outcome.OK, chosen.with_args(served.loaded.text.decode(chosen.opened + filled.ids)), filled.unfed

    def _say(self, placement: Placement, unfed: tuple[int, ...]) -> Generator[Sequence[Span], Logits, str]:
        text = self.session.match.served.loaded.text
        opening = unfed + tuple(text.text_ids("\n"))
        self.decoded += len(opening)
        span = placement.cursor.extend(opening)
        logits = yield [span]
        said: Generated = yield from generate(
            placement.cursor,
            logits[span][-1],
            limit=self.request.decide.say_tokens,
            stop_ids=text.stop_ids,
            choose=self._choose("say"),
            on_tokens=self._stream("say"),
        )
        self.decoded += said.rows
        return text.decode(said.ids)

    def _stream(self, kind: str) -> Callable[[Sequence[int]], None]:
        """Return a sink for the tokens so far that passes on new text, whole characters only."""
        text = self.session.match.served.loaded.text
        sent = ""

        def on_tokens(ids: Sequence[int]) -> None:
            nonlocal sent
            now = text.decode(tuple(ids))
            if now.endswith("\ufffd") or now == sent:
                return
            self.partial(Partial("think" if kind == "think" else "say", now[len(sent) :]))
            sent = now

        return on_tokens

    def _costs(self, placement: Placement, tree: AnswerTree) -> dict[str, Any]:
        """Return what the account says of the prompt and of the forward that decides."""
        match, changed = self.session.match, tuple(placement.brought.values())
        return {
            "mode": match.mode,
            "model": match.served.name,
            "block_tuned": match.served.loaded.block_tuned,
            "blocks_hit": placement.num_hit,
            "blocks_loaded": sum([use.how == "loaded" for use in changed]),
            "blocks_encoded": sum([use.how == "encoded" for use in changed]),
            "changed": changed,
            "not_durable": match.served.cache.not_durable(match.mode, self.prompt.blocks),
            "tokens_prompt": self.prompt.num_tokens,
            "tokens_cached": placement.num_cached,
            "encoded": placement.num_encoded,
            "observation": len(placement.observation),
            "scored": tree.num_rows,
        }

    def _account(self, costs: Mapping[str, Any], mass: float) -> Callable[..., Account]:
        warnings = tuple(self.warnings)
        if mass < _TINY_LEGAL_MASS:
            warnings += (f"The prompt does not lead the model to the listed actions (legal mass {mass:.1e}).",)
        return partial(
            Account,
            **costs,
            tokens_computed=costs["encoded"] + costs["observation"] + costs["scored"] + self.decoded,
            decoded=self.decoded,
            appended=self.appended,
            warnings=warnings,
        )


def _seed(decide: Decide) -> int:
    return decide.seed if decide.seed is not None else int.from_bytes(os.urandom(8), "big")
