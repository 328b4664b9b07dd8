"""What a sanitizer watches on a GPU, run here without one; and that what it says is heard."""

import os
import sys
from pathlib import Path

import pytest
import torch

from agent_runtime.engine.gpu import planning, sharing
from tests.agent_runtime.engine.gpu import small_shapes
from tests.agent_runtime.engine.gpu.layers import DEVICE, Layer
from tests.gpu import sanitized

NO_RACE = "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)"
HALF = torch.bfloat16 if DEVICE.type == "cuda" else torch.float16  # the interpreter does not multiply bfloat16


def test_every_kernel_runs_and_is_right(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sharing, "_LEAST_SAVED", sharing._LEAST_SAVED)  # `main` changes it, for a process of its own
    assert small_shapes.main((HALF, torch.float32), (64,)) == 0
    assert capsys.readouterr().out.count(": 6 forwards, at most ") == 2
    monkeypatch.setitem(small_shapes.LARGEST, HALF, 0.0)
    assert small_shapes.main((HALF,), (64,)) == 1 and "wrong" in capsys.readouterr().out


def test_all_kinds_of_work_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_LEAST_SAVED", 4)
    layer = Layer.of(num_slots=small_shapes.NUM_SLOTS, num_positions=small_shapes.NUM_POSITIONS)
    plans = [planning.plan_work(layout, layer.shape()) for layout in small_shapes.layouts_of(layer)]
    assert all(any(plan.counts[kind] for plan in plans) for kind in range(3)), "narrow, wide and shared"
    assert any(plan.num_parts for plan in plans), "and parts that are merged"


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sanitizer that says what it was asked, and ends as its command does."""
    (tmp_path / "bin").mkdir()
    path = tmp_path / "bin" / sanitized.NAME
    path.write_text(
        f"#!{sys.executable}\n"
        "import os, subprocess, sys\n"
        "at = sys.argv.index(sys.executable)\n"
        "print(*sys.argv[1:at], os.environ['PYTORCH_NO_CUDA_MEMORY_CACHING'], 'TRITON_INTERPRET' in os.environ)\n"
        "sys.exit(subprocess.run(sys.argv[at:]).returncode)\n"
    )
    path.chmod(0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    return path


def says(text: str, code: int = 0) -> list[str]:
    return [sys.executable, "-c", f"print({text!r}); raise SystemExit({code})"]


@pytest.mark.skipif(os.name == "nt", reason="a script is no program there")
def test_what_a_sanitizer_says_is_heard(tool: Path) -> None:
    assert sanitized.sanitizer() == tool
    clean = sanitized.watched(tool, "racecheck", says(NO_RACE))
    assert clean.is_clean and "--tool racecheck 1 False" in clean.said
    clean = sanitized.watched(tool, "memcheck", says("ERROR SUMMARY: 0 errors"))
    assert clean.is_clean and "--tool memcheck --error-exitcode 86 1 False" in clean.said
    for command in (
        says("ERROR SUMMARY: 2 errors"),
        says("ERROR SUMMARY: 0 errors", 1),
        says("nothing at all"),
    ):
        assert not sanitized.watched(tool, "memcheck", command).is_clean


@pytest.mark.skipif(os.name == "nt", reason="a script is no program there")
def test_where_there_is_none_one_sentence_says_so(
    tool: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sanitized, "shapes_command", lambda: says(f"ERROR SUMMARY: 0 errors\n{NO_RACE}"))
    with monkeypatch.context() as able:
        able.setattr(sanitized, "why_not", lambda found: None)
        assert sanitized.main([]) == 0 and capsys.readouterr().out.count("nothing is wrong") == 2
    tool.write_text(f"#!{sys.executable}\nprint('Error: process did not terminate successfully')")
    assert sanitized.main([]) == 1 and capsys.readouterr().err == f"{sanitized.CANNOT}\n"
    monkeypatch.setattr(sanitized, "sanitizer", lambda: None)
    assert sanitized.main([]) == 1 and capsys.readouterr().err == f"{sanitized.NONE}\n"
