"""How modes agree with the untuned model is measured turn by turn, and what does not fit is counted."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from agent_runtime.tuning.agreement import AGREEMENT, Teacher, note_agreement
from agent_runtime.tuning.errors import NotTrainable
from agent_runtime.tuning.packing import Batch
from agent_runtime.tuning.rows import Room, TokenAsk, TokenSample
from agent_runtime.tuning.student import wanted_of
from agent_runtime.turn import Mode

CPU = torch.device("cpu")


class Adapted:
    """A model that likes low tokens, and with its adapter, from the second mode on, high ones."""

    def __init__(self, is_tuned: bool) -> None:
        self._is_tuned = is_tuned

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        before, self._is_tuned = self._is_tuned, False
        yield
        self._is_tuned = before

    def answered(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = wanted_of(batch)
        labels = batch.label.flatten()[wanted]
        logits = -torch.arange(40.0).repeat(len(labels), 1)
        if self._is_tuned:
            logits[len(labels) // 2 :] *= -1
        return logits, labels


def teacher(is_tuned: bool) -> Teacher:
    adapted = Adapted(is_tuned)
    return Teacher((Mode.FULL, Mode.STAR), adapted.disable_adapter, adapted.answered)


def turn(length: int) -> TokenSample:
    return TokenSample(((1, 2), (3,) * length), (TokenAsk((4, 5), ((6, 9), (7, 9), (8, 9))),))


def test_what_the_adapter_changes_is_measured_by_mode() -> None:
    same = teacher(is_tuned=False).measured([turn(3), turn(9)], Room(90, 90), None, CPU)
    alike = {"divergence": 0.0, "variation": 0.0, "agreed": 1.0}
    assert same == {"turns": 2, "left_out": 0, "full": alike, "star": alike}
    tuned = teacher(is_tuned=True).measured([turn(3)], Room(64, 90), 64, CPU)
    assert tuned["full"] == alike
    assert tuned["star"]["agreed"] == 0 and tuned["star"]["divergence"] > 1 and 0.5 < tuned["star"]["variation"] < 1


def test_turns_that_do_not_fit_are_left_out_and_counted_unless_none_is_left() -> None:
    room = Room(row_tokens=40, context=90)
    assert teacher(False).measured([turn(3), turn(99)], room, None, CPU)["left_out"] == 1
    with pytest.raises(NotTrainable, match=r"fits: a row holds 40 tokens, .*; the model has 90 positions"):
        teacher(False).measured([turn(99)], room, None, CPU)
    with pytest.raises(NotTrainable, match=r"fits: the model has 13 positions, and they need 14 to 14 \(extend its"):
        teacher(False).measured([turn(9)], Room(40, 13), None, CPU)


def test_answers_side_by_side_may_be_more_tokens_than_the_model_has_positions() -> None:
    assert turn(9).num_tokens == 18
    assert teacher(False).measured([turn(9)], Room(row_tokens=18, context=14), None, CPU)["left_out"] == 0


def test_before_and_after_stand_in_one_report(tmp_path: Path) -> None:
    note_agreement(tmp_path, "before", {"turns": 1})
    note_agreement(tmp_path, "after", {"turns": 2})
    note_agreement(tmp_path, "after", {"turns": 3})
    assert json.loads((tmp_path / AGREEMENT).read_text()) == {"before": {"turns": 1}, "after": {"turns": 3}}
