"""`hotseat data`, as it is typed."""

import json
import sys
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from agent_runtime.cli import app, main
from agent_runtime.tuning.data.gamecore import GameCore
from agent_runtime.tuning.samples import Sample, read_header, read_samples
from tests.agent_runtime.tuning.data.test_self_talk import talkative


@pytest.fixture(autouse=True)
def no_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens are estimated: reading the embedded model's tokenizer takes a second a command."""
    from agent_runtime.designer import tokens

    counter = tokens.token_counter("none")
    monkeypatch.setattr("agent_runtime.commands.data_output.token_counter", lambda **asked: counter)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, words)], catch_exceptions=False)


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one sentence that a bad command line gets."""
    monkeypatch.setattr(sys, "argv", ["hotseat", "data", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2 and said.out == ""
    return said.err.splitlines()[-1]


@pytest.mark.parametrize("generator", ["gamecore", "passages", "demonstrations"])
def test_each_generator_writes_a_file_and_says_what_is_in_it(tmp_path: Path, generator: str) -> None:
    out = tmp_path / "a.jsonl.gz"
    ran = run(generator, "--out", out, "--samples", 5, "--blocks", "10-12", "--split", "test", "--seed", 3, "--json")
    assert ran.exit_code == 0
    report = json.loads(ran.stdout)
    samples = [*read_samples(out)]
    assert (report["format"], report["version"], report["generator"]) == ("hotseat.data", 1, generator)
    assert (report["samples"], report["split"], report["seed"]) == (5, "test", 3) and len(samples) == 5
    assert report["blocks"] == sum(len(sample.blocks) for sample in samples)
    assert report["asks"] == sum(kind["asks"] for kind in report["kinds"].values())
    assert report["tokens"]["counted_samples"] == 5 and report["tokens"]["a_block"] > 5
    assert all(0 < kind["best_constant"] <= 1 and 0 < kind["chance"] < 1 for kind in report["kinds"].values())
    assert "estimated" in ran.stderr


def test_ranges_kinds_and_weights_are_read(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    ran = run("gamecore", "--out", out, "--samples", 2, "--kinds", "linked=2, counting", "--blocks", 9)
    assert ran.exit_code == 0
    recipe = GameCore(blocks=(9, 9), kinds=(("linked", 2.0), ("counting", 1.0)))
    assert read_header(out).arguments == recipe.arguments()
    lines = ran.stdout.splitlines()
    assert lines[0].startswith(f"{out}: 2 samples, 18 blocks of ")
    assert {line.split()[0] for line in lines[2:]} <= {"linked", "counting"}


def test_what_is_not_asked_for_is_as_the_recipe_has_it(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    run("gamecore", "--out", out, "--samples", 1, "--bare-quests", 0)
    assert read_header(out).arguments == GameCore().arguments()
    assert [*read_samples(out)] == [GameCore().maker().sample(0)]


def test_ways_of_writing_are_named_with_commas(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    run("gamecore", "--out", out, "--samples", 1, "--blocks", 9, "--writing", "lines, json")
    assert read_header(out).arguments["writing"] == ["lines", "json"]


def test_show_names_every_right_answer(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    run("games", "--game", "tic_tac_toe", "--out", out, "--episodes", 1, "--seed", 3)
    number, ask = next((n, each.asks[0]) for n, each in enumerate(read_samples(out)) if each.asks[0].also)
    assert f"    -> {ask.target}; as right: {', '.join(ask.also)}\n" in run("show", out, "--number", number).stdout


def test_show_prints_blocks_with_tokens_and_what_is_asked(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    run("gamecore", "--out", out, "--samples", 3, "--blocks", 9)
    sample: Sample = [*read_samples(out)][2]
    shown = run("show", out, "--number", 2).stdout
    assert shown.startswith(f"Sample 2 of {out} (gamecore, train, seed 0): 9 blocks, ")
    for name, text in sample.blocks:
        assert f"\n{name}  " in shown and f"    {text.splitlines()[1]}\n" in shown
    for ask in sample.asks:
        assert f"    -> {ask.target}" in shown and f"\n{ask.kind}  " in shown


def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.jsonl"
    run("gamecore", "--out", out, "--samples", 1, "--blocks", 9)
    for words, sentence in (
        (("gamecore", "--out", out, "--kinds", "quest"), "held out"),
        (("gamecore", "--out", out, "--names", "unlike"), "for validation and test"),
        (("gamecore", "--out", out, "--links", "new"), "for validation and test"),
        (("gamecore", "--out", out, "--blocks", "4-9"), "no range within 8 to 400"),
        (("gamecore", "--out", out, "--writing", "prose,rhyme"), "'rhyme' is none of prose, json, renamed, lines"),
        (("passages", "--out", out, "--kinds", "hp"), "none of passage_fact"),
        (("demonstrations", "--out", tmp_path / "no" / "a.jsonl"), "cannot be written"),
        (("show", out, "--number", 1), "fewer than 2 samples"),
        (("show", tmp_path / "none"), "cannot be read"),
        (("show", __file__), "no file of samples"),
    ):
        assert sentence in refused(monkeypatch, capsys, *words)
    assert [*read_samples(out)], "a command that fails leaves the file of before"


@pytest.mark.parametrize(
    "words",
    [
        ("--blocks", "many"),
        ("--block-tokens", "many"),
        ("--split", "exam"),
        ("--kinds", "linked=much"),
        ("--samples", "0"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(tmp_path: Path, words: tuple[str, ...]) -> None:
    ran = CliRunner().invoke(app, ["data", "gamecore", "--out", str(tmp_path / "a"), *words])
    assert ran.exit_code == 2 and not (tmp_path / "a").exists()
    assert f"Invalid value for {words[0]}" in ran.stderr.replace("'", "")


def test_the_options_are_those_that_are_needed_and_no_more() -> None:
    commands = typer.main.get_command(app).commands["data"].commands  # type: ignore[attr-defined]
    common = ["asks", "blocks", "json", "kinds", "out", "samples", "seed", "split", "workers"]
    of_gamecore = ["bare-quests", "block-tokens", "links", "names", "writing"]
    for name, own in (("gamecore", of_gamecore), ("passages", []), ("demonstrations", [])):
        options = sorted(option.removeprefix("--") for each in commands[name].params for option in each.opts)
        assert options == sorted([*common, *own])


def test_a_models_conversations_with_itself_are_written_and_what_is_left_out_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = talkative(tmp_path / "guard")
    monkeypatch.setattr("agent_runtime.engine.loading.load_model", lambda spec: loaded)
    out, words = tmp_path / "chat.jsonl", ("--samples", 5, "--answer-tokens", 6, "--at-once", 16, "--system", "Hi.")
    ran = run("chat", "--out", out, *words, "--json")
    assert ran.exit_code == 0
    report = json.loads(ran.stdout)
    assert (report["format"], report["generator"], report["samples"]) == ("hotseat.data", "chat", 5)
    assert report["left_out"]["answer cut"] > 0 and 1 < report["tokens"]["an_answer"] <= 7
    assert report["arguments"]["system"] == "Hi." and [each.anchor for each in read_samples(out)] == ["Hi."] * 5
    assert f"{out}: 5 conversations, answers of " in run("chat", "--out", out, *words).stdout
    assert "    Hi.\n" in run("show", out, "--number", 4).stdout
