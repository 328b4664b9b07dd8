"""Settings: from a file, from flags, and what is refused."""

from pathlib import Path

import pytest

from agent_runtime.adapter_choice import AdapterChoice
from agent_runtime.config import RuntimeSettings, read_settings
from agent_runtime.errors import BadSettings
from agent_runtime.turn import Mode

FILE = """
mode = "star"

[models.fast]
source = "embedded"

[models.wise]
source = "/models/wise"
dtype = "bfloat16"
device_map = "auto"
quantization_config = { load_in_8bit = true }

[engine]
pool_mib = 512

[store]
folder = "matches"
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "hotseat.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_names_models_and_a_flag_wins_over_it(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, FILE))
    assert list(settings.models) == ["fast", "wise"]
    assert settings.models["wise"].quantization_config == {"load_in_8bit": True}
    changed = settings.changed(source="/models/other", pool_mib=64, folder=Path("else"), mode=None, dtype=None)
    assert changed.models["fast"].source == "/models/other"
    assert changed.models["wise"] == settings.models["wise"]
    assert (changed.engine.pool_mib, changed.store.folder, changed.mode) == (64, Path("else"), Mode.STAR)
    assert settings.engine.pool_mib == 512


def test_an_adapter_is_a_folder_a_word_or_nothing(tmp_path: Path) -> None:
    text = "".join(
        f"[models.m{n}]\n{line}\n"
        for n, line in enumerate(
            ["", 'adapter = "none"', 'adapter = "packaged"', 'adapter = "./none"', 'adapter = "tuned/star"']
        )
    )
    models = read_settings(written(tmp_path, text)).models.values()
    words = [AdapterChoice.DEFAULT, AdapterChoice.NONE, AdapterChoice.PACKAGED]
    assert [each.adapter for each in models] == [*words, Path("none"), Path("tuned/star")]
    file = written(tmp_path, '[models.m]\nadapter = "tuned"\n')
    assert read_settings(file).changed(adapter=AdapterChoice.NONE).models["m"].adapter is AdapterChoice.NONE
    with pytest.raises(BadSettings, match="models.m.adapter"):
        read_settings(written(tmp_path, "[models.m]\nadapter = 3\n"))


def test_without_a_file_there_is_one_embedded_model() -> None:
    assert RuntimeSettings().changed(adapter=Path("lora")).models["default"].adapter == Path("lora")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mode = star", "not TOML"),
        ("mod = 'star'", "mod: there is no such key"),
        ("[engine]\npool_mib = 0", "engine.pool_mib: Input should be greater than 0"),
        ("[models.a]\nsauce = 'x'", "models.a.sauce"),
        ("models = {}", "models:"),
    ],
)
def test_a_wrong_file_says_where(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadSettings, match=words):
        read_settings(written(tmp_path, text))


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="cannot be read"):
        read_settings(tmp_path / "none.toml")
