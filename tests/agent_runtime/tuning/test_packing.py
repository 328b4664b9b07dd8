"""What is counted as a batch is made, so that nobody has to ask a GPU for it."""

import torch

from agent_runtime.tuning.packing import Batch, batch_of, joined
from agent_runtime.tuning.rows import IGNORED, TokenAsk, TokenSample, row_of
from agent_runtime.turn import Mode


def decision(*answers: tuple[int, ...]) -> TokenAsk:
    return TokenAsk((7, 8), answers)


def batch(*, length: int = 60) -> Batch:
    samples = [
        TokenSample(((1, 2), (3,)), (decision((4, 9), (5, 5, 9)), decision((4, 9), (6, 9)))),
        TokenSample(((1, 2), (3, 3)), (decision((4, 9), (5, 9), (6, 6, 6, 9)),)),
    ]
    return batch_of([joined([row_of(each, mode) for each in samples], length) for mode in (Mode.FULL, Mode.STAR)])


def test_predicted_tokens_are_numbered_by_action_and_actions_by_decision() -> None:
    made = batch()
    half = len(made.wanted) // 2
    assert made.label.flatten()[made.wanted[:half]].tolist() == [4, 9, 5, 5, 9, 4, 9, 6, 9, 4, 9, 5, 9, 6, 6, 6, 9]
    assert made.action[:half].tolist() == [0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 6, 6]
    assert made.action[half:].tolist() == [number + 7 for number in made.action[:half].tolist()]
    assert made.decision_of_action.tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 5] and made.num_decisions == 6
    assert (made.label.flatten() != IGNORED).nonzero().flatten().equal(made.wanted)


def test_every_action_has_its_divisor_beside_actions_that_have_none() -> None:
    normalised = TokenAsk((7, 8), ((4, 9), (5, 5, 9)), (2, 3))
    alone = TokenAsk((7,), ((4, 4, 9),), (3,))
    row = row_of(TokenSample(((1, 2), (3,)), (decision((4, 9), (5, 5, 9)), normalised, alone)), Mode.STAR)
    assert batch_of([joined([row, row], 60)]).divisor_of_action.tolist() == [1, 1, 2, 3, 3] * 2


def test_a_trimmed_batch_predicts_the_same_tokens() -> None:
    made = batch()
    trimmed = made.trimmed()
    assert trimmed.ids.shape[1] == made.used < 60 and (trimmed.document[0, -1] >= 0)
    for name in ("label", "ids", "place"):
        whole, short = (getattr(each, name).flatten()[each.wanted] for each in (made, trimmed))
        assert whole.equal(short)
    assert trimmed.to(torch.device("cpu")).trimmed().wanted.equal(trimmed.wanted)


def test_a_row_of_padding_alone_predicts_nothing() -> None:
    empty = batch_of([joined([], 8)])
    assert (empty.used, empty.num_decisions, len(empty.wanted)) == (0, 0, 0)
