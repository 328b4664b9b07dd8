"""The model that is tuned: packed rows in, logits where answers are predicted, and the losses of them.

Shapes: B rows, T tokens, N predicted tokens of all modes, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from agent_runtime.tuning.attention import TRAINING, Plan, register
from agent_runtime.tuning.errors import NotTrainable
from agent_runtime.tuning.packing import Batch

_TOLERANCE = 1e-4


class Student(torch.nn.Module):
    """A transformers model whose attention is that of packed rows; one module, as accelerate wants to wrap it.

    Its state (`state_dict`) is what is trained, each parameter under one name: whoever saves it, whole or in parts,
    leaves out weights that stay as they are, and whoever loads it misses none of them.

    Raises NotTrainable if the model does more to its logits than its head does.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        model.set_attn_implementation("eager")  # whatever it has served before
        self._check_head()
        register()
        model.set_attn_implementation(TRAINING)
        self.register_state_dict_post_hook(_leave_out_untrained)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_miss_trained_alone)  # type: ignore[no-untyped-call]

    @property
    def _no_split_modules(self) -> set[str]:
        """Names of the classes of layers: what accelerate asks a model for that is to be shared in parts (FSDP)."""
        return {type(layer).__name__ for layer in self.model.get_decoder().layers}

    def forward(self, ids_BT: torch.Tensor, plan: Plan, wanted_N: torch.Tensor) -> torch.Tensor:
        """Return float32 logits [N, V] of the flat places `wanted_N` of B x T.

        What layers add to each other is float32, also where embeddings have come in fewer bits from other processes.
        """
        hidden_BTE = self._decoded(self._embedded(ids_BT).float(), plan=plan)
        chosen_NE = hidden_BTE.flatten(0, 1).index_select(0, wanted_N)
        logits_NV: torch.Tensor = self._head()(chosen_NE)
        return logits_NV.float()

    @contextmanager
    def compiled_layers(self) -> Iterator[None]:
        """Let the model's layers be compiled while this is open: they are alike, so one is compiled for all.

        Each other shape that they are called with is compiled, too. A run, which saves weights by the names of its
        modules, compiles its layers in their places instead.
        """
        decoder = self.model.get_decoder()
        layers = decoder.layers
        decoder.layers = torch.nn.ModuleList(map(_compiled, layers))
        try:
            yield
        finally:
            decoder.layers = layers

    def _embedded(self, ids_BT: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.model.get_input_embeddings()(ids_BT)
        return made

    def _decoded(self, embedded_BTE: torch.Tensor, **options: object) -> torch.Tensor:
        positions_BT = torch.zeros(embedded_BTE.shape[:2], dtype=torch.int64, device=embedded_BTE.device)
        made: torch.Tensor = self.model.get_decoder()(
            inputs_embeds=embedded_BTE, position_ids=positions_BT, use_cache=False, **options
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
        by_head = self._head()(self._decoded(self._embedded(ids_BT))).float()
        if (own - by_head).abs().max() > _TOLERANCE * own.abs().max():
            raise NotTrainable("the model changes its logits behind its head, which tuning does not do. Use another.")


def _untrained(student: torch.nn.Module) -> set[str]:
    """Return the names of frozen parameters, and the further names of those that have several: a tied head's."""
    trained = {name for name, weight in student.named_parameters() if weight.requires_grad}
    return {name for name, _ in student.named_parameters(remove_duplicate=False)} - trained


def _leave_out_untrained(student: torch.nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in _untrained(student):
        state.pop(f"{prefix}{name}", None)


def _miss_trained_alone(student: torch.nn.Module, keys: Any) -> None:
    """Let `keys`, what a state lacks and what it has too many, name no weight that no state has."""
    untrained = _untrained(student)
    # Where every process has all weights, the student is the `module` of what shares its gradients.
    keys.missing_keys[:] = [name for name in keys.missing_keys if name.removeprefix("module.") not in untrained]


def _compiled(layer: torch.nn.Module) -> torch.nn.Module:
    compiled: Any = torch.compile(layer, dynamic=False)
    return compiled  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Losses:
    """What a batch costs: cross-entropy of the answers by mode, how far block modes are from full, the sum to minimise.

    All but `right` are means over rows of the mean over a row's answer tokens: rows weigh the same, however much they
    answer. `distances` are Kullback-Leibler divergences in nats a token, from the first mode to each other one; `right`
    is the share of answer tokens that are the most likely ones, by mode.
    """

    total: torch.Tensor
    answers: tuple[torch.Tensor, ...]
    distances: tuple[torch.Tensor, ...]
    right: tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far modes are from a teacher in what they decide, each over the mean decision.

    `divergence` is Kullback and Leibler's in nats, from the teacher; `variation` half the sum of the differences of
    probabilities; `agreed` the share of decisions with the same best action. Each by mode.
    """

    total: torch.Tensor
    divergence: tuple[torch.Tensor, ...]
    variation: tuple[torch.Tensor, ...]
    agreed: tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True)
class Decisions:
    """Which of N predicted tokens of one mode belong to which listed action, and which action to which decision.

    `divisor_of_action` is what the runtime divides an action's log-probability by, as its game's settings have it.
    """

    action_of_token: torch.Tensor
    decision_of_action: torch.Tensor
    divisor_of_action: torch.Tensor
    num_decisions: int

    @classmethod
    def of(cls, batch: Batch, wanted_N: torch.Tensor) -> "Decisions":
        """Take them of the first mode, `wanted_N`; the rows of the others are laid out alike."""
        num_modes = len(batch.wanted) // len(wanted_N)
        num_actions = len(batch.decision_of_action) // num_modes
        num_decisions = batch.num_decisions // num_modes
        decisions, divisors = batch.decision_of_action[:num_actions], batch.divisor_of_action[:num_actions]
        return cls(batch.action[: len(wanted_N)], decisions, divisors, num_decisions)

    def logprobs(self, logits_NV: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
        """Return the log-probability of every action among those of its decision [actions], at temperature 1."""
        token_N = logits_NV.log_softmax(-1).gather(-1, labels_N[:, None])[:, 0]
        score_A = token_N.new_zeros(len(self.decision_of_action)).index_add(0, self.action_of_token, token_N)
        score_A = score_A / self.divisor_of_action
        most_D = score_A.new_full((self.num_decisions,), -torch.inf)
        most_D = most_D.scatter_reduce(0, self.decision_of_action, score_A.detach(), "amax")
        shifted_A = score_A - most_D[self.decision_of_action]
        sum_D = score_A.new_zeros(self.num_decisions).index_add(0, self.decision_of_action, shifted_A.exp())
        return shifted_A - sum_D.log()[self.decision_of_action]

    def agreement(self, teacher_A: torch.Tensor, students: Sequence[torch.Tensor]) -> Agreement:
        """Compare log-probabilities [actions] of some modes with a teacher's."""
        probability_A = teacher_A.exp()
        divergence = tuple((probability_A * (teacher_A - each)).sum() / self.num_decisions for each in students)
        variation = tuple(0.5 * (probability_A - each.exp()).abs().sum() / self.num_decisions for each in students)
        best_D = self._best(teacher_A)
        agreed = tuple((self._best(each) == best_D).float().mean() for each in students)
        total = torch.stack(divergence).mean()
        return Agreement(total, *(tuple(x.detach() for x in values) for values in (divergence, variation, agreed)))

    def _best(self, logprob_A: torch.Tensor) -> torch.Tensor:
        """Return the first best action of every decision, as a number over all actions."""
        most_D = logprob_A.new_full((self.num_decisions,), -torch.inf)
        most_D = most_D.scatter_reduce(0, self.decision_of_action, logprob_A.detach(), "amax")
        is_best_A = logprob_A.detach() == most_D[self.decision_of_action]
        numbers_A = torch.arange(len(logprob_A), device=logprob_A.device)
        chosen_A = torch.where(is_best_A, numbers_A, len(logprob_A))
        first_D = numbers_A.new_full((self.num_decisions,), len(logprob_A))
        return first_D.scatter_reduce(0, self.decision_of_action, chosen_A, "amin")


def wanted_of(batch: Batch) -> torch.Tensor:
    """Return the flat places of a batch where something is to be predicted, int64 [N]."""
    return batch.wanted


def losses_of(
    logits_NV: torch.Tensor, labels_N: torch.Tensor, rows_N: torch.Tensor, num_modes: int, distillation: float
) -> Losses:
    """Return the losses of a batch that holds the same rows once per mode, one mode after the other.

    `rows_N` are the numbers of the rows that the predicted tokens stand in. With `distillation` the first mode (`full`)
    teaches the others: their distance from it, times this, is added.
    """
    by_mode = logits_NV.chunk(num_modes)
    labels, rows = (each.chunk(num_modes)[0] for each in (labels_N, rows_N))
    share_N = _shares(rows)
    logprobs = [logits.log_softmax(-1) for logits in by_mode]
    answers = tuple(share_N @ F.nll_loss(each, labels, reduction="none") for each in logprobs)
    distances = tuple(
        share_N @ F.kl_div(student, logprobs[0].detach(), reduction="none", log_target=True).sum(-1)
        for student in logprobs[1:]
    )
    total = torch.stack(answers).mean()
    if distillation and distances:
        total = total + distillation * torch.stack(distances).mean()
    right = tuple((logits.detach().argmax(-1) == labels).float().mean() for logits in by_mode)
    return Losses(total, answers, tuple(distance.detach() for distance in distances), right)


def _shares(rows_N: torch.Tensor) -> torch.Tensor:
    """Return what each token counts in a mean over rows of their means, float32 [N]. Rows are numbered in order."""
    begins_N = torch.ones_like(rows_N)
    begins_N[1:] = rows_N[1:] != rows_N[:-1]
    number_N = begins_N.cumsum(0) - 1
    count_N = torch.zeros_like(rows_N).index_add(0, number_N, torch.ones_like(rows_N))
    return 1.0 / (count_N[number_N] * begins_N.sum())
