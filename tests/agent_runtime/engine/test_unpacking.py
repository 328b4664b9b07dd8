"""agent_runtime.engine.unpacking: a GGUF file is unpacked once, whole, whoever else does it or was killed doing it."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from agent_runtime.engine import unpacking
from agent_runtime.engine.errors import BrokenModel
from agent_runtime.engine.model_files import is_whole
from agent_runtime.engine.unpacking import unpacked, unpacked_tokenizer
from tests.tiny_models import save_tiny_gguf, save_tiny_model, tiny_model, tiny_tokenizer

ROOT = Path(__file__).parents[3]

# A process in the middle of unpacking: it says where, and goes on when it is told to.
SLOW = """
import os, shutil, sys
from pathlib import Path
from agent_runtime.engine import unpacking

def slowly(gguf, dtype, folder):
    (folder / "config.json").write_text('{"model_type": "llama"}')
    os.utime(folder, (0, 0))  # as if it had begun long ago
    print(folder, flush=True)
    sys.stdin.readline()
    shutil.copytree(sys.argv[3], folder, dirs_exist_ok=True)

unpacking._unpack = slowly
print(unpacking.unpacked(Path(sys.argv[1]), "float32", Path(sys.argv[2])), flush=True)
"""

# The two processes of a training run; the second one unpacks before the first one looks.
RANKS = """
import os, sys
from pathlib import Path
import torch
from torch.distributed import barrier, init_process_group
from agent_runtime.engine.loading import ModelSpec, load_model

file, cache, meeting, rank = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
if rank == 0:
    barrier()
print(load_model(ModelSpec(str(file), dtype="float32", device="cpu"), cache).digest, flush=True)
if rank == 1:
    barrier()
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A folder such as unpacking makes."""
    return save_tiny_model(tmp_path / "whole")


@pytest.fixture
def copying(whole: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """Unpacking copies `whole`; the files and dtypes that were unpacked."""
    copied: list[tuple[str, object]] = []

    def copy(gguf: Path, dtype: object, folder: Path) -> None:
        copied.append((gguf.name, dtype))
        shutil.copytree(whole, folder, dirs_exist_ok=True)

    monkeypatch.setattr(unpacking, "_unpack", copy)
    return copied


@contextmanager
def process(script: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process, killed at the end if it has not ended."""
    running = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def said(running: subprocess.Popen[str]) -> str:
    """Return the next line that a process prints."""
    assert running.stdout is not None and running.stderr is not None
    line = running.stdout.readline()
    assert line, running.stderr.read()
    return line.strip()


def test_a_gguf_file_becomes_the_model_and_the_tokenizer_that_it_was_made_from(tmp_path, cache):
    file = save_tiny_gguf(tmp_path / "guard.gguf", seed=3)
    folder = unpacked(file, torch.float32, cache)
    ids = torch.arange(3, 60)[None]
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
        assert torch.equal(logits, tiny_model("llama", seed=3)(ids).logits)
    tokenizer, text = AutoTokenizer.from_pretrained(folder), "The north gate <|im_end|> ünï 42\n"
    assert tokenizer(text).input_ids == tiny_tokenizer()(text).input_ids
    assert tokenizer.chat_template == tiny_tokenizer().chat_template


def test_digits_of_smollm_are_single_tokens_whatever_stands_before_them(tmp_path, cache):
    file = save_tiny_gguf(tmp_path / "smol.gguf", pre_tokenizer="smollm")
    tokenizer = AutoTokenizer.from_pretrained(unpacked(file, torch.float32, cache))
    pieces = [piece for piece, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("a\n\n12  3")]
    assert pieces == ["a", "ĊĊ", "1", "2", "ĠĠ", "3"]


def test_a_torn_gguf_file_is_refused_and_leaves_nothing_behind(tmp_path, cache):
    file = tmp_path / "torn.gguf"
    file.write_bytes(save_tiny_gguf(tmp_path / "whole.gguf").read_bytes()[:9000])
    with pytest.raises(BrokenModel, match="Download the GGUF file again"):
        unpacked(file, torch.float32, cache)
    assert list((cache / "models").iterdir()) == []


