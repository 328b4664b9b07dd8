"""Files of samples: what was written is read, and what was changed since is named by file and line."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.errors import CannotWrite
from agent_runtime.tuning.errors import CutSamples, EditedSamples, NewerSamples, NotSamples
from agent_runtime.tuning.samples import (
    Ask,
    Header,
    Sample,
    SampleWriter,
    encode_sample,
    read_header,
    read_samples,
)

HEADER = Header("toy", {"asks": 1}, "0.1.0", 7, "train", {"toy": {"rules.md": "ab12"}}, ("riddle",))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
lists = st.lists(texts, max_size=3).map(tuple)
asks = st.builds(Ask, texts, texts, texts, texts, lists, st.floats(0, 1), lists)
samples = st.builds(
    Sample,
    game=texts,
    family=texts,
    split=st.sampled_from(["train", "validation", "test"]),
    seed=st.integers(),
    anchor=texts,
    blocks=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    asks=st.lists(asks, max_size=3).map(tuple),
)


def sample(number: int) -> Sample:
    return Sample(
        "toy", "toy", "train", 7, "Rules.\n", ((f"unit/{number}", "hp 31\n"),), (Ask("hp?\n", "31", "31", "hp"),)
    )


def written(path: Path, count: int = 3) -> Path:
    with SampleWriter(path, HEADER) as file:
        for number in range(count):
            file.write(sample(number))
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_what_is_written_is_read_again_and_nothing_else_is_left(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name)
    assert [*read_samples(path)] == [sample(number) for number in range(3)]
    assert read_header(path) == HEADER
    assert [*tmp_path.iterdir()] == [path]


@given(samples)
def test_every_text_survives(tmp_path_factory: pytest.TempPathFactory, made: Sample) -> None:
    path = tmp_path_factory.mktemp("samples") / "a.jsonl"
    with SampleWriter(path, HEADER) as file:
        file.write(made)
    assert [*read_samples(path)] == [made]


def test_the_format_is_pinned(tmp_path: Path) -> None:
    assert written(tmp_path / "a.jsonl", 1).read_text("utf-8") == (
        '{"format":"hotseat-samples-3","generator":"toy","arguments":{"asks":1},"version":"0.1.0","seed":7,"split":"train",'
        '"games":{"toy":{"rules.md":"ab12"}},"held_out":["riddle"]}\n'
        '{"digest":"DIGEST","sample":{"game":"toy","family":"toy","split":"train","seed":7,"anchor":"Rules.\\n",'
        '"blocks":[["unit/0","hp 31\\n"]],"asks":[{"observation":"hp?\\n","target":"31","answer":"31","kind":"hp",'
        '"actions":[],"chance":0.0,"also":[]}]}}\n'
        '{"end":1}\n'
    ).replace("DIGEST", json.loads(encode_sample(sample(0)))["digest"])


def test_a_file_of_the_first_format_whose_asks_have_one_right_answer_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    path.write_text(
        '{"format":"hotseat-samples-1","generator":"toy","arguments":{"asks":1},"version":"0.1.0","seed":7,"split":"train",'
        '"games":{"toy":{"rules.md":"ab12"}}}\n'
        '{"digest":"86573d92585451b6","sample":{"game":"toy","family":"toy","split":"train","seed":7,"anchor":"Rules.\\n",'
        '"blocks":[["unit/0","hp 31\\n"]],"asks":[{"observation":"hp?\\n","target":"31","answer":"31","kind":"hp",'
        '"actions":[],"chance":0.0}]}}\n'
        '{"end":1}\n',
        "utf-8",
    )
    assert read_header(path) == replace(HEADER, held_out=()) and [*read_samples(path)] == [sample(0)]


def test_a_file_of_the_second_format_holds_out_what_its_generator_did(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl")
    now = path.read_text("utf-8")
    for generator, held_out in (("gamecore", ("quest",)), ("toy", ())):
        before = now.replace("samples-3", "samples-2").replace(',"held_out":["riddle"]', "")
        path.write_text(before.replace('"generator":"toy"', f'"generator":"{generator}"'), "utf-8")
        assert read_header(path) == replace(HEADER, generator=generator, held_out=held_out)
        assert [*read_samples(path)] == [sample(number) for number in range(3)]


def test_the_same_samples_are_the_same_bytes_whenever_they_are_written(tmp_path: Path) -> None:
    assert written(tmp_path / "a.gz").read_bytes() == written(tmp_path / "other.gz").read_bytes()


def test_a_share_of_a_file_is_every_so_many_samples(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", 5)
    assert [*read_samples(path, part=1, parts=2)] == [sample(1), sample(3)]
    shares = [found for part in range(3) for found in read_samples(path, part=part, parts=3)]
    assert sorted(shares, key=str) == sorted(read_samples(path), key=str)


def test_nothing_is_left_of_a_file_whose_writer_fails_and_the_one_before_stays(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl")
    with pytest.raises(KeyError), SampleWriter(path, HEADER) as file:
        file.write(sample(9))
        raise KeyError
    assert [*read_samples(path)] == [sample(number) for number in range(3)]
    assert [*tmp_path.iterdir()] == [path]


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(CannotWrite, match=r"a\.jsonl cannot be written"),
        SampleWriter(tmp_path / "no" / "a.jsonl", HEADER),
    ):
        pass


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_file_that_is_cut_anywhere_is_refused_after_its_whole_lines(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        read = []
        with pytest.raises((CutSamples, NotSamples)) as said:
            for each in read_samples(path):
                read.append(each)
        assert read == [sample(number) for number in range(len(read))]
        if isinstance(said.value, CutSamples):
            assert said.value.line == len(read) + 2 and f"line {len(read) + 2}" in str(said.value)


Change = Callable[[list[str]], None]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: lines.__setitem__(2, lines[2].replace("hp 31", "hp 99")), 3),
        (lambda lines: lines.__setitem__(1, lines[1].replace('{"digest"', '{ "digest"')), 2),
        (lambda lines: lines.__setitem__(1, "{}\n"), 2),
        (lambda lines: lines.pop(2), 4),
        (lambda lines: lines.append("{}\n"), 6),
        (lambda lines: lines.__setitem__(0, lines[0].replace('"seed"', '"sead"')), 1),
    ],
)
def test_an_edited_line_is_named(tmp_path: Path, change: Change, line: int) -> None:
    path = written(tmp_path / "a.jsonl")
    lines = path.read_text("utf-8").splitlines(keepends=True)
    change(lines)
    path.write_text("".join(lines), "utf-8")
    with pytest.raises(EditedSamples) as said:
        [*read_samples(path)]
    assert said.value.line == line and f"{path}, line {line}" in str(said.value)


def test_a_whole_line_that_is_no_sample_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with SampleWriter(path, HEADER) as file:
        file.write_line(encode_sample(sample(0)).replace(b'"game"', b'"gain"'))
    with pytest.raises(EditedSamples):
        [*read_samples(path)]


def test_a_newer_format_and_another_file_are_told_apart(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl")
    path.write_text(path.read_text("utf-8").replace("samples-3", "samples-4"), "utf-8")
    with pytest.raises(NewerSamples, match="hotseat-samples-4"):
        read_header(path)
    for other in (b"", b"hello\n", b"[1]\n", b'{"format":"png"}\n', b"\xff\xfe\n"):
        path.write_bytes(other)
        with pytest.raises(NotSamples):
            [*read_samples(path)]
    with pytest.raises(NotSamples, match="cannot be read"):
        read_header(tmp_path / "none.jsonl")
    (tmp_path / "plain.gz").write_bytes(b"not zipped")
    with pytest.raises(NotSamples):
        read_header(tmp_path / "plain.gz")


def test_reading_takes_one_line_at_a_time(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl.gz", 3)
    zipped = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join([*zipped[:3], b"broken\n"])))
    reading = read_samples(path)
    assert [next(reading), next(reading)] == [sample(0), sample(1)]
    with pytest.raises(EditedSamples):
        next(reading)
