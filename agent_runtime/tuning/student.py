"""The model that is tuned: packed rows in, logits where answers are predicted, and the losses of them.

Shapes: B rows, T tokens, N predicted tokens of all modes, V vocabulary.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from agent_runtime.tuning.attention import TRAINING, Plan, register
from agent_runtime.tuning.errors import NotTrainable
from agent_runtime.tuning.packing import Batch
from agent_runtime.tuning.rows import IGNORED

_TOLERANCE = 1e-4


class Student(torch.nn.Module):
    """A transformers model whose attention is that of packed rows; one module, as accelerate wants to wrap it.

    Raises NotTrainable if the model does more to its logits than its head does.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self._check_head()
        register()
        model.set_attn_implementation(TRAINING)

    def forward(self, ids_BT: torch.Tensor, plan: Plan, wanted_N: torch.Tensor) -> torch.Tensor:
        """Return float32 logits [N, V] of the flat places `wanted_N` of B x T."""
        hidden_BTE = self._decoded(ids_BT, plan=plan)
        chosen_NE = hidden_BTE.flatten(0, 1).index_select(0, wanted_N)
        logits_NV: torch.Tensor = self._head()(chosen_NE)
        return logits_NV.float()

    def _decoded(self, ids_BT: torch.Tensor, **options: object) -> torch.Tensor:
        made: torch.Tensor = self.model.get_decoder()(
            input_ids=ids_BT, position_ids=torch.zeros_like(ids_BT), use_cache=False, **options
        ).last_hidden_state
        return made

    def _head(self) -> torch.nn.Module:
        head = self.model.get_output_embeddings()
        if head is None:
            raise NotTrainable("the model has no head. Name a causal language model.")
        return head  # type: ignore[no-any-return]

    @torch.no_grad()
    def _check_head(self) -> None:
        device = next(self.model.get_input_embeddings().parameters()).device
        ids_BT = torch.arange(4, device=device)[None]
        own = self.model(input_ids=ids_BT, position_ids=torch.zeros_like(ids_BT), use_cache=False).logits.float()
        by_head = self._head()(self._decoded(ids_BT)).float()
        if (own - by_head).abs().max() > _TOLERANCE * own.abs().max():
            raise NotTrainable("the model changes its logits behind its head, which tuning does not do. Use another.")


@dataclass(frozen=True, slots=True)
class Losses:
    """What a batch costs: cross-entropy of the answers by mode, how far block modes are from full, the sum to minimise.

    `distances` are Kullback-Leibler divergences in nats a token, from the first mode to each other one; `right` is the
    share of answer tokens that are the most likely ones, by mode.
    """

    total: torch.Tensor
    answers: tuple[torch.Tensor, ...]
    distances: tuple[torch.Tensor, ...]
    right: tuple[torch.Tensor, ...]


def wanted_of(batch: Batch) -> torch.Tensor:
    """Return the flat places of a batch where something is to be predicted, int64 [N]."""
    return (batch.label.flatten() != IGNORED).nonzero().flatten()


def losses_of(logits_NV: torch.Tensor, labels_N: torch.Tensor, num_modes: int, distillation: float) -> Losses:
    """Return the losses of a batch that holds the same rows once per mode, one mode after the other.

    With `distillation` the first mode (`full`) teaches the others: their distance from it, times this, is added.
    """
    by_mode = logits_NV.chunk(num_modes)
    labels = labels_N.chunk(num_modes)[0]
    answers = tuple(F.cross_entropy(logits, labels) for logits in by_mode)
    logprobs = [logits.log_softmax(-1) for logits in by_mode] if num_modes > 1 else []
    distances = tuple(
        F.kl_div(student, logprobs[0].detach(), reduction="batchmean", log_target=True) for student in logprobs[1:]
    )
    total = torch.stack(answers).mean()
    if distillation and distances:
        total = total + distillation * torch.stack(distances).mean()
    right = tuple((logits.detach().argmax(-1) == labels).float().mean() for logits in by_mode)
    return Losses(total, answers, tuple(distance.detach() for distance in distances), right)
