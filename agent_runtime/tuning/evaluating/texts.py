"""What a model kept of its general ability: how likely it finds good answers in ordinary conversations, in full mode.

A file of conversations is JSON lines, {"messages": [{"role": ..., "content": ...}, ...]}. Every turn of the assistant
is scored, its end of turn included, behind the conversation so far as the model's chat template writes it.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agent_runtime.engine.compute_thread import Compute, at_once, computed
from agent_runtime.engine.errors import BadChatTemplate
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.engine.text import TextEncoder
from agent_runtime.engine.words import Ids
from agent_runtime.tuning.errors import BadConversation
from agent_runtime.tuning.evaluating.findings import Clusters
from agent_runtime.tuning.evaluating.tables import as_table, on_few

HELD_OUT = Path(__file__).parents[1] / "data" / "instruct.jsonl"
"""Conversations of our own, which are in no sample for training."""
_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said, by whom; `line` is its place in its file."""

    line: int
    messages: tuple[Mapping[str, str], ...]

    def answers(self, text: TextEncoder) -> list[tuple[Ids, Ids]]:
        """Return the tokens of every turn of the assistant, and those before it. Raises BadChatTemplate."""
        return [
            (text.chat_ids(self.messages[:number]), text.answer_ids(each["content"]))
            for number, each in enumerate(self.messages)
            if each["role"] == "assistant"
        ]


def read_conversations(path: Path) -> Iterator[Conversation]:
    """Yield the conversations of a file, one in memory at a time. Raises BadConversation."""
    number = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield Conversation(number, _messages(path, number, line))
    except OSError as error:
        raise BadConversation(path, number + 1, f"it cannot be read ({error.strerror})") from None
    if not number:
        raise BadConversation(path, 1, "there is none")


def score_text(loaded: LoadedModel, path: Path, tell: Callable[[str, int], None]) -> dict[str, Any]:
    """Score the answers of all conversations of a file, and return the report: nats a token, perplexity.

    Conversations that are longer than the model's context are left out and counted. `tell` hears the file's name and
    the number of conversations scored so far. Raises BadConversation.
    """
    compute: Compute = computed if loaded.device.type == "cpu" else at_once
    loaded.model.set_attn_implementation("sdpa")  # whatever it has served before
    nats = Clusters()
    num_turns = 0
    too_long: list[int] = []
    tell(path.name, 0)
    for conversation in read_conversations(path):
        try:
            answers = conversation.answers(loaded.text)
        except BadChatTemplate as error:
            raise BadConversation(path, conversation.line, error.why) from error
        longest = max(len(before) + len(answer) for before, answer in answers)
        if longest > loaded.context_limit:
            too_long.append(longest)
            continue
        total = sum(compute(lambda each=each: _nats(loaded, *each)) for each in answers)  # type: ignore[misc]
        nats.add(total, sum(len(answer) for _, answer in answers))
        num_turns += len(answers)
        tell(path.name, nats.num_clusters)
    return {
        "file": path.name,
        "conversations": nats.num_clusters,
        "turns": num_turns,
        "tokens": nats.num_values,
        "too_long": {"conversations": len(too_long), "most_tokens": max(too_long, default=0)},
        **_figures(nats),
    }


def as_markdown(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return reports as a table, a line per file."""
    head = ["text", "conversations", "tokens", "nats a token", "perplexity"]
    lines = []
    for report in reports:
        figures = []
        for name, digits in (("nats", 4), ("perplexity", 3)):
            low, high = report[name]["interval"]
            figures.append(_rounded(report[name]["mean"], digits))
            figures[-1] += "" if low is None else f" [{_rounded(low, digits)}, {_rounded(high, digits)}]"
        lines.append([report["file"], str(report["conversations"]), str(report["tokens"]), *figures])
    return as_table(head, lines) + on_few([report["conversations"] for report in reports], "conversations")


def _rounded(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _figures(nats: Clusters) -> dict[str, Any]:
    if not nats.num_values:
        nothing = {"mean": None, "interval": [None, None]}
        return {"nats": nothing, "perplexity": nothing}
    report = nats.report()
    ends = [None if end is None else round(math.exp(end), 4) for end in report["interval"]]
    return {"nats": report, "perplexity": {"mean": round(math.exp(nats.mean), 4), "interval": ends}}


@torch.inference_mode()
def _nats(loaded: LoadedModel, before: Ids, answer: Ids) -> float:
    """Return minus the log-probability of an answer behind what was said before it."""
    ids_1T = torch.tensor([[*before, *answer]], device=loaded.device)
    logits_NV = loaded.model(ids_1T, use_cache=False, logits_to_keep=len(answer) + 1).logits[0, :-1].float()
    labels_N = torch.tensor(answer, device=logits_NV.device)
    return float(torch.nn.functional.cross_entropy(logits_NV.double(), labels_N, reduction="sum"))


def _messages(path: Path, number: int, line: bytes) -> tuple[Mapping[str, str], ...]:
    try:
        messages = json.loads(line)["messages"]
    except (ValueError, TypeError, KeyError):
        raise BadConversation(path, number, "this is no conversation") from None
    if not isinstance(messages, list):
        raise BadConversation(path, number, "its messages are no list")
    for place, each in enumerate(messages, 1):
        if not isinstance(each, dict) or not all(isinstance(each.get(name), str) for name in ("role", "content")):
            raise BadConversation(path, number, f"message {place} is not of the form role and content, both text")
        if each["role"] not in _ROLES:
            raise BadConversation(path, number, f"message {place} has the role {each['role']!r}, not {_roles()}")
        if not each["content"].strip():
            raise BadConversation(path, number, f"message {place} is empty")
    if all(each["role"] != "assistant" for each in messages) or messages[0]["role"] == "assistant":
        raise BadConversation(path, number, "nobody asks, or nobody answers")
    return tuple(messages)


def _roles() -> str:
    return f"{', '.join(_ROLES[:-1])} or {_ROLES[-1]}"
