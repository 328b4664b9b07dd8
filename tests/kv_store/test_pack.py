import errno
import hashlib
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from kv_store import durable_files, pack
from kv_store.errors import BadBlock, Fault, PackUnreadable
from kv_store.pack import DTYPES, BlockToWrite, PackReader, check_block, write_pack
from tests.kv_store.worlds import block, flip_byte, same, tensors_of


def write(path: Path, *blocks: BlockToWrite, fingerprint: str = "fp") -> dict[str, str]:
    return {one.key: one.checksum for one in write_pack(path, fingerprint, "match/7", blocks)}


def read(path: Path, key: str, checksum: str, fingerprint: str = "fp") -> pack.Tensors:
    with PackReader(path) as reader:
        return reader.read(key, fingerprint, checksum)


def fault_of(path: Path, key: str, checksum: str, fingerprint: str = "fp") -> Fault:
    with pytest.raises(PackUnreadable) as caught:
        read(path, key, checksum, fingerprint)
    return caught.value.fault


def test_the_bytes_of_a_pack_are_these(tmp_path: Path) -> None:
    path = tmp_path / "pack.safetensors"
    unit = {"k": torch.tensor([[1.0, -2.0]], dtype=torch.bfloat16), "v": torch.tensor([[3.0], [4.0]])}
    write(
        path,
        BlockToWrite("aa", unit, "unit/é"),
        BlockToWrite("bb", {"ids": torch.tensor([1, 258], dtype=torch.int16)}, ""),
    )
    header = (
        rb'{"__metadata__":{"hotseat.pack":"{\"blocks\":{\"aa\":{\"checksum\":'
        rb"\"c8e088c851ef6eaf070c2976ecb65ecb76bcb91bc17baf8a3cc438685d77a1f1\",\"note\":\"unit/\\u00e9\"},"
        rb"\"bb\":{\"checksum\":\"5e15ec688a66c1c2913cf6c355abb23aad870b991dbad2c8cae2900dcf08ec56\","
        rb"\"note\":\"\"}},\"fingerprint\":\"fp\",\"format\":\"hotseat.pack\",\"match\":\"match/7\","
        rb'\"version\":1}"},"aa.v":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},'
        rb'"aa.k":{"dtype":"BF16","shape":[1,2],"data_offsets":[8,12]},'
        rb'"bb.ids":{"dtype":"I16","shape":[2],"data_offsets":[12,16]}}       '
    )
    data = b"\x00\x00@@\x00\x00\x80@" + b"\x80?\x00\xc0" + b"\x01\x00\x02\x01"
    assert path.read_bytes() == len(header).to_bytes(8, "little") + header + data


def test_the_checksum_is_blake2b_over_the_description_and_the_bytes_in_the_order_of_the_names(tmp_path: Path) -> None:
    block = BlockToWrite("aa", {"v": torch.tensor([3.0]), "k": torch.tensor([7], dtype=torch.uint8)}, "n")
    checksum = write(tmp_path / "pack", block)["aa"]
    described = b'["fp","aa","n",[["k","U8",[1]],["v","F32",[1]]]]'
    assert checksum == hashlib.blake2b(described + b"\x07" + b"\x00\x00@@", digest_size=32).hexdigest()


def test_safetensors_itself_reads_a_pack(tmp_path: Path) -> None:
    write(tmp_path / "pack", block("aa"), block("bb"))
    with safe_open(tmp_path / "pack", framework="pt") as file:
        assert sorted(file.keys()) == ["aa.k", "aa.v", "bb.k", "bb.v"]
        assert torch.equal(file.get_tensor("bb.k"), tensors_of("bb")["k"])


def test_a_header_says_everything_that_an_index_needs(tmp_path: Path) -> None:
    checksums = write(tmp_path / "pack", block("aa", 64, "map/gate"), block("bb", 10))
    with PackReader(tmp_path / "pack") as reader:
        header = reader.header
    assert (header.fingerprint, header.match) == ("fp", "match/7")
    assert {key: (found.checksum, found.size_bytes, found.note) for key, found in header.blocks.items()} == {
        "aa": (checksums["aa"], 64, "map/gate"),
        "bb": (checksums["bb"], 10, ""),
    }


tensors = st.builds(
    lambda dtype, shape, seed: (
        torch.frombuffer(
            bytearray(hashlib.shake_128(bytes([seed])).digest(max(1, torch.Size(shape).numel() * dtype.itemsize))),
            dtype=torch.uint8,
        )[: torch.Size(shape).numel() * dtype.itemsize]
        .bitwise_and(1 if dtype is torch.bool else 255)
        .view(dtype)
        .reshape(shape)
    ),
    st.sampled_from(sorted(DTYPES.values(), key=str)),
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    st.integers(0, 255),
)
keys = st.text("0123456789abcdef", min_size=1, max_size=4)
names = st.text(min_size=1, max_size=4).filter(pack.is_storable_text)


@settings(max_examples=40, deadline=None)
@given(blocks=st.dictionaries(keys, st.dictionaries(names, tensors, max_size=4), max_size=4), note=st.text("aé.\n"))
def test_every_tensor_comes_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, blocks: dict[str, pack.Tensors], note: str
) -> None:
    path = tmp_path_factory.mktemp("pack") / "pack.safetensors"
    checksums = write(path, *(BlockToWrite(key, tensors, note) for key, tensors in blocks.items()))
    with PackReader(path) as reader:
        for key, expected in blocks.items():
            found = reader.read(key, "fp", checksums[key])
            assert reader.header.blocks[key].note == note
            assert found.keys() == expected.keys()
            for name, tensor in expected.items():
                assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
                assert found[name].reshape(-1).view(torch.uint8).equal(tensor.reshape(-1).view(torch.uint8))


