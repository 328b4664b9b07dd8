"""`hotseat evaluate` of games and texts, as it is typed. Samples are in test_tune, with the adapter they measure."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from agent_runtime.cli import app, main
from agent_runtime.commands import evaluate_output
from agent_runtime.commands.progress import Progress
from agent_runtime.errors import CannotWrite
from tests.agent_runtime.tuning.evaluating.test_texts import CONVERSATIONS, write
from tests.agent_runtime.tuning.test_training import write_samples
from tests.tiny_models import save_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_tiny_model(tmp_path_factory.mktemp("evaluate") / "guard")
    config = json.loads((folder / "config.json").read_text())
    # The tiny tokenizer needs three tokens where SmolLM2 needs one.
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 8192}))
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOTSEAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "talk.jsonl", CONVERSATIONS)
    return tmp_path


def run(model: Path | str, *words: object) -> Result:
    small = ("--model", model, "--pool-mib", 32, "--modes", "full,star")
    return CliRunner().invoke(app, ["evaluate", *map(str, (*small, *words))], catch_exceptions=False)


def report_of(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_everything_at_once_is_one_report(model: Path, home: Path) -> None:
    write_samples(home / "samples.jsonl", 6)
    report = report_of(
        run(
            *(model, "samples.jsonl", "--game", "tic_tac_toe", "--game", "texas_holdem"),
            *("--option", "texas_holdem.hands=2", "--option", "texas_holdem.chips=20"),
            *("--matches", 6, "--opponent", "expert", "--wander", 0.2, "--at-once", 4, "--no-agreement"),
            *("--text", "talk.jsonl", "--out", "report.json", "--json"),
        )
    )
    assert report == json.loads((home / "report.json").read_text())
    assert report["conditions"] == ["full", "star"] and report["environment"]["weights_digest"]
    (file,), (board, cards), (text,) = report["files"], report["games"], report["texts"]
    assert file["cells"][0]["right"]["full"]["samples"] == 6
    assert (board["game"], board["options"], board["opponent"], board["wander"]) == ("tic_tac_toe", {}, "expert", 0.2)
    assert (cards["options"], cards["matches"], cards["at_once"]) == ({"hands": 2, "chips": 20}, 6, 4)
    star = cards["players"]["star"]
    assert star["won"] + star["drawn"] + star["lost"] == star["score"]["items"] == 6
    assert star["decisions"] >= 6 and star["decisions_per_s"] > 0 and 0 < star["legal_mass"] <= 1
    assert "agreement" not in star and {*cards["cost"]} == {"star"} and {*cards["above"]} == {"full", "star"}
    assert text["conversations"] == 5 and text["perplexity"]["mean"] > 1


def test_how_far_it_has_come_is_told_item_by_item_and_match_by_match(
    model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_samples(home / "samples.jsonl", 2)
    told: list[str] = []
    monkeypatch.setattr(Progress, "tell", lambda self, done: told.append(done))
    played = ("--game", "tic_tac_toe", "--opponent", "random", "--matches", 4, "--no-agreement")
    report_of(run(model, "samples.jsonl", "--text", "talk.jsonl", *played, "--json"))
    items = [int(each.split()[1]) for each in told if each.endswith(" items answered")]
    assert told[0] == "samples.jsonl: 0 items answered" and items == [*range(len(items))] and len(items) > 2
    scored = [each for each in told if each.endswith("conversations scored")]
    assert scored == [f"talk.jsonl: {number} conversations scored" for number in range(6)]
    assert [each for each in told if each.startswith("tic_tac_toe, star against random")] == [
        f"tic_tac_toe, star against random: {number} of 4 matches played" for number in range(5)
    ]


def test_matches_of_two_models_are_compared_pair_by_pair(model: Path, home: Path) -> None:
    """Two models, one of them in a process for each mode; the second plays more matches."""
    other = save_tiny_model(home / "other", seed=1)
    (other / "config.json").write_text((model / "config.json").read_text())
    played = ("--game", "tic_tac_toe", "--opponent", "random", "--at-once", 8, "--no-agreement", "--json")
    both = report_of(run(model, *played, "--matches", 12, "--out", "one.json"))["games"][0]
    for mode in ("full", "star"):
        report_of(run(other, *played, "--matches", 14, "--modes", mode, "--out", f"other-{mode}.json"))
    words = ["compare", "one=one.json", "other=other-*.json", "--json", "--against", "one", "--against", ":full"]
    said = CliRunner().invoke(app, words, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    compared = json.loads(said.stdout)
    [line] = compared["games"]
    assert [*line["players"]] == ["one full", "one star", "other full", "other star"] and line["matches"] == 14
    theirs = compared["models"]["other"]["games"][0]
    assert [*theirs["players"]][:2] == ["full", "star"] and {*theirs["cost"]} == {"star"}
    for mode in ("full", "star"):
        rewards = [[*map(float, game["rewards"][mode].split())][:12] for game in (both, theirs)]
        found = line["differences"][f"other {mode} - one {mode}"]
        assert found["reward"]["mean"] == pytest.approx((sum(rewards[1]) - sum(rewards[0])) / 12, abs=1e-5)
        assert (found["score"]["items"], found["score"]["samples"]) == (12, 6)
    assert line["differences"]["one star - one full"]["score"]["points"] == -both["cost"]["star"]["score"]["points"]
    assert both["rewards"]["random"] == " ".join(theirs["rewards"]["random"].split()[:12]), "the same matches"


def test_each_kind_has_a_table(model: Path) -> None:
    result = run(
        model, "--game", "leduc", "--matches", 4, "--opponent", "random,constant:raise", "--text", "talk.jsonl"
    )
    assert result.exit_code == 0, result.output
    games, on_games, texts, on_texts = result.stdout.split("\n\n")
    assert "as few as 2 seeds" in on_games and "over fewer than 5 there is none" in on_games
    assert "as few as 5 conversations" in on_texts
    lines = games.splitlines()
    assert lines[0].startswith("| game | against | player | matches | score | won / drawn / lost | reward |")
    players = [line.split(" | ")[:3] for line in lines[2:]]
    assert players[:2] == [["| leduc", "random", "full"], ["| leduc", "random", "star"]]
    assert ["| leduc", "constant:raise", "expert"] in players
    assert any(name.startswith("best constant: ") for _, _, name in players)
    assert texts.splitlines()[0] == "| text | conversations | tokens | nats a token | perplexity |"
    assert texts.splitlines()[2].startswith("| talk.jsonl | 5 | ")


def test_the_held_out_texts_are_known_by_a_word(model: Path) -> None:
    (text,) = report_of(run(model, "--text", "held-out", "--json"))["texts"]
    assert text["file"] == "instruct.jsonl" and text["conversations"] + text["too_long"]["conversations"] >= 80


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["samples.jsonl", "--row-tokens", "20"], "samples.jsonl: 6 samples, which are all, are too long"),
        (["--text", "long.jsonl"], "long.jsonl: 5 conversations are too long"),
    ],
)
def test_an_evaluation_that_answered_nothing_fails_and_says_what_would_do(
    model: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    write_samples(home / "samples.jsonl", 6)
    write(
        home / "long.jsonl", [[{**each, "content": each["content"] * 2000} for each in talk] for talk in CONVERSATIONS]
    )
    words = [*words, "--out", "report.json"]
    monkeypatch.setattr(sys, "argv", ["hotseat", "evaluate", "--model", str(model), "--pool-mib", "32", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    told, err = capsys.readouterr()
    assert ended.value.code == 2 and said in err and not told
    assert not (home / "report.json").exists()
    if "--row-tokens" in words:
        needed = re.findall(r"\(--row-tokens (\d+)\)", err)[0]
        assert "samples.jsonl is of the split train: the model may have been trained" in err
        report = report_of(run(model, "samples.jsonl", "--row-tokens", needed, "--json"))
        assert report["files"][0]["too_long"]["samples"] == 0


def test_what_was_measured_is_kept_when_a_later_game_fails(
    model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "tests.agent_runtime.tuning.evaluating.test_contests:Slippery"
    words = ["--game", "leduc", "--game", own, "--matches", "4", "--opponent", "random", "--out", "report.json"]
    monkeypatch.setattr(sys, "argv", ["hotseat", "evaluate", "--model", str(model), "--pool-mib", "32", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert [game["game"] for game in json.loads((home / "report.json").read_text())["games"]] == ["leduc"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name files of samples, --game or --text"),
        (["--text", "talk.jsonl", "--plot", "a.svg"], "it draws what samples show"),
        (["--game", "leduc", "--modes", "full,star:unmoved"], "'star:unmoved' is for samples"),
        (["--text", "talk.jsonl", "--modes", "full,moon"], "'moon' is none of full, star"),
        (["--text", "talk.jsonl", "--modes", "full,star, full"], "'full' is named twice: a mode is compared with"),
        (["--game", "leduc", "--game", "camp", "--option", "ticks=2"], "'ticks' belongs to none of leduc, camp"),
        (["--game", "leduc", "--option", "camp.ticks=2"], "'camp.ticks' belongs to none of leduc"),
    ],
)
def test_what_is_asked_wrongly_is_told(words: list[str], said: str) -> None:
    result = run("there/is/no/model", *words)
    assert result.exit_code == 2 and said in " ".join(result.output.replace("│", "").split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--game", "chess"], "There is no game 'chess'"),
        (["--game", "leduc", "--opponent", "luck"], "opponent: 'luck' plays no leduc"),
        (["--text", "none.jsonl"], "none.jsonl, line 1: it cannot be read"),
        (["--text", "talk.jsonl", "--out", "none/a.json"], "a.json cannot be written (there is no such folder)"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_the_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["hotseat", "evaluate", "--model", "there/is/no/model", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 2 and said in told and "Loading" not in told


def test_a_report_that_cannot_be_written_leaves_the_one_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(path: Path, text: str, encoding: str) -> None:
        with path.open("w", encoding=encoding) as file:
            file.write(text[: len(text) // 2])
        raise OSError(28, "No space left on device")

    out = tmp_path / "report.json"
    evaluate_output._write({"files": [1]}, out)
    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(CannotWrite, match="No space left"):
        evaluate_output._write({"files": [1, 2]}, out)
    assert json.loads(out.read_text("utf-8")) == {"files": [1]}
