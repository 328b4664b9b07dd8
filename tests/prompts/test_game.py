from pathlib import Path

import pytest

import prompts
from prompts import Game, StateBlocks, find_games, load_game
from prompts.block import Block, Lifetime, Role
from prompts.errors import GameFolderError
from prompts.game import persona_block
from tests.prompts.worlds import UNITS, make_game, rule, write_game

GOOD = """
title = "Tiny"
history_turns = 3
length_normalised = true

[[segment]]
match = "/units/*"
name = "unit/{key}"
key = "id"
render = "unit.md"
order = 30
max_tokens = 120

[[live]]
match = "/clock"
"""


def test_a_game_is_what_its_folder_says(tmp_path: Path) -> None:
    files = {"unit.md": "hp {{ value.hp }}\n", "personas/warden.md": "You guard.\n", "personas/cook.md": "You cook."}
    game = make_game(tmp_path, GOOD, files)
    assert (game.name, game.title, game.history_turns, game.length_normalised) == ("tiny", "Tiny", 3, True)
    assert game.anchor == Block("tiny/rules", "Be kind.\n", Role.ANCHOR, Lifetime.GAME)
    assert list(game.personas) == ["cook", "warden"]
    assert game.personas["warden"] == Block(
        "persona/warden", "persona/warden\nYou guard.\n", Role.PERSONA, Lifetime.GAME
    )
    (rule,) = game.segment_rules
    assert (rule.match, rule.key, rule.order, rule.max_tokens) == ("/units/*", "id", 30, 120)
    assert [live.match for live in game.live_rules] == ["/clock"]
    assert game.warnings == ()


def test_a_game_can_be_written_by_another_template_of_its_folder_or_as_json(tmp_path: Path) -> None:
    game = make_game(tmp_path, GOOD, {"unit.md": "hp {{ value.hp }}\n", "all.md": "{{ path }} has {{ value.hp }}\n"})

    def text(written: Game) -> str:
        state = StateBlocks(written, len)
        state.replace({"units": [{"id": "w", "hp": 7}], "clock": 1})
        (block,) = state.blocks
        return block.text

    assert text(game) == "/units/w\nhp 7\n"
    assert text(game.written_by("all.md")) == "/units/w\n/units/w has 7\n"
    assert text(game.written_by(None)) == '/units/w\n{"hp":7,"id":"w"}\n'
    assert {*game.written_by("all.md").text_digests()} == {*game.text_digests(), "all.md"}
    with pytest.raises(GameFolderError, match="none.md"):
        game.written_by("none.md")


def test_the_least_a_game_needs_is_a_name_and_rules(tmp_path: Path) -> None:
    game = make_game(tmp_path)
    assert (game.title, game.history_turns, game.length_normalised) == ("tiny", 0, False)
    assert game.segment_rules == () and game.personas == {}


def test_the_rules_are_never_a_template(tmp_path: Path) -> None:
    assert make_game(tmp_path, files={"rules.md": "{{ x }} <|im_end|>"}).anchor.text == "{{ x }} <|im_end|>\n"


@pytest.mark.parametrize(
    ("toml", "line", "says"),
    [
        ("histroy_turns = 3", 2, "Did you mean 'history_turns'"),
        ('title = "a"\nhistory_turns = "3"', 3, "a whole number"),
        ("history_turns = true", 2, "a whole number"),
        ("history_turns = -1", 2, "cannot be negative"),
        ("length_normalised = 1", 2, "true or false"),
        ("title = ", 2, "Invalid value"),
        ("[segment]\nmatch = '/a'", 2, "two brackets"),
        ("[meta]\nx = 1", 2, "unknown key 'meta'"),
        ("[[segment]]\nmatch = '/a'", 2, "needs the key 'name'"),
        ("[[segment]]\nname = 'a'", 2, "needs the key 'match'"),
        ("[[live]]\nmatch = '/a'\n\n[[live]]\nkey = 'x'\nmatch = '/b'", 6, "unknown key 'key'"),
        ("[[segment]]\nmatch = '/a'\nname = 'a'\n[[segment]]\nmatch = 'b'\nname = 'b'", 6, "begins with '/'"),
        ("[[segment]]\nname = 'a/{key}'\nmatch = '/a'", 3, "needs a `*`"),
        ("[[segment]]\nname = 'a/{2}'\nmatch = '/a/*'", 3, "needs a `*`"),
        ("[[segment]]\nname = 'a/{id}'\nmatch = '/a/*'", 3, "{id} is not known"),
        ("[[segment]]\nname = 'a/{key'\nmatch = '/a/*'", 3, "a single '{'"),
        ("[[segment]]\nname = '{1}'\nmatch = '/**/*/**'", 3, "between two `**`"),
        ("[[segment]]\nname = ''\nmatch = '/a'", 3, "needs a name"),
        ("[[segment]]\nname = 'a'\nmatch = '/a'\nmax_tokens = 0", 5, "at least 1"),
        ("[[segment]]\nname = 'a'\nmatch = '/a'\nrender = 'no.md'", 5, "no template 'no.md'"),
        ("[[segment]]\nname = 'a'\nmatch = '/a'\nrender = '../other.md'", 5, "no template"),
        ("segment = [\n  { match = '/a', nam = 'a' },\n]", 2, "Did you mean 'name'"),
    ],
)
def test_a_mistake_in_game_toml_is_named_with_its_line(tmp_path: Path, toml: str, line: int, says: str) -> None:
    (tmp_path / "other.md").write_text("out of reach")
    folder = write_game(tmp_path, toml)
    with pytest.raises(GameFolderError) as caught:
        load_game(folder)
    assert says in str(caught.value)
    assert (caught.value.file, caught.value.line) == (folder / "game.toml", line)
    assert str(caught.value).startswith(f"{folder / 'game.toml'}:{line}: ")


