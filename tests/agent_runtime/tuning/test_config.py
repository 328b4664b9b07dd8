"""A tuning configuration: what is wrong in it is named."""

from pathlib import Path

import pytest

from agent_runtime.adapter_choice import AdapterChoice
from agent_runtime.tuning.config import read_config
from agent_runtime.tuning.errors import BadTuneConfig
from agent_runtime.turn import Mode

DATA = '[data]\ntrain = ["a.jsonl"]\n'
HELD = '[data]\nvalidation = ["held.jsonl"]\n'
TALK = '[data]\nremember = ["talk.jsonl"]\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tune.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_not_said_has_a_default(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, f'{DATA}[training]\nmodes = ["full", "star"]\nlearning_rate = 1\n'))
    assert config.modes == (Mode.FULL, Mode.STAR) and config.training.learning_rate == 1.0
    assert config.model.source == "embedded" and config.folder == tmp_path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[data", "it is no TOML"),
        ("[date]\n", "date: there is no such part; there are model, data, training"),
        ("training = 3\n", "training: it is no table"),
        (f"{DATA}[training]\nstep = 3\n", r"training\.step: there is no such key; there are modes, steps"),
        (f'{DATA}[training]\nsteps = "many"\n', r"training\.steps: 'many' is not a whole number \(default: 1000\)"),
        (f"{DATA}[training]\nsteps = true\n", r"training\.steps: True is not a whole number"),
        (f"{DATA}[training]\nsteps = 1.5\n", r"training\.steps: 1\.5 is not a whole number"),
        (f"{DATA}[training]\nsteps = 0\n", r"training\.steps: at least 1"),
        (f"{DATA}[training]\ncompile = 1\n", r"training\.compile: 1 is not true or false \(default: false\)"),
        (f'{DATA}[training]\nlearning_rate = "1"\n', r"learning_rate: '1' is not a number \(default: 0\.001\)"),
        (f'{DATA}weights = ["1"]\n', r"data\.weights: \['1'\] is not a list of numbers"),
        (f'{DATA}[model]\ncontext = "1"\n', r"model\.context: '1' is not a whole number\.$"),
        (f"{DATA}[training]\nmodes = []\n", r"training\.modes: none is there; each once, of full, star, anchored"),
        (f'{DATA}[training]\nlead = "tail"\n', r"training\.lead: 'tail' is none of none, separator, label"),
        (f"{DATA}[training]\nlearning_rate = 0\n", r"training\.learning_rate: more than 0"),
        (f"{DATA}[training]\nlearning_rate = nan\n", r"training\.learning_rate: more than 0, and finite"),
        (f"{DATA}[training]\nclip_norm = -1\n", r"training\.clip_norm: more than 0, and finite"),
        (f"{DATA}[training]\nfinal_share = -3\n", r"training\.final_share: a share of the learning rate"),
        (f"{DATA}[training]\ndistillation = -2\n", r"training\.distillation: at least 0"),
        (f"{DATA}[training]\nweight_decay = inf\n", r"training\.weight_decay: at least 0, and finite"),
        (f"{DATA}[training]\nworkers = -1\n", r"training\.workers: at least 0"),
        (f"{DATA}[training]\nlora_rank = -4\n", r"training\.lora_rank: at least 0"),
        (f"{DATA}[training]\nlora_alpha = 0\n", r"training\.lora_alpha: at least 1"),
        (f"{DATA}weights = [inf]\n", r"data\.weights: one number above 0 for each file"),
        (f"{DATA}[model]\nrope_theta = nan\n", r"model\.rope_theta: more than 1"),
        (f"{DATA}[model]\ncontext = 0\n", r"model\.context: at least 1"),
        (f'{DATA}[training]\nmodes = ["prefix"]\n', r"training\.modes: 'prefix' is none of full, star, anchored"),
        (f'{DATA}[training]\nmodes = ["star", "star"]\n', r"training\.modes: 'star' is there twice"),
        (f'{DATA}[training]\nmodes = ["star", "full"]\ndistillation = 1\n', "put full first"),
        (f"{DATA}[training]\nfull_every = 2\ndistillation = 1\n", "no distillation"),
        (f'{DATA}[training]\nfull_every = 2\nmodes = ["star"]\n', "takes full mode, one block mode"),
        (f"{DATA}[training]\nfull_every = 0\n", "at least 1"),
        (f"{DATA}[training]\nvalidate_every = 0\n", r"training\.validate_every: at least 1"),
        (f'{DATA}validation = "b.jsonl"\n', r"data\.validation: 'b\.jsonl' is not a list of texts"),
        (f'{DATA}remember = ["b.jsonl"]\n[training]\nlora_rank = 0\n', "nobody has the bare ones"),
        (f'{DATA}remember = ["b.jsonl"]\n[training]\nremember_every = 1\n', r"remember_every: .* no step"),
        (f'{DATA}remember = ["b.jsonl"]\n[training]\nremember_every = 2\nfull_every = 2\n', "the block mode"),
        ("[data]\ntrain = []\n", r"data\.train: no file of samples"),
        ('[data]\ntrain = "a.jsonl"\n', r"data\.train: 'a\.jsonl' is not a list of texts in quotes \(default: \[\]\)"),
        ('[data]\ntrain = ["a"]\nweights = [1, 2]\n', r"data\.weights: one number above 0 for each file"),
        ("[model]\nsource = 3\n", r"model\.source: 3 is not a text in quotes"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadTuneConfig, match=said):
        read_config(written(tmp_path, text))


def test_rows_that_are_said_are_obeyed_and_others_no_longer_than_anything_is(tmp_path: Path) -> None:
    unsaid, said = (read_config(written(tmp_path, f"{DATA}[training]\n{text}")) for text in ("", "row_tokens = 300"))
    for longest, rows in ((None, 8192), (9_000, 8192), (200, 200)):
        assert unsaid.saying_rows(longest).training.row_tokens == unsaid.saying_rows(longest).row_tokens == rows
        assert said.saying_rows(longest).training.row_tokens == 300
    assert (unsaid.row_tokens, said.row_tokens) == (8192, 300)
    with pytest.raises(BadTuneConfig, match=r"training\.row_tokens: at least 1"):
        read_config(written(tmp_path, f"{DATA}[training]\nrow_tokens = 0"))


def test_an_adapter_is_a_word_or_lies_beside_the_file(tmp_path: Path) -> None:
    def named(said: str) -> object:
        return read_config(written(tmp_path, f"{DATA}[model]\n{said}\n")).adapter

    assert named("") is None
    assert (named('adapter = "none"'), named('adapter = "packaged"')) == (AdapterChoice.NONE, AdapterChoice.PACKAGED)
    assert named('adapter = "./none"') == tmp_path / "none" and named('adapter = "/tuned"') == Path("/tuned")
    whole = f"{DATA}[training]\nlora_rank = 0\n[model]\nadapter = "
    assert read_config(written(tmp_path, f'{whole}"none"')).training.lora_rank == 0
    with pytest.raises(BadTuneConfig, match=r"model\.adapter: if all weights change"):
        read_config(written(tmp_path, f'{whole}"packaged"'))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadTuneConfig, match="cannot be read"):
        read_config(tmp_path / "none.toml")