def test_a_gguf_file_is_unpacked_once_for_its_contents_and_dtype(tmp_path, cache, copying):
    file = tmp_path / "a.gguf"
    file.write_bytes(b"one")
    first = unpacked(file, torch.float32, cache)
    assert unpacked(file, torch.float32, cache) == first
    assert unpacked(file, torch.bfloat16, cache) != first
    file.write_bytes(b"another")
    assert unpacked(file, torch.float32, cache) != first
    assert copying == [("a.gguf", torch.float32), ("a.gguf", torch.bfloat16), ("a.gguf", torch.float32)]


def test_of_two_at_once_one_unpacks_and_the_other_waits(tmp_path, cache, whole, monkeypatch):
    inside, go_on, made = threading.Event(), threading.Event(), []

    def unpack(gguf: Path, dtype: torch.dtype, folder: Path) -> None:
        made.append(folder)
        inside.set()
        assert go_on.wait(timeout=30)
        shutil.copytree(whole, folder, dirs_exist_ok=True)

    monkeypatch.setattr(unpacking, "_unpack", unpack)
    file = tmp_path / "a.gguf"
    file.write_bytes(b"one")
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(unpacked(file, torch.float32, cache))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert inside.wait(timeout=30)
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and found[0] == found[1] and is_whole(found[0])
    assert list((cache / "models").iterdir()) == [found[0]]


def test_a_disk_that_refuses_is_named(tmp_path, cache):
    file = tmp_path / "a.gguf"
    file.write_bytes(b"one")
    cache.write_text("a file where the cache folder should be")
    with pytest.raises(BrokenModel, match="HOTSEAT_CACHE"):
        unpacked(file, torch.float32, cache)


def test_what_a_killed_process_left_is_swept_after_a_day(tmp_path, cache, copying):
    old, fresh = cache / "models" / "partial-old", cache / "models" / "partial-fresh"
    for folder in (old, fresh):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    file = tmp_path / "a.gguf"
    file.write_bytes(b"one")
    unpacked(file, torch.float32, cache)
    assert fresh.is_dir() and not old.exists()


def test_the_tokenizer_of_a_gguf_file_is_unpacked_alone_and_once(tmp_path, cache, monkeypatch):
    file = save_tiny_gguf(tmp_path / "guard.gguf", pre_tokenizer="smollm")
    folder = unpacked_tokenizer(file, cache)
    assert not list(folder.glob("*.safetensors"))
    whole = AutoTokenizer.from_pretrained(unpacked(file, torch.float32, tmp_path / "other"))
    alone = AutoTokenizer.from_pretrained(folder)
    for text in ("hp: 10\n 23", "the north gate is closed"):
        assert alone(text)["input_ids"] == whole(text)["input_ids"]
    assert (alone.chat_template, alone.model_max_length) == (whole.chat_template, 2048)
    monkeypatch.setattr(unpacking, "_gguf_tokenizer", None)  # not asked again
    assert unpacked_tokenizer(file, cache) == folder


def test_the_tokenizer_of_an_unpacked_model_is_taken_from_it(tmp_path, cache):
    file = save_tiny_gguf(tmp_path / "guard.gguf")
    assert unpacked_tokenizer(file, cache) != (whole := unpacked(file, torch.float32, cache))
    other = tmp_path / "empty"
    assert unpacked(file, torch.float32, other) == unpacked_tokenizer(file, other) != whole


