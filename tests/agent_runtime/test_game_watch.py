"""An edited game folder under matches that are being played: what changed is computed, all else stays."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.game_watch import GameWatcher
from agent_runtime.runtime import AgentRuntime
from agent_runtime.turn import MatchSpec, Mode, Outcome, TurnApplied, TurnResult
from tests.agent_runtime.worlds import GAME, ask, load_tiny, open_duel, play, runtime, state, write_game

TOML = (
    'name = "duel"\nhistory_turns = 2\n'
    '[[live]]\nmatch = "/clock"\n'
    '[[segment]]\nmatch = "/units/*"\nname = "unit/{key}"\nkey = "id"\nrender = "unit.md"\n'
    '[[segment]]\nmatch = "/secrets/*"\nname = "secret/{key}"\nrender = "secret.md"\n'
)
UNITS = tuple(f"unit/u{number}" for number in range(5))


class World:
    """A runtime over a game folder, its watcher, and what the watcher said."""

    def __init__(self, made: AgentRuntime, folder: Path) -> None:
        self.made = made
        self.folder = folder
        self.told: list[str] = []
        self.taken: list[str] = []
        self.watcher = GameWatcher(made, self.told.append, folders=[folder.parent], taken=self.taken.append)
        self._edits = 0

    def edit(self, name: str, text: str | None) -> None:
        """Write a file of the game, or remove it; its time moves on by a second, as it would for a person."""
        file = self.folder / name
        if text is None:
            file.unlink()
            return
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        self._edits += 1
        later = file.stat().st_mtime + self._edits
        os.utime(file, (later, later))

    def look(self) -> str:
        """What one look makes the watcher say; "" for nothing."""
        before = len(self.told)
        self.watcher.look()
        assert len(self.told) - before <= 1
        return self.told[-1] if len(self.told) > before else ""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture
def world(loaded: LoadedModel, tmp_path: Path) -> Iterator[World]:
    games = write_game(tmp_path)
    with runtime(loaded, games) as made:
        world = World(made, games / GAME)
        world.edit("game.toml", TOML)
        world.edit("unit.md", "hp {{ value.hp }} at {{ value.at }}")
        world.edit("secret.md", "{{ value }}")
        world.edit("personas/spy.md", "You spy.")
        yield world


def start(world: World, mode: Mode = Mode.STAR, **options: object) -> None:
    open_duel(world.made, mode, **options)  # type: ignore[arg-type]
    world.made.put_state("m", 0, state=state())
    play(world.made, 0)
    world.made.match("m").served.prefetcher.finish(30)


def encoded(result: TurnResult) -> set[str]:
    assert result.outcome is Outcome.OK and result.account is not None
    assert result.account.blocks_encoded == len(result.account.changed)
    return {use.name for use in result.account.changed}


def test_an_edited_template_changes_its_own_blocks_and_the_others_stay(world: World) -> None:
    start(world)
    world.edit("unit.md", "{{ value.hp }} hp")
    said = world.look()
    assert "read anew (unit.md). match 'm': 5 blocks changed (unit/u0, unit/u1," in said
    assert world.taken == ["duel"]
    result = play(world.made, 1)
    assert encoded(result) == set(UNITS)
    assert result.account is not None and result.account.blocks_hit == 3  # the anchor and two secrets
    assert encoded(play(world.made, 2)) == set()
    assert world.look() == ""


def test_an_edited_template_holds_for_the_frames_that_follow(world: World) -> None:
    start(world)
    world.edit("unit.md", "{{ value.hp }} hp")
    world.look()
    change = world.made.put_state("m", 1, state=state(u3=99))
    assert change.replaced == ("unit/u3",)
    assert {block.text for block in world.made.match("m").seen_by(()).blocks if block.name == "unit/u3"} == {
        "/units/u3\n99 hp\n"
    }


@pytest.mark.parametrize(("mode", "expected"), [(Mode.STAR, 1), (Mode.ANCHORED, 8)])
def test_edited_rules_change_the_anchor_and_what_hangs_on_it(world: World, mode: Mode, expected: int) -> None:
    start(world, mode)
    world.edit("rules.md", "Answer with one of the listed actions, and with nothing else.\n")
    assert "1 block changed (duel/rules)" in world.look()
    names = encoded(play(world.made, 1))
    assert "duel/rules" in names and len(names) == expected


def test_edited_segments_cut_the_state_anew(world: World) -> None:
    start(world)
    world.edit("game.toml", TOML.replace("/secrets/*", "/secrets").replace("secret/{key}", "secrets"))
    said = world.look()
    assert "3 blocks changed (secrets, secret/blue, secret/red)" in said
    assert encoded(play(world.made, 1)) == {"secrets"}


def test_sights_personas_and_history_follow_an_edit(world: World) -> None:
    start(world, sight=("!/secrets",), persona="spy")
    world.made.apply_turn(TurnApplied("s", 0, True))
    world.edit("personas/spy.md", "You spy for red.")
    assert "1 block changed (persona/spy)" in world.look()
    world.edit("history.md", "In turn {{ turn_id }} it was {{ action }}.")
    assert "1 block changed (history/0)" in world.look()
    _, _, (history,) = world.made.session("s").own_blocks()
    assert history.text.startswith("history/0\nIn turn 0 it was")
    assert [block.name for block in world.made.match("m").seen_by(("!/secrets",)).blocks] == list(UNITS)
    assert encoded(play(world.made, 1)) == {"persona/spy", "history/0"}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("unit.md", "hp\n{{ value.hp }", "unit.md:2: unexpected '}'"),
        ("unit.md", "hp\n{{ value.mana }}", "unit.md:2: UndefinedError"),
        ("game.toml", TOML + "[[segment]]\nmatch = '/a'\nnam = 'a'\n", "game.toml:16: unknown key 'nam'"),
        ("game.toml", TOML + "[[segment]]\nmatch = '/a'\nname = 'a'\nrender = 'new.md'\n", "there is no template"),
        ("game.toml", TOML.replace('"duel"', '"dual"'), "game.toml:1: the game is named 'dual'"),
        ("rules.md", None, "rules.md: there is no such file"),
        ("personas/spy.md", None, "Session 's' of match 'm' is the persona 'spy'"),
    ],
)
def test_a_broken_edit_is_told_once_and_the_old_version_stays(
    world: World, name: str, text: str | None, says: str
) -> None:
    start(world, persona="spy")
    before = (world.folder / name).read_text("utf-8")
    world.edit(name, text)
    said = world.look()
    assert said.startswith("Game 'duel' stays as it was: ") and says in said
    assert world.look() == "" and world.look() == ""
    assert encoded(play(world.made, 1)) == set()
    world.made.put_state("m", 1, state=state(u1=3))
    assert encoded(play(world.made, 2, 1)) == {"unit/u1"}
    open_duel(world.made, match="later", sessions=("t",), persona="spy")
    world.edit(name, before + "\n")
    assert "read anew" in world.look()


def test_a_file_that_was_missing_is_taken_when_it_comes(world: World) -> None:
    start(world)
    world.edit("game.toml", TOML.replace("secret.md", "new.md"))
    assert "no template 'new.md'" in world.look()
    world.edit("new.md", "secret: {{ value }}")
    assert "read anew (game.toml). match 'm': 2 blocks changed (secret/blue, secret/red)" in world.look()


def test_a_template_that_breaks_on_one_match_changes_none(world: World) -> None:
    start(world)
    open_duel(world.made, match="other", sessions=("t",))
    world.made.put_state("other", 0, state={"units": [{"id": "u9", "hp": 1, "at": "mill"}], "secrets": {}})
    world.edit("unit.md", "{{ value.hp }}{{ 1 / (value.hp - 1) }}")
    assert "ZeroDivisionError" in world.look()
    assert encoded(play(world.made, 1)) == set()
    world.edit("unit.md", "{{ value.hp }} hp")
    assert (
        "match 'm': 5 blocks changed" in (said := world.look()) and "match 'other': 1 block changed (unit/u9)" in said
    )


def test_a_turn_under_way_keeps_the_prompt_it_took(world: World) -> None:
    start(world)
    turn = world.made.begin_turn(ask(1))
    world.edit("unit.md", "{{ value.hp }} hp")
    world.look()
    assert encoded(turn.run()) == set()
    assert encoded(play(world.made, 2)) == set(UNITS)


def test_many_edits_under_many_turns_break_nothing(world: World) -> None:
    start(world)
    stop = threading.Event()
    broken: list[BaseException] = []

    def edit() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            world.edit("unit.md", f"{'*' * (number % 7)}{{{{ value.hp }}}} hp")
            world.edit("rules.md", f"Answer with one of them{'!' * (number % 5)}\n")
            try:
                world.watcher.look()
            except BaseException as error:
                broken.append(error)

    thread = threading.Thread(target=edit)
    thread.start()
    try:
        for turn in range(1, 30):
            world.made.put_state("m", turn, state=state(u1=turn))
            assert play(world.made, turn, turn).outcome is Outcome.OK
    finally:
        stop.set()
        thread.join(30)
    assert not broken and any("read anew" in said for said in world.told)


def test_it_looks_by_itself(world: World) -> None:
    start(world)
    told = threading.Event()
    with GameWatcher(world.made, lambda sentence: told.set(), every_s=0.01):
        world.edit("unit.md", "{{ value.hp }} hp")
        assert told.wait(30)
    assert {use.name for use in play(world.made, 1).account.changed} == set(UNITS)  # type: ignore[union-attr]


def test_a_game_that_nobody_plays_is_not_looked_at(world: World) -> None:
    world.edit("unit.md", "{{")
    assert world.look() == ""


def test_a_game_folder_that_comes_is_a_game_as_soon_as_it_can_be_read(world: World) -> None:
    folder = world.folder.parent / "harbour"
    folder.mkdir()
    assert world.look() == ""
    (folder / "game.toml").write_text('name = "harbour"\n', encoding="utf-8")
    said = world.look()
    assert said.startswith("The new game 'harbour' cannot be played yet: ") and "rules.md" in said
    assert world.look() == "" and "harbour" not in world.made.known_games()
    (folder / "rules.md").write_text("Moor.\n", encoding="utf-8")
    assert world.look() == f"Game 'harbour' is new ({folder}): matches of it can be opened."
    assert world.look() == "" and world.taken == []
    assert world.made.open_match(MatchSpec("h", "harbour")).game == "harbour"
    assert "harbour" in [game["name"] for game in world.made.describe()["games"]]


def test_a_folder_of_games_that_goes_is_told_once(world: World, tmp_path: Path) -> None:
    away = tmp_path / "away"
    told: list[str] = []
    watcher = GameWatcher(world.made, told.append, folders=[away])
    watcher.look()
    watcher.look()
    [sentence] = told
    assert sentence.startswith(f"No game is looked for in {away}: ") and "no such folder" in sentence
