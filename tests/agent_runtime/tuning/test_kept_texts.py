"""A file's texts in memory are those in the file, and a file with anything wrong is refused before the first is asked
for, as by whoever reads it sample by sample."""

import gzip
import random
import tracemalloc
from pathlib import Path

import pytest

from agent_runtime.tuning.errors import CutSamples, EditedSamples, NotSamples, SamplesError
from agent_runtime.tuning.kept_texts import KeptTexts
from agent_runtime.tuning.samples import Ask, Header, Sample, SampleWriter, read_samples, read_texts, sample_of

HEADER = Header("toy", {}, "0.1.0", 7, "train", {})


def written(path: Path, count: int, words: int = 3) -> Path:
    """A file of texts that are hard to compress, so that a small one is many pieces."""
    drawn = random.Random(5)
    with SampleWriter(path, HEADER) as file:
        for number in range(count):
            text = " ".join(f"{drawn.getrandbits(64):x}" for _ in range(words))
            asks = (Ask("hp?\n", "31", "31", "hp"),)
            file.write(Sample("toy", "toy", "train", number, "Rules.\n", (("unit", text),), asks))
    return path


def all_kept(path: Path) -> list[bytes]:
    kept = KeptTexts(path)
    return [kept[number] for number in range(len(kept))]


def refusal(path: Path, kept: bool) -> SamplesError:
    with pytest.raises(SamplesError) as said:
        KeptTexts(path) if kept else [*read_samples(path)]
    return said.value


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_texts_are_those_of_the_file_in_any_order_and_as_often_as_one_likes(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, 300, 300)
    texts, kept = [*read_texts(path)], KeptTexts(path)
    assert len(kept) == 300
    assert [sample_of(path, number, text) for number, text in enumerate(texts)] == [*read_samples(path)]
    for number in [*range(299, -1, -1), 150, 150, 0, 299]:
        assert kept[number] == texts[number]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_file_that_is_cut_anywhere_is_refused_for_the_line_it_is_cut_in(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, 3)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        found, known = refusal(path, kept=True), refusal(path, kept=False)
        assert type(found) is type(known) and isinstance(found, CutSamples | NotSamples)
        assert str(found) == str(known)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_file_with_any_byte_changed_is_refused(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, 3)
    whole = path.read_bytes()
    header = len(whole.splitlines()[0]) if name.endswith("l") else 10  # a header may say what it likes
    for place in range(header, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert isinstance(refusal(path, kept=True), SamplesError)


def test_a_changed_line_of_a_long_file_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl.gz", 200, 100)
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    lines[170] = lines[170].replace(b"hp?", b"mp?")
    path.write_bytes(gzip.compress(b"".join(lines)))
    found = refusal(path, kept=True)
    assert isinstance(found, EditedSamples) and found.line == 171


def test_other_files_and_none_at_all_are_told_as_ever(tmp_path: Path) -> None:
    for name, content in (
        ("a.jsonl", b"hello\n"),
        ("a.gz", b"not zipped"),
        ("b.gz", b""),
        ("c.gz", gzip.compress(b"")),
    ):
        (tmp_path / name).write_bytes(content)
    for name in ("a.jsonl", "a.gz", "b.gz", "c.gz", "none.jsonl", "none.gz"):
        found, known = refusal(tmp_path / name, kept=True), refusal(tmp_path / name, kept=False)
        assert isinstance(found, NotSamples) and str(found) == str(known)


def test_what_follows_the_end_of_a_zipped_file_is_refused_but_for_zeros(tmp_path: Path) -> None:
    path = written(tmp_path / "a.gz", 3)
    whole, texts = path.read_bytes(), all_kept(path)
    path.write_bytes(whole + b"\0" * 9)
    assert all_kept(path) == texts
    for more in (b"more", gzip.compress(b"more")):
        path.write_bytes(whole + more)
        found, known = refusal(path, kept=True), refusal(path, kept=False)
        assert str(found) == str(known)


def test_zipped_files_in_a_row_are_one(tmp_path: Path) -> None:
    path = written(tmp_path / "a.gz", 90, 200)
    texts = [*read_texts(path)]
    unzipped = gzip.decompress(path.read_bytes())
    cuts = [0, 1, 100_000, 100_001, len(unzipped)]
    parts = [gzip.compress(unzipped[first:stop]) for first, stop in zip(cuts, cuts[1:], strict=False)]
    path.write_bytes((b"\0" * 3).join(parts) + gzip.compress(b""))
    assert all_kept(path) == texts == [*read_texts(path)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_memory_holds_them_compressed(tmp_path: Path, name: str) -> None:
    drawn = random.Random(3)
    names = ["".join(drawn.choices("abcdefgh", k=12)) for _ in range(400)]
    path = tmp_path / name
    with SampleWriter(path, HEADER) as file:
        for number in range(300):
            text = "\n".join(drawn.choices(names, k=2000))
            file.write(Sample("toy", "toy", "train", number, "Rules.\n", (("unit", text),), ()))
    size = sum(map(len, read_texts(path)))
    tracemalloc.start()
    kept = KeptTexts(path)
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept) == 300 and held < most < size / 2
