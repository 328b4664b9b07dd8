"""Conversations that a model has with itself: trained on beside other samples they keep what it could do before.

Behind the chat template's opening of a user message the model writes what a user may say, and behind that its answer
(Magpie, arXiv 2406.08464). A conversation is a sample without blocks: the anchor is the system message, the observation
the user's words, the target the answer, and the tokens are those of the chat template.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from agent_runtime.engine.compute_thread import Compute, at_once, computed
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.engine.text import TextEncoder
from agent_runtime.engine.words import Ids
from agent_runtime.tuning.errors import BadArgument, NotTrainable
from agent_runtime.tuning.samples import Ask, Header, Sample, SampleWriter
from agent_runtime.version import hotseat_version

NAME = "chat"
# For templates that have no system message of their own, and want one.
PLAIN_SYSTEM = "You are a helpful assistant."

# Text that zlib packs tighter than this repeats itself (Whisper's threshold, arXiv 2212.04356).
_MOST_PACKED = 2.4
# A model that writes nothing of use so many rounds in a row never will.
_FRUITLESS_ROUNDS = 4
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class SelfTalk:
    """What is to be written, `at_once` conversations side by side. `system` None is the chat template's own."""

    seed: int = 0
    temperature: float = 1.0
    user_tokens: int = 96
    answer_tokens: int = 200
    at_once: int = 64
    system: str | None = None


@dataclass
class Talk:
    """What came of it: how many were kept, and why how many were not. `num_tokens` are those of kept answers.

    `is_stopped` if somebody pressed Ctrl-C before there were as many as asked for.
    """

    num_kept: int = 0
    is_stopped: bool = False
    num_tokens: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def template_system(text: TextEncoder) -> str | None:
    """Return the system message that a chat template puts in front of a user's, "" if that is nothing at all.

    None if none can be told: it opens a conversation otherwise when a system message is given.
    """
    said = "?"
    whole, layout = text.chat_ids([{"role": "user", "content": said}]), text.layout
    opening = whole[: len(whole) - len(text.observation_ids(said))]
    own = text.decode(opening[len(layout.before_anchor) : len(opening) - len(layout.after_anchor)])
    for system in (own, ""):
        if text.anchor_ids(system) + text.observation_ids(said) == whole:
            return system
    return None


def write_self_talk(
    loaded: LoadedModel, recipe: SelfTalk, count: int, path: Path, tell: Callable[[int], None] = lambda done: None
) -> Talk:
    """Write `count` conversations of a model into a file of samples; `tell` hears how many there are so far.

    The file is the same for the same model, recipe and device. Interrupted (KeyboardInterrupt) it holds what there was
    by then, and is the file of so many. Raises BadArgument, CannotWrite, and NotTrainable if the model writes no whole
    conversation.
    """
    if not loaded.text.tokenizer.chat_template:
        raise BadArgument("--model", "it has no chat template, so it converses with nobody. Name one that has.")
    own = template_system(loaded.text)
    system = recipe.system if recipe.system is not None else PLAIN_SYSTEM if own is None else own
    talker = _Talker(loaded, recipe, system, is_own=own == system)
    arguments = {
        "model": loaded.name,
        "digest": loaded.digest,
        "device": loaded.device.type,
        "system": system,
        "temperature": recipe.temperature,
        "user_tokens": recipe.user_tokens,
        "answer_tokens": recipe.answer_tokens,
        "at_once": recipe.at_once,
    }
    talk = Talk()
    with SampleWriter(path, Header(NAME, arguments, hotseat_version(), recipe.seed, "train")) as file:
        found = talker.conversations(talk.dropped)
        while talk.num_kept < count:
            try:
                user, answer = next(found)
            except KeyboardInterrupt:
                if not talk.num_kept:
                    raise
                talk.is_stopped = True
                break
            ask = Ask(observation=user, target=answer, answer=answer, kind=NAME)
            file.write(Sample(NAME, NAME, "train", recipe.seed, system, (), (ask,)))
            talk.num_kept += 1
            talk.num_tokens += len(loaded.text.answer_ids(answer))
            tell(talk.num_kept)
    return talk