@pytest.mark.parametrize("modes", [["star", "full"], ["star"], ["anchored", "star"], ["full"]])
def test_over_recordings_the_first_mode_is_full_and_a_block_mode_follows(tmp_path: Path, modes: list[str]) -> None:
    text = f"[training]\nmodes = {modes}\n"
    with pytest.raises(BadTuneConfig, match=r"training\.modes: over recordings full mode teaches .* put full first"):
        read_config(written(tmp_path, text), needs_samples=False)
    assert read_config(written(tmp_path, DATA + text)).modes == tuple(map(Mode, modes))


@pytest.mark.parametrize("said", ["", 'modes = ["full", "star"]', 'modes = ["full", "anchored", "star"]'])
def test_over_recordings_modes_may_be_left_to_the_card(tmp_path: Path, said: str) -> None:
    assert read_config(written(tmp_path, f"[training]\n{said}\n"), needs_samples=False).modes[0] is Mode.FULL


def test_over_recordings_full_mode_teaches_in_every_step_and_nothing_else_does(tmp_path: Path) -> None:
    for text, said in (
        ("[training]\nfull_every = 2\n", r"training\.full_every"),
        (TALK, r"data\.remember"),
        (HELD, r"data\.validation"),
    ):
        with pytest.raises(BadTuneConfig, match=f"{said}: .*over recordings"):
            read_config(written(tmp_path, text), needs_samples=False)
