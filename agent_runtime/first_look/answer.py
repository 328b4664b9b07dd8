"""What `hotseat turn` prints."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pydantic_core import to_jsonable_python

from agent_runtime.first_look.asking import Answer
from agent_runtime.turn import Score

ANSWER_FORMAT = "hotseat.turn"
ANSWER_VERSION = 1

_BAR = 40
# Actions that are shown, the likeliest first.
_MOST_SCORES = 40


def answer_json(answer: Answer) -> dict[str, Any]:
    """Return everything: the action, the probabilities, the prompt block by block, and what it cost."""
    result = answer.result
    return {
        "format": ANSWER_FORMAT,
        "version": ANSWER_VERSION,
        "game": answer.question.game.name,
        "model": answer.model,
        "mode": str(answer.mode),
        "outcome": str(result.outcome),
        "message": result.message,
        "action": to_jsonable_python(result.action),
        "scores": [to_jsonable_python(score) for score in result.scores],
        "legal_mass": result.legal_mass,
        "blocks": [asdict(block) for block in answer.blocks],
        "account": to_jsonable_python(result.account),
        "warnings": list(answer.warnings),
    }


def answer_lines(answer: Answer, *, texts: bool, blocks_mark: str) -> Iterator[str]:
    """The lines for a terminal; `blocks_mark` draws the bars, `texts` adds every block as the model read it."""
    result, account = answer.result, answer.result.account
    chosen = "no action" if result.action is None else _named(result.action.id, result.action.args)
    yield f"{answer.question.game.name}, {answer.mode}, {answer.model}: {result.outcome}, {chosen}"
    if result.message:
        yield result.message
    yield ""
    yield from _scores(sorted(result.scores, key=lambda score: -score.p), blocks_mark)
    if result.legal_mass is not None:
        yield f"legal mass {result.legal_mass:.2g}: the model's own probability of all these answers together"
    yield ""
    most = max(block.tokens for block in answer.blocks)
    wide = min(48, max(len(block.name) for block in answer.blocks))
    for block in answer.blocks:
        bar = blocks_mark * max(1, round(_BAR / 2 * block.tokens / most))
        yield f"{block.name[:48]:<{wide}}  {block.role:<11} {block.tokens:>6} tokens  {bar}"
        if texts:
            yield from (f"    | {line}" for line in block.text.splitlines())
    if account is not None:
        yield ""
        yield (
            f"{account.tokens_prompt:,} tokens of prompt; computed {account.tokens_computed:,}: {account.encoded:,} of "
            f"blocks, {account.observation:,} of the observation, {account.scored:,} of answers, in {account.forwards} "
            f"forward{'s' * (account.forwards != 1)}"
        )
        yield (
            f"{account.ttft_ms:,.0f} ms to the decision, {account.engine_ms:,.0f} of them the engine's; a later turn "
            "computes only what changed"
        )
        for warning in (*answer.warnings, *account.warnings):
            yield f"Note: {warning}"


def _scores(scores: list[Score], mark: str) -> Iterator[str]:
    names = [_named(score.id, score.args) for score in scores[:_MOST_SCORES]]
    wide = min(40, max(map(len, names), default=0))
    for name, score in zip(names, scores, strict=False):
        bar = mark * round(_BAR * score.p)
        yield f"{name[:40]:<{wide}}  {score.p:7.2%}  {score.logprob:9.3f}  {bar}".rstrip()
    if len(scores) > _MOST_SCORES:
        yield f"and {len(scores) - _MOST_SCORES} less likely ones"


def _named(name: str, args: Any) -> str:
    return name if args is None else f"{name} {json.dumps(dict(args), ensure_ascii=False)}"