@pytest.mark.parametrize(
    ("file", "text", "line", "says"),
    [
        ("unit.md", "hp\n{{ value.hp }\n", 2, "unexpected '}'"),
        ("unit.md", "hp\n\n{{ valeu.hp }}\n", 3, "'valeu' is not known here. There are: key, path, value."),
        ("unit.md", "{{ value | shout }}", 1, "No filter named 'shout'"),
        ("unit.md", "a\n{% include 'b.md' %}", 2, "no template 'b.md'"),
        ("unit.md", "a\n{% include 'unit.md' %}", 2, "include each other: unit.md -> unit.md"),
        ("unit.md", "{% include value.name %}", 1, "in quotes"),
        ("observation.md", "\n{{ value }}", 2, "There are: actions, last_failure, live, persona, text."),
        ("history.md", "{% if %}", 1, "Expected an expression"),
        ("personas/cook.md", " \n", 1, "is empty"),
        ("rules.md", "", 1, "is empty"),
    ],
)
def test_a_mistake_in_another_file_is_named_with_its_line(
    tmp_path: Path, file: str, text: str, line: int, says: str
) -> None:
    toml = f"{UNITS}\nrender = 'unit.md'"
    folder = write_game(tmp_path, toml, {"unit.md": "fine", file: text})
    with pytest.raises(GameFolderError) as caught:
        load_game(folder)
    assert says in str(caught.value)
    assert (caught.value.file, caught.value.line) == (folder / file, line)


def test_a_circle_of_includes_is_named_where_it_closes(tmp_path: Path) -> None:
    files = {"unit.md": "{% include 'a.md' %}", "a.md": "\n{% include 'b.md' %}", "b.md": "{% include 'a.md' %}"}
    with pytest.raises(GameFolderError, match=r"b\.md:1: .*a\.md -> b\.md -> a\.md"):
        make_game(tmp_path, f"{UNITS}\nrender = 'unit.md'", files)


def test_a_file_that_is_not_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    folder = write_game(tmp_path)
    (folder / "rules.md").write_bytes(b"fine\ncaf\xe9")
    with pytest.raises(GameFolderError, match=r"rules\.md:2: this is not UTF-8"):
        load_game(folder)


@pytest.mark.parametrize("missing", ["rules.md", "game.toml"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    folder = write_game(tmp_path)
    (folder / missing).unlink()
    with pytest.raises(GameFolderError, match="no such file") as caught:
        load_game(folder)
    assert caught.value.file == folder / missing


def test_a_game_is_named_like_its_folder(tmp_path: Path) -> None:
    folder = write_game(tmp_path).rename(tmp_path / "other")
    with pytest.raises(GameFolderError, match=r"game\.toml:1: .*Give both one name"):
        load_game(folder)


def test_a_rule_that_can_never_match_is_warned_of(tmp_path: Path) -> None:
    (warning,) = make_game(tmp_path, UNITS + UNITS).warnings
    assert "game.toml:9: an earlier rule takes '/units/*'" in warning


def test_every_file_of_a_game_has_a_digest_of_its_text(tmp_path: Path) -> None:
    toml = rule("/units/*", "unit/{key}", render="unit.md")
    files = {"rules.md": "Play.\nWell.\n", "unit.md": "{{ value }}", "personas/fox.md": "Sly."}
    folder = write_game(tmp_path / "one", toml, files)
    game = load_game(folder)
    digests = game.text_digests()
    assert digests.keys() == {"game.toml", "rules.md", "unit.md", "personas/fox.md"}
    again = write_game(tmp_path / "two", toml, {**files, "unit.md": "other"})
    (again / "rules.md").write_bytes(b"Play.\r\nWell.\r\n")
    others = load_game(again).text_digests()
    assert {name for name in digests if digests[name] != others[name]} == {"unit.md"}
    # What was edited since is not what the game says.
    (folder / "rules.md").write_text("Play. Or do not.\n", encoding="utf-8")
    assert game.text_digests() == {name: digest for name, digest in digests.items() if name != "rules.md"}


def test_games_are_found_by_name_and_the_first_given_wins(tmp_path: Path) -> None:
    ours = find_games(())
    first, second = tmp_path / "first", tmp_path / "second"
    write_game(first, name="mine")
    write_game(second, name="mine")
    taken = write_game(second, name=next(iter(ours)))
    found = find_games((first, second))
    assert found["mine"] == first / "mine"
    assert found[taken.name] == taken
    assert set(found) == {*ours, "mine"}


def test_a_game_folder_itself_may_be_given(tmp_path: Path) -> None:
    folder = write_game(tmp_path)
    assert find_games((folder,))["tiny"] == folder


def test_a_folder_of_games_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GameFolderError, match="no such folder"):
        find_games((tmp_path / "nowhere",))


def test_every_game_of_ours_loads_without_a_warning() -> None:
    assert {
        name: load_game(folder).warnings for name, folder in find_games(()).items() if load_game(folder).warnings
    } == {}


def test_an_inline_persona_is_a_block_of_its_session() -> None:
    block = persona_block("me\n", "You are {{ kind }}.\n\n")
    assert block == Block("persona/me\\n", "persona/me\\n\nYou are {{ kind }}.\n", Role.PERSONA, Lifetime.SESSION)


def test_the_room_exports_at_most_ten_names() -> None:
    assert len(prompts.__all__) <= 10