def test_slices_of_one_tensor_and_the_same_tensor_twice_are_written_as_they_look(tmp_path: Path) -> None:
    whole = torch.arange(24).reshape(4, 6)
    shared = {"rows": whole[1:3], "columns": whole[:, ::2], "again": whole[1:3]}
    checksum = write(tmp_path / "pack", BlockToWrite("aa", shared, ""), BlockToWrite("bb", shared, ""))["aa"]
    assert same(read(tmp_path / "pack", "aa", checksum), shared)


def test_a_block_that_was_read_is_independent_of_the_file(tmp_path: Path) -> None:
    checksum = write(tmp_path / "pack", block("aa"))["aa"]
    found = read(tmp_path / "pack", "aa", checksum)
    (tmp_path / "pack").write_bytes(b"")
    assert same(found, tensors_of("aa"))


def test_a_pack_cut_anywhere_yields_either_what_was_written_or_a_fault(tmp_path: Path) -> None:
    path, cut = tmp_path / "pack", tmp_path / "cut"
    checksums = write(path, block("aa", 8), block("bb", 8))
    content = path.read_bytes()
    sound = set()
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        for key, checksum in checksums.items():
            try:
                assert same(read(cut, key, checksum), tensors_of(key, 8))
                sound.add(key)
            except PackUnreadable as error:
                assert error.fault is Fault.TRUNCATED
    assert sound == {"aa"} or sound == set()


def test_a_flipped_bit_anywhere_makes_a_block_absent_and_never_another(tmp_path: Path) -> None:
    path = tmp_path / "pack"
    checksums = write(path, block("aa", 8), block("bb", 8))
    content = path.read_bytes()
    for position in range(len(content)):
        flip_byte(path, position)
        for key, checksum in checksums.items():
            try:
                assert same(read(path, key, checksum), tensors_of(key, 8))
            except PackUnreadable as error:
                assert str(path) in str(error)
        path.write_bytes(content)


def test_a_flipped_bit_in_the_data_is_a_checksum_fault_of_its_block_alone(tmp_path: Path) -> None:
    checksums = write(tmp_path / "pack", BlockToWrite("aa", {"x": torch.zeros(4)}, ""), block("bb", 8))
    flip_byte(tmp_path / "pack", -24)
    assert fault_of(tmp_path / "pack", "aa", checksums["aa"]) is Fault.CHECKSUM
    assert same(read(tmp_path / "pack", "bb", checksums["bb"]), tensors_of("bb", 8))


def test_another_fingerprint_is_foreign(tmp_path: Path) -> None:
    checksum = write(tmp_path / "pack", block("aa"))["aa"]
    assert fault_of(tmp_path / "pack", "aa", checksum, "other") is Fault.FOREIGN


def test_a_newer_format_is_foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "VERSION", 2)
    checksum = write(tmp_path / "pack", block("aa"))["aa"]
    monkeypatch.setattr(pack, "VERSION", 1)
    assert fault_of(tmp_path / "pack", "aa", checksum) is Fault.FOREIGN


def test_a_block_that_the_pack_does_not_hold_or_holds_with_another_checksum_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path / "pack", block("aa"))
    assert fault_of(tmp_path / "pack", "bb", "0" * 64) is Fault.DAMAGED
    assert fault_of(tmp_path / "pack", "aa", "0" * 64) is Fault.CHECKSUM


def test_a_file_that_is_no_pack_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "pack"
    assert fault_of(path, "aa", "") is Fault.MISSING
    path.mkdir()
    assert fault_of(path, "aa", "") is Fault.UNREADABLE
    other = tmp_path / "other"
    save_file({"aa.k": torch.zeros(2)}, other)
    assert fault_of(other, "aa", "") is Fault.DAMAGED
    for header in (b"[]", b"{}", b"nonsense", b'{"__metadata__":{"hotseat.pack":"[]"}}', b"[" * 5_000):
        other.write_bytes(len(header).to_bytes(8, "little") + header)
        assert fault_of(other, "aa", "") is Fault.DAMAGED
    other.write_bytes(b"\xff" * 100)
    assert fault_of(other, "aa", "") is Fault.TRUNCATED


def test_a_header_that_promises_impossible_tensors_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "pack"
    checksum = write(path, BlockToWrite("aa", {"x": torch.zeros(2, 2)}, ""))["aa"]
    content = path.read_bytes()
    for before, after in ((b"[2,2]", b"[2,3]"), (b"[2,2]", b"[-4] "), (b'"F32"', b'"F99"'), (b"[0,16]", b"[9,16]")):
        path.write_bytes(content.replace(before, after))
        assert fault_of(path, "aa", checksum) is Fault.DAMAGED
    path.write_bytes(content.replace(b"[0,16]", b"[8,24]"))
    assert fault_of(path, "aa", checksum) is Fault.TRUNCATED


@pytest.mark.parametrize("key", ["", "a.b", "x" * 201, "\ud800", "a\0"])
def test_a_key_that_no_pack_can_hold_is_refused(key: str) -> None:
    with pytest.raises(BadBlock, match="without a dot"):
        check_block(key, {})


def test_tensors_that_no_pack_can_hold_are_refused() -> None:
    for tensor in (torch.zeros(2, dtype=torch.complex64), torch.zeros(2).to_sparse(), torch.zeros(2, device="meta")):
        with pytest.raises(BadBlock, match="dense tensor"):
            check_block("aa", {"x": tensor})
    with pytest.raises(BadBlock, match="not text"):
        check_block("aa", {"\ud800": torch.zeros(2)})


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(durable_files.os, step, refuse)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "pack", block("aa"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_an_operating_system_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write(tmp_path / "nowhere" / "pack", block("aa"))
