"""What keeps a model's general ability: on some texts it is to go on as its bare weights would, token by token.

Learned from as answers, a few thousand conversations are soon known by heart. What the bare weights would say in place
of each token is a whole distribution, theirs at their own positions, and being close to it is all that is asked.

Shapes: N predicted tokens, V vocabulary.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from agent_runtime.engine.loading import LoadedModel, model_config
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.tuning.errors import NotTrainable
from agent_runtime.tuning.packing import Batch

# Tokens that are compared at a time. Nearly every token of a conversation is predicted, and rows of them make tables of
# seven gigabytes, of which only the logits themselves are kept for the way back.
_TOKENS_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class Remembered:
    """How far a batch's answers are from what the bare weights would say: nats a token, from them."""

    total: torch.Tensor


@dataclass(frozen=True, slots=True)
class Memory:
    """The bare weights at their own positions, which is what `as_bare` shows inside a `with`.

    `answered` returns the logits of all tokens that are predicted in a batch, by some rotary table or the run's own,
    and what they should be.
    """

    as_bare: Callable[[], AbstractContextManager[None]]
    rope: RotaryTable
    answered: Callable[[Batch, RotaryTable | None], tuple[torch.Tensor, torch.Tensor]]

    def remembered(self, batch: Batch) -> Remembered:
        """Compare what a model says with what its bare weights would have said."""
        with torch.no_grad(), self.as_bare():  # first: what is learned from is not to see its weights exchanged
            bare_NV, _ = self.answered(batch, self.rope)
        logits_NV, _ = self.answered(batch, None)
        return Remembered(_divergence(logits_NV, bare_NV))


def _divergence(logits_NV: torch.Tensor, bare_NV: torch.Tensor) -> torch.Tensor:
    """Return Kullback and Leibler's divergence of logits from others, nats a token; what it takes is computed twice."""
    pieces = zip(logits_NV.split(_TOKENS_AT_ONCE), bare_NV.split(_TOKENS_AT_ONCE), strict=True)
    sums = [checkpoint(_summed_divergence, logits, bare, use_reentrant=False) for logits, bare in pieces]
    return torch.stack(sums).sum() / len(logits_NV)


def _summed_divergence(logits_NV: torch.Tensor, bare_NV: torch.Tensor) -> torch.Tensor:
    return F.kl_div(logits_NV.log_softmax(-1), bare_NV.log_softmax(-1), reduction="sum", log_target=True)


def bare_rope(source: str, loaded: LoadedModel) -> RotaryTable:
    """Return the positions of the weights at `source` before a run extended them, as far as they reached.

    `loaded` is the same model as the run has it. Raises NotTrainable if more than the angles is different.
    """
    own = model_config(source).get_text_config()
    rotary = loaded.model.get_decoder().rotary_emb
    bare = type(rotary)(own)
    if bare.attention_scaling != rotary.attention_scaling:
        raise NotTrainable(
            "its bare weights scale attention in another way, so they cannot be asked. Leave out remember."
        )
    return RotaryTable(bare.inv_freq, own.max_position_embeddings)
