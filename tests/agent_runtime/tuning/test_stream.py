"""Batches of several sources: who fills which row, always the same."""

from hashlib import blake2b
from pathlib import Path

import pytest
import torch

from agent_runtime.engine.text import TextEncoder
from agent_runtime.tuning.errors import CutSamples, EditedSamples, NotTrainable
from agent_runtime.tuning.rows import TokenAsk, TokenSample, row_of
from agent_runtime.tuning.samples import Ask, Header, Sample, SampleWriter, encode_sample
from agent_runtime.tuning.stream import BatchStream, FileSource, Schedule, TokenSource, longest_of
from agent_runtime.tuning.tokens import in_tokens
from agent_runtime.turn import Mode
from tests.tiny_models import tiny_tokenizer


def source(token: int, length: int) -> TokenSource:
    """A source of one sample that is nothing but one token."""
    return TokenSource([TokenSample(((token,) * (length - 2),), (TokenAsk((token,), ((token, token),)),))])


def stream(*sources: tuple[float, TokenSource], rows: int = 1, context: int = 1_000) -> BatchStream:
    return BatchStream(sources, (Mode.FULL, Mode.STAR), rows, 64, context)


def filled_by(made: BatchStream, numbers: range) -> list[set[int]]:
    """Which tokens are in each row of the batches."""
    batches = [made[number] for number in numbers]
    return [set(ids[document >= 0].tolist()) for x in batches for ids, document in zip(x.ids, x.document, strict=True)]


def test_a_row_is_filled_by_one_source_and_rows_are_shared_out_by_weight() -> None:
    rows = filled_by(stream((3.0, source(5, 30)), (1.0, source(6, 7))), range(400))
    assert all(len(tokens) == 1 for tokens in rows)
    assert rows[::2] == rows[1::2]  # both modes hold the same
    share = rows.count({5}) / len(rows)
    assert 0.65 < share < 0.85


def test_a_batch_depends_on_its_number_alone() -> None:
    one, other = (stream((1.0, source(5, 30)), (1.0, source(6, 7)), rows=3) for _ in range(2))
    one[0]
    assert torch.equal(one[7].ids, other[7].ids)