class _Talker:
    """Both sides of a conversation."""

    def __init__(self, loaded: LoadedModel, recipe: SelfTalk, system: str, is_own: bool) -> None:
        self._loaded, self._recipe, self._text = loaded, recipe, loaded.text
        self._anchor = self._text.anchor_ids(system)
        self._before = [] if is_own else [{"role": "system", "content": system}]
        self._compute: Compute = computed if loaded.device.type == "cpu" else at_once
        loaded.model.set_attn_implementation("sdpa")  # whatever it has served before
        longest = len(self._anchor) + len(self._text.layout.after_observation)
        longest += recipe.user_tokens + recipe.answer_tokens + 2
        if longest > loaded.context_limit:
            why = f"a conversation may have {longest} tokens, and the model reads {loaded.context_limit}."
            raise BadArgument("--answer-tokens", why)

    def conversations(self, dropped: Counter[str]) -> Iterator[tuple[str, str]]:
        """Yield what a user says and what the model answers, without end; count what is left out and why."""
        fruitless, number, said = 0, 0, set()
        while fruitless < _FRUITLESS_ROUNDS:
            digest = blake2b(f"hotseat/{NAME}/{self._recipe.seed}/{number}".encode(), digest_size=7).digest()
            found = self._compute(lambda digest=digest: self._round(int.from_bytes(digest), dropped))  # type: ignore[misc]
            fresh = []
            for user, answer in found:
                if user in said:
                    dropped["said before"] += 1
                else:
                    said.add(user)
                    fresh.append((user, answer))
            yield from fresh
            fruitless, number = 0 if fresh else fruitless + 1, number + 1
        reasons = ", ".join(f"{count} {why}" for why, count in dropped.most_common())
        raise NotTrainable(f"the model writes no more conversations that are of use ({reasons}).")

    def _round(self, seed: int, dropped: Counter[str]) -> list[tuple[str, str]]:
        """Write some conversations side by side, and return the good ones."""
        recipe, device = self._recipe, self._loaded.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            asked = self._judged(self._written([self._anchor] * recipe.at_once, recipe.user_tokens), "user", dropped)
            users = [user for user in asked if user is not None and self._is_exact(user, dropped)]
            if not users:
                return []
            prompts = [self._anchor + self._text.observation_ids(user) for user in users]
            answers = self._judged(self._written(prompts, recipe.answer_tokens), "answer", dropped)
        return [(user, answer) for user, answer in zip(users, answers, strict=True) if answer is not None]

    def _is_exact(self, user: str, dropped: Counter[str]) -> bool:
        """Whether a sample's tokens, made piece by piece, are those of the conversation as the template writes it."""
        whole = self._text.chat_ids([*self._before, {"role": "user", "content": user}])
        is_exact = self._anchor + self._text.observation_ids(user) == whole
        if not is_exact:
            dropped["other tokens than the template's"] += 1
        return is_exact

    @torch.inference_mode()
    def _written(self, prompts: Sequence[Ids], limit: int) -> list[Ids | None]:
        """Return what the model writes behind each prompt up to the end of its turn, None if that does not come."""
        model, stops = self._loaded.model, sorted(self._text.stop_ids)
        config = GenerationConfig(
            do_sample=True,
            temperature=self._recipe.temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=limit + 1,
            eos_token_id=stops,
            pad_token_id=self._text.end_of_turn,
        )
        length = max(map(len, prompts))
        padded = [[self._text.end_of_turn] * (length - len(ids)) + list(ids) for ids in prompts]
        mask = [[0] * (length - len(ids)) + [1] * len(ids) for ids in prompts]
        device = self._loaded.device
        made: Any = model.generate(  # type: ignore[operator]
            torch.tensor(padded, device=device),
            attention_mask=torch.tensor(mask, device=device),
            generation_config=config,
        )
        rows = [tuple(row) for row in made[:, length:].tolist()]
        ends = [next((place for place, token in enumerate(row) if token in stops), None) for row in rows]
        return [None if end is None else row[:end] for row, end in zip(rows, ends, strict=True)]

    def _judged(self, written: Sequence[Ids | None], whose: str, dropped: Counter[str]) -> list[str | None]:
        """Return texts, None for what is of no use."""
        texts: list[str | None] = []
        for ids in written:
            text = None if ids is None else self._text.decode(ids).strip()
            why = fault_of(text)
            texts.append(text if why is None else None)
            if why is not None:
                dropped[f"{whose} {why}"] += 1
        return texts


def fault_of(text: str | None) -> str | None:
    """Return what is wrong with a turn, None being one that was cut; None if nothing is."""
    if text is None:
        return "cut"
    if not text:
        return "empty"
    if _UNKNOWN in text:
        return "not text"
    raw = text.encode()
    return "repeats itself" if len(raw) > _MOST_PACKED * len(zlib.compress(raw)) else None
