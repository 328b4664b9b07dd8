"""What plain transformers says, by ways that share no code with the engine."""

from collections.abc import Sequence

import torch
from transformers import DynamicCache, PreTrainedModel

Ids = Sequence[int]


@torch.inference_mode()
def star_logits(model: PreTrainedModel, blocks: Sequence[Ids], observation: Ids) -> torch.Tensor:
    """Logits [len(observation), V] of one forward under an explicit 4-D mask: blocks see only themselves."""
    ids = [token for block in blocks for token in block] + list(observation)
    length, place = len(ids), 0
    mask = torch.full((length, length), -torch.inf)
    for block in blocks:
        stop = place + len(block)
        mask[place:stop, place:stop] = torch.full((len(block), len(block)), -torch.inf).triu(1)
        place = stop
    mask[place:] = torch.full((length, length), -torch.inf).triu(1)[place:]
    out = model(torch.tensor([ids]), attention_mask=mask[None, None], position_ids=torch.arange(length)[None])
    return out.logits[0, place:]


@torch.inference_mode()
def anchored_logits(model: PreTrainedModel, blocks: Sequence[Ids], observation: Ids) -> torch.Tensor:
    """The same when every block is encoded directly behind the anchor (`blocks[0]`) and then moved to its place."""
    anchor, place = list(blocks[0]), 0
    pieces: list[list[tuple[torch.Tensor, torch.Tensor]]] = []
    for index, block in enumerate(blocks):
        before = anchor if index else []
        cache = DynamicCache()
        model(torch.tensor([before + list(block)]), past_key_values=cache, use_cache=True)
        shift = place - len(before)
        pieces.append(
            [
                (_moved(model, layer.keys[:, :, len(before) :], shift), layer.values[:, :, len(before) :])
                for layer in cache.layers
            ]
        )
        place += len(block)
    whole = DynamicCache()
    for layer in range(len(pieces[0])):
        whole.update(
            torch.cat([piece[layer][0] for piece in pieces], dim=2),
            torch.cat([piece[layer][1] for piece in pieces], dim=2),
            layer,
        )
    rows = len(observation)
    mask = torch.cat((torch.zeros(rows, place), torch.full((rows, rows), -torch.inf).triu(1)), dim=1)
    out = model(
        torch.tensor([list(observation)]),
        past_key_values=whole,
        position_ids=torch.arange(place, place + rows)[None],
        attention_mask=mask[None, None],
    )
    return out.logits[0]


def _moved(model: PreTrainedModel, keys: torch.Tensor, shift: int) -> torch.Tensor:
    """Keys rotated by `shift` more positions; the YaRN factor they carry is left alone."""
    angles = shift * model.model.rotary_emb.inv_freq.double()
    cos, sin = torch.cat([angles.cos()] * 2).float(), torch.cat([angles.sin()] * 2).float()
    half = keys.shape[-1] // 2
    return keys * cos + torch.cat((-keys[..., half:], keys[..., :half]), dim=-1) * sin


@torch.inference_mode()
def causal_logits(model: PreTrainedModel, ids: Ids) -> torch.Tensor:
    """Logits [len(ids), V] of the model's ordinary forward."""
    return model(torch.tensor([list(ids)])).logits[0]


@torch.inference_mode()
def teacher_forced(model: PreTrainedModel, prompt: Ids, answer: Ids) -> float:
    """The log-probability of `answer` behind `prompt`, ordinary attention, token by token."""
    logprobs = causal_logits(model, [*prompt, *answer]).double().log_softmax(-1)
    return sum(float(logprobs[len(prompt) - 1 + i, token]) for i, token in enumerate(answer))