def test_full_mode_in_every_third_step_leaves_its_rows_in_the_others_to_the_block_mode() -> None:
    sources = [(1.0, source(5, 30)), (1.0, source(6, 7))]
    plain = BatchStream(sources, (Mode.FULL, Mode.STAR), 2, 64, 1_000)
    sparse = Schedule(plain, batches_a_step=2, full_every=3)
    for number in range(12):
        is_full = number // 2 % 3 == 0
        assert sparse.modes_of(number // 2) == ((Mode.FULL, Mode.STAR) if is_full else (Mode.STAR,))
        here, there = sparse[number], plain[number]
        assert here.ids.shape == there.ids.shape  # what is compiled for one shape serves all steps
        if is_full:
            assert all(torch.equal(getattr(here, name), getattr(there, name)) for name in ("ids", "place", "seen_to"))
        else:
            block_rows = there.seen_to[2:]
            assert torch.equal(here.ids[:2], there.ids[2:]) and torch.equal(here.seen_to[:2], block_rows)


def test_where_a_source_has_nothing_short_enough_another_fills_the_row_until_none_is_left() -> None:
    made = stream((1.0, source(5, 30)), (9.0, source(6, 65)))
    assert {frozenset(tokens) for tokens in filled_by(made, range(20))} == {frozenset({5})}
    assert sum(made[number].left_out for number in range(20)) > 200
    said = r"fits: a row holds 64 tokens, and they have 65 to 70 \(make rows longer: training\.row_tokens\)\."
    with pytest.raises(NotTrainable, match=said):
        filled_by(stream((9.0, source(6, 65)), (1.0, source(5, 70))), range(1))


def test_what_is_longer_than_the_models_context_is_left_out_of_rows_that_would_hold_it() -> None:
    made = stream((1.0, source(5, 30)), (9.0, source(6, 41)), context=40)
    assert {frozenset(tokens) for tokens in filled_by(made, range(20))} == {frozenset({5})}
    assert sum(made[number].left_out for number in range(20)) > 200
    said = r"fits: the model has 40 positions, and they need 41 to 41 \(extend its context: model\.context\)\."
    with pytest.raises(NotTrainable, match=said):
        filled_by(stream((9.0, source(6, 41)), context=40), range(1))
    with pytest.raises(NotTrainable, match="a row holds 64 tokens, .*; the model has 40 positions"):
        filled_by(stream((9.0, source(6, 65)), context=40), range(1))


def test_asks_and_answers_side_by_side_count_once_for_the_models_context_and_all_for_a_row() -> None:
    asks = (TokenAsk((1, 2, 3), tuple((answer, 9) for answer in range(12))), TokenAsk((1,), ((4, 5, 6, 9),)))
    side_by_side = TokenSample(((1,) * 8, (2,) * 10), asks)
    assert (side_by_side.num_tokens, side_by_side.num_positions) == (8 + 10 + 2 + 24 + 4, 8 + 10 + 2 + 2)
    row = row_of(side_by_side, Mode.FULL)
    assert (len(row.ids), row.place.max() + 1) == (side_by_side.num_tokens, side_by_side.num_positions)
    turns = TokenSource([side_by_side])
    assert stream((1.0, turns), context=22)[0].left_out == 0
    with pytest.raises(NotTrainable, match="the model has 21 positions"):
        stream((1.0, turns), context=21)[0]
    with pytest.raises(NotTrainable, match="a row holds 47 tokens"):
        BatchStream([(1.0, turns)], (Mode.FULL,), 1, 47, 22)[0]


def test_the_longest_sample_is_that_of_all_sources_and_no_longer_than_the_context() -> None:
    sources = [source(5, 30), TokenSource([*source(6, 7).samples, *source(6, 65).samples])]
    assert (longest_of(sources, 1_000), longest_of(sources, 65), longest_of(sources, 64)) == (65, 65, 30)
    assert longest_of(sources, 6) == longest_of([], 6) == 6


def sample(number: int) -> Sample:
    asks = tuple(Ask(f"Gate {place}?\n", f"{number}", f"{number}", "gate") for place in range(3))
    return Sample("gates", "gates", "train", number, "Rules.", (("gate", f"gate {number}\n"), ("hp", "hp 3\n")), asks)


def written(path: Path, *lines: bytes) -> Path:
    with SampleWriter(path, Header("gates", {}, "1", 0, "train")) as writer:
        for line in lines:
            writer.write_line(line)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_file_is_its_samples_in_tokens_over_and_over(tmp_path: Path, name: str) -> None:
    text = TextEncoder(tiny_tokenizer())
    samples = [sample(number) for number in range(7)]
    source = FileSource(written(tmp_path / name, *map(encode_sample, samples)), text)
    for index in (0, 6, 3, 7, 2**31 - 1):
        assert source.tokens(index) == in_tokens(samples[index % 7], text)


def test_a_file_that_cannot_be_trained_on_is_refused_before_a_sample_is_asked_for(tmp_path: Path) -> None:
    text, path, lines = (
        TextEncoder(tiny_tokenizer()),
        tmp_path / "a.jsonl",
        [*map(encode_sample, map(sample, range(5)))],
    )
    with pytest.raises(NotTrainable, match="holds no samples"):
        FileSource(written(path), text)
    whole = written(path, *lines).read_bytes()
    path.write_bytes(whole[:-3])
    with pytest.raises(CutSamples, match="line 7"):
        FileSource(path, text)
    path.write_bytes(whole.replace(b"gate 4", b"gate 5"))
    with pytest.raises(EditedSamples, match="line 6"):
        FileSource(path, text)
    other = b'{"game":"gates"}'
    digest = blake2b(other, digest_size=8).hexdigest().encode()
    other = b'{"digest":"%s","sample":%s}\n' % (digest, other)
    with pytest.raises(EditedSamples, match="line 2: this is no sample"):
        FileSource(written(path, other, other), text)
    late = FileSource(written(path, lines[0], other), text)
    with pytest.raises(EditedSamples, match="line 3: this is no sample"):
        late.tokens(1)
