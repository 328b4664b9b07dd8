"""What is installed: four names that are ours alone, typed, with every file they need, under one version."""

import importlib
import importlib.util
import json
import re
import shutil
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pathspec
import pytest

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TUNED = {"README.md", "beside.svg", "curve.svg", "adapter_config.json", "adapter_model.safetensors", "hotseat.json"}
PACKAGES = ("agent_runtime", "game_adapters", "prompts", "kv_store")
NEEDED = (
    "prompts/defaults/observation.md",
    "prompts/defaults/history.md",
    "kv_store/migrations/env.py",
    *(
        f"prompts/templates/{game}/{name}"
        for game in (
            *("camp", "connect_four", "texas_holdem", "leduc", "tic_tac_toe", "textworld", "babyai", "open_spiel"),
        )
        for name in ("game.toml", "rules.md")
    ),
    *(
        f"agent_runtime/tuning/data/folders/{game}/{name}"
        for game in ("gamecore", "passages", "demonstrations")
        for name in ("game.toml", "rules.md", "observation.md")
    ),
    "agent_runtime/tuning/data/instruct.jsonl",
    *(f"{package}/py.typed" for package in PACKAGES),
)


def selected_files() -> set[str]:
    """What hatchling puts into the wheel: the packages of pyproject.toml without what .gitignore names."""
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    ignored = pathspec.GitIgnoreSpec.from_lines([*lines, "*.py[cdo]"])
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    every = (path for package in packages for path in (ROOT / package).rglob("*") if path.is_file())
    names = (path.relative_to(ROOT).as_posix() for path in every)
    return {name for name in names if not ignored.match_file(name)}


def test_the_wheel_has_our_four_packages_and_no_other() -> None:
    assert sorted(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == sorted(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_nobody_else_owns_our_names(package: str) -> None:
    # One that is installed for development may not be listed at all.
    assert set(packages_distributions().get(package, ())) <= {"hotseat"}
    found = importlib.util.find_spec(package)
    assert found is not None and found.origin is not None
    assert Path(found.origin).resolve() == ROOT / package / "__init__.py", "another package of that name comes first"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_the_wheel_has_every_file_that_is_read_at_run_time() -> None:
    files = selected_files()
    assert set(NEEDED) <= files
    kept = {path.relative_to(ROOT).as_posix() for path in (ROOT / "prompts").rglob("*.md")}
    kept |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "prompts").rglob("*.toml")}
    kept |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "kv_store" / "migrations").rglob("*.py")}
    assert kept <= files


def test_hatchling_selects_the_same_files() -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="pip brings hatchling only while it builds")
    builder = wheel.WheelBuilder(str(ROOT))
    chosen = {Path(file.distribution_path).as_posix() for file in builder.recurse_included_files()}
    assert chosen == selected_files()


def test_the_tuned_adapter_would_be_in_a_wheel(tmp_path: Path) -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="pip brings hatchling only while it builds")
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path)
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "agent_runtime" / "tuned").mkdir()
    for name in TUNED:
        (tmp_path / "agent_runtime" / "tuned" / name).touch()
    chosen = {Path(file.distribution_path) for file in wheel.WheelBuilder(str(tmp_path)).recurse_included_files()}
    assert {Path("agent_runtime", "tuned", name) for name in TUNED} <= chosen


def test_the_tuned_adapter_is_whole_small_enough_and_has_a_model_card() -> None:
    folder = ROOT / "agent_runtime" / "tuned"
    if not (folder / "adapter_model.safetensors").is_file():
        assert [file.name for file in folder.iterdir()] == ["README.md"]
        assert "This version brings none" in (folder / "README.md").read_text(encoding="utf-8")
        return
    from agent_runtime.engine.adapters import PACKAGED, adapter_digest, base_digest, is_plain
    from agent_runtime.engine.card import read_card
    from agent_runtime.engine.sources import EMBEDDED, cache_folder

    assert folder == PACKAGED and {file.name for file in folder.iterdir()} == TUNED
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 24_000_000
    assert is_plain(folder), "it is loaded by default, and PEFT is not a dependency"
    card = read_card(folder / "hotseat.json")
    assert card.block_modes and card.base == base_digest(EMBEDDED, cache_folder())
    assert card.digest == adapter_digest(folder)
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] is None
    told = (folder / "README.md").read_text(encoding="utf-8")
    assert {"## Data", "## Recipe", "## Figures", "## Licence"} <= {*told.splitlines()}


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for package in (*PACKAGES, "tests") for path in (ROOT / package).rglob("*.py")}
    assert not [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").is_file()]


def test_the_command_hotseat_leads_somewhere() -> None:
    module, _, function = PROJECT["project"]["scripts"]["hotseat"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_the_version_is_the_newest_of_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert versions and versions[0] == PROJECT["project"]["version"]
    assert f"Status: {versions[0]}" in (ROOT / "README.md").read_text(encoding="utf-8")
