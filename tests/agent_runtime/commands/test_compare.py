"""`hotseat compare`, as it is typed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from agent_runtime.cli import app, main
from tests.agent_runtime.tuning.evaluating.reported import file_of, report_of

RIGHT = {"full": {"fact": [4, 3, 4, 4, 2, 4]}, "star": {"fact": [4, 3, 2, 4, 2, 3]}}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two parts of one model in a folder, and a report of another model beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tuned").mkdir()
    for name in ("a", "b"):
        write(Path("tuned") / f"{name}.json", report_of(file_of(f"{name}.jsonl", {"fact": [4] * 6}, RIGHT)))
    none = {"full": {"fact": [0, 1, 0, 0, 1, 0]}}
    write(Path("plain.json"), report_of(file_of("a.jsonl", {"fact": [4] * 6}, none), weights="w2"))
    return tmp_path


def write(path: Path, report: dict[str, Any]) -> None:
    path.write_text(json.dumps(report))


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["compare", *words], catch_exceptions=False)


@pytest.mark.parametrize("words", [["tuned"], ["tuned/*.json"], ["tuned/a.json", "tuned/b.json"], ["guard=tuned"]])
def test_parts_are_named_one_by_one_by_a_folder_or_by_a_pattern(words: list[str]) -> None:
    said = run(*words, "--json")
    assert said.exit_code == 0, said.output
    report = json.loads(said.stdout)
    assert [*report["models"]] == ["guard"] and [file["file"] for file in report["files"]] == ["a.jsonl", "b.jsonl"]


def test_models_go_by_their_names_and_the_first_is_the_reference(home: Path) -> None:
    said = run("untuned=plain.json", "both modes=tuned", "--out", "all.json", "--plot", "all.svg")
    assert said.exit_code == 0, said.output
    table = said.stdout.splitlines()
    assert table[0] == (
        "| blocks | file | items | chance | untuned full | both modes full | both modes star "
        "| both modes full - untuned full | both modes star - untuned full |"
    )
    assert table[2].startswith("| 8 | a.jsonl | 24 | 10.0 | 8.3 | 87.5 | 75.0 | 79.17 [")
    report = json.loads((home / "all.json").read_text())
    assert report["format"] == "hotseat-comparison-1" and [*report["models"]] == ["untuned", "both modes"]
    assert (home / "all.svg").read_text().startswith("<?xml")


def test_a_name_may_be_part_of_a_path(home: Path) -> None:
    (home / "plain.json").rename(home / "rate=1.json")
    assert [*json.loads(run("rate=1.json", "--json").stdout)["models"]] == ["guard"]


def test_parts_of_several_machines_are_told(home: Path) -> None:
    other = file_of("c.jsonl", {"fact": [4] * 6}, RIGHT)
    write(
        Path("tuned/c.json"),
        report_of(other, environment={"model": "guard", "weights_digest": "w1", "device": "gpu"}),
    )
    assert "The parts of tuned have not the same device: cpu, gpu." in run("tuned=tuned").stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.json"], "'none.json': there is no such file"),
        (["a:b=tuned"], "is not of the form NAME=REPORT"),
        (["tuned="], "is not of the form NAME=REPORT"),
        (["=tuned"], "is not of the form NAME=REPORT"),
    ],
)
def test_what_is_asked_wrongly_is_told(words: list[str], said: str) -> None:
    result = run(*words)
    assert result.exit_code == 2 and said in " ".join(result.output.replace("│", "").split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tuned", "plain.json"], "cannot both be 'guard': they measured other weights"),
        (["tuned", "--against", "moon"], "--against: 'moon' is no NAME, NAME:MODE or :MODE"),
        (["tuned", "--plot", "a.xyz"], "a.xyz"),
        (["tuned", "--out", "none/a.json"], "cannot be written (there is no such folder)"),
        (["tuned", "--plot", "none/a.svg"], "cannot be written (there is no such folder)"),
        (["tuned", "--out", "tuned/a.json/b.json"], "cannot be written (there is no such folder)"),
        (["text.json"], "text.json is no report of an evaluation"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    (home / "text.json").write_text("[]")
    monkeypatch.setattr(sys, "argv", ["hotseat", "compare", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    heard = capsys.readouterr()
    assert ended.value.code == 2 and said in heard.err
    assert not heard.out, "nothing was computed first"


def test_torch_is_not_loaded() -> None:
    code = "import sys\nfrom agent_runtime.cli import app\ntry: app(['compare', 'tuned'])\nexcept SystemExit: pass\n"
    code += "sys.exit('torch' in sys.modules)"
    root = str(Path(__file__).parents[3])
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True
    )
    assert ran.returncode == 0 and "| 8 | a.jsonl |" in ran.stdout, ran.stderr