def test_a_gguf_file_without_one_of_its_weights_is_refused(tmp_path, cache):
    file = save_tiny_gguf(tmp_path / "guard.gguf")
    file.write_bytes(file.read_bytes().replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_no.weight"))
    with pytest.raises(BrokenModel, match=r"1 weights are missing, the first is model\.layers\.1\.mlp\.up_proj"):
        unpacked(file, torch.float32, cache)
    assert list((cache / "models").iterdir()) == []


def test_what_is_not_whole_is_not_published(tmp_path, cache, whole, monkeypatch):
    def unpack(gguf: Path, dtype: torch.dtype, folder: Path) -> None:
        shutil.copytree(whole, folder, dirs_exist_ok=True)
        (folder / "config.json").unlink()

    monkeypatch.setattr(unpacking, "_unpack", unpack)
    file = tmp_path / "a.gguf"
    file.write_bytes(b"one")
    with pytest.raises(BrokenModel, match="what was written is not whole"):
        unpacked(file, torch.float32, cache)
    assert list((cache / "models").iterdir()) == []


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _cut(name: str, size_bytes: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, size_bytes)


@pytest.mark.parametrize(
    "harm",
    [
        _without("config.json"),
        _without("model.safetensors"),
        _cut("model.safetensors", 9000),
        _cut("tokenizer.json", 0),
    ],
)
def test_a_folder_that_is_not_whole_is_made_anew(harm, tmp_path, cache, copying):
    file = tmp_path / "a.gguf"
    file.write_bytes(b"one")
    folder = unpacked(file, torch.float32, cache)
    harm(folder)
    assert unpacked(file, torch.float32, cache) == folder and is_whole(folder)
    assert len(copying) == 2 and list((cache / "models").iterdir()) == [folder]


def test_a_tokenizer_that_is_not_whole_is_not_taken(tmp_path, cache):
    file = save_tiny_gguf(tmp_path / "guard.gguf")
    alone = unpacked_tokenizer(file, cache)
    for folder in (unpacked(file, torch.float32, cache), alone):
        (folder / "tokenizer.json").write_bytes(b"")
    assert unpacked_tokenizer(file, cache) == alone
    assert AutoTokenizer.from_pretrained(alone).chat_template == tiny_tokenizer().chat_template


def test_a_process_that_is_killed_while_unpacking_leaves_nothing_that_is_taken(tmp_path, cache, whole, copying):
    file = tmp_path / "a.gguf"
    file.write_bytes(b"one")
    with process(SLOW, file, cache, whole) as killed:
        partial = Path(said(killed))
    assert partial.is_dir() and list((cache / "models").iterdir()) == [partial]
    folder = unpacked(file, torch.float32, cache)
    assert is_whole(folder) and list((cache / "models").iterdir()) == [folder]


@pytest.mark.skipif(sys.platform == "win32", reason="an interrupt to one process")
def test_a_process_that_is_interrupted_while_unpacking_leaves_nothing(tmp_path, cache, whole):
    file = tmp_path / "a.gguf"
    file.write_bytes(b"one")
    with process(SLOW, file, cache, whole) as interrupted:
        said(interrupted)
        interrupted.send_signal(signal.SIGINT)
        assert interrupted.wait(timeout=60) != 0
    assert list((cache / "models").iterdir()) == []


def test_what_a_living_process_writes_is_not_swept_however_long_it_takes(tmp_path, cache, whole, copying):
    file, other = tmp_path / "a.gguf", tmp_path / "b.gguf"
    file.write_bytes(b"one")
    other.write_bytes(b"another")
    with process(SLOW, file, cache, whole) as slow:
        partial = Path(said(slow))
        unpacked(other, torch.float32, cache)
        assert partial.is_dir()
        assert slow.stdin is not None
        print(file=slow.stdin, flush=True)
        made = Path(said(slow))
    assert is_whole(made) and unpacked(file, torch.float32, cache) == made and len(copying) == 1


def test_processes_of_one_run_take_what_any_of_them_has_unpacked(tmp_path, cache):
    # transformers saves weights in the first process of a run only: the second one once published a folder without.
    file = save_tiny_gguf(tmp_path / "guard.gguf")
    words = (file, cache, tmp_path / "meeting")
    with process(RANKS, *words, 0) as first, process(RANKS, *words, 1) as second:
        assert said(second) == said(first)
    [folder] = (cache / "models").iterdir()
    assert is_whole(folder)
