"""A game as its folder describes it; the format is in the docstring of `prompts`."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from jinja2 import Template

from prompts.block import Block, Lifetime, Role
from prompts.errors import GameFolderError, PatternError
from prompts.file_stamps import FileStamps, Stamp, stamp_of
from prompts.game_toml import GameToml, Table
from prompts.json_text import label_text, writable
from prompts.pattern import Pattern, parse_pattern
from prompts.rendering import TemplateFolder, read_text
from prompts.rules import CuttingRules, LiveRule, SegmentRule, name_parts

_BLOCK_VARIABLES = frozenset({"value", "key", "path"})
_OBSERVATION_VARIABLES = frozenset({"text", "live", "actions", "last_failure", "persona"})
_HISTORY_VARIABLES = frozenset({"turn_id", "frame", "observation", "action", "ok", "message", "reward"})


@dataclass(frozen=True, eq=False)
class Game:
    """A loaded game. `warnings` are things its author should know that do not stop it.

    `files` are those that it was read from or would have been, each with its stamp of that time.
    """

    name: str
    title: str
    folder: Path
    history_turns: int
    length_normalised: bool
    anchor: Block
    personas: Mapping[str, Block]
    segment_rules: tuple[SegmentRule, ...]
    live_rules: tuple[LiveRule, ...]
    cutting: CuttingRules
    observation: Template
    history: Template
    warnings: tuple[str, ...]
    files: Mapping[Path, Stamp]

    def written_by(self, name: str | None) -> "Game":
        """The same game whose segments are all written by one template of its folder, or without one as JSON.

        Raises GameFolderError.
        """
        files = FileStamps()
        template = None if name is None else TemplateFolder(self.folder, files).template(name, _BLOCK_VARIABLES)
        rules = tuple([replace(rule, template=template) for rule in self.segment_rules])
        read = MappingProxyType({**self.files, **files.stamps})
        return replace(self, segment_rules=rules, cutting=CuttingRules(self.live_rules, rules), files=read)

    def edited_files(self) -> tuple[Path, ...]:
        """The files that were changed, added or removed since the game was read."""
        return tuple(path for path, stamp in self.files.items() if stamp_of(path) != stamp)

    def text_digests(self) -> dict[str, str]:
        """The digest of each file of the folder, by its path there; line ends do not count.

        A file that was edited since the game was read is left out: what it says now is not what the game says.
        """
        digests = {}
        for path, stamp in self.files.items():
            if stamp is None or stamp != stamp_of(path) or not path.is_file() or not path.is_relative_to(self.folder):
                continue
            text = path.read_bytes().replace(b"\r\n", b"\n")
            digests[path.relative_to(self.folder).as_posix()] = hashlib.blake2b(text, digest_size=16).hexdigest()
        return digests


def load_game(folder: Path) -> Game:
    """Read and check a game's folder. Raises GameFolderError, which names file and line."""
    files = FileStamps()
    files.take(folder / "personas")
    toml = GameToml(_game_toml(files.take(folder / "game.toml")))
    templates = TemplateFolder(folder, files)
    name = toml.top.get("name")
    if name != folder.resolve().name:
        toml.top.refuse(
            "name", f"the game is named {name!r} and its folder {folder.resolve().name!r}. Give both one name."
        )
    history_turns = toml.top.get("history_turns", 0)
    if history_turns < 0:
        toml.top.refuse("history_turns", "'history_turns' cannot be negative. Write 0 for none.")
    segments = tuple(_segment_rule(table, templates) for table in toml.segments)
    live = tuple(LiveRule(table.get("match"), _pattern(table)) for table in toml.live)
    return Game(
        name=name,
        title=toml.top.get("title", name),
        folder=folder,
        history_turns=history_turns,
        length_normalised=toml.top.get("length_normalised", False),
        anchor=Block(f"{name}/rules", _filled(files.take(folder / "rules.md")), Role.ANCHOR, Lifetime.GAME),
        personas=MappingProxyType(
            {file.stem: _persona(files.take(file)) for file in sorted(folder.glob("personas/*.md"))}
        ),
        segment_rules=segments,
        live_rules=live,
        cutting=CuttingRules(live, segments),
        observation=_template(templates, files.take(folder / "observation.md"), _OBSERVATION_VARIABLES),
        history=_template(templates, files.take(folder / "history.md"), _HISTORY_VARIABLES),
        warnings=tuple(_warnings(toml, segments, live)),
        files=MappingProxyType(files.stamps),
    )


def find_games(folders: Sequence[Path]) -> dict[str, Path]:
    """All games by name: those in the given folders, then ours; the first of a name wins. Raises GameFolderError.

    A given folder holds games, or is one.
    """
    found: dict[str, Path] = {}
    for parent in (*folders, Path(__file__).parent / "templates"):
        if not parent.is_dir():
            raise GameFolderError(
                parent, None, "there is no such folder. Name the folder that holds your games' folders."
            )
        for folder in (parent, *sorted(parent.iterdir())):
            if (folder / "game.toml").is_file():
                found.setdefault(folder.resolve().name, folder)
    return found


def persona_block(name: str, text: str, lifetime: Lifetime = Lifetime.SESSION) -> Block:
    """A persona as a block: one of the game's, or one that a client brought as text."""
    name = f"persona/{label_text(name)}"
    return Block(name, f"{name}\n{writable(text).strip()}\n", Role.PERSONA, lifetime)


def _persona(file: Path) -> Block:
    return persona_block(file.stem, _filled(file), Lifetime.GAME)


def _game_toml(file: Path) -> Path:
    if not file.is_file():
        raise GameFolderError(
            file, None, "there is no such file. A game folder needs one: its keys are listed in `prompts`."
        )
    return file


def _filled(file: Path) -> str:
    if not file.is_file():
        raise GameFolderError(file, None, "there is no such file. Write the game's rules into it, as plain text.")
    text = read_text(file).strip()
    if not text:
        raise GameFolderError(file, 1, "this file is empty. Write some text into it.")
    return f"{text}\n"


def _template(templates: TemplateFolder, file: Path, variables: frozenset[str]) -> Template:
    if not file.is_file():
        templates = TemplateFolder(Path(__file__).parent / "defaults")
    return templates.template(file.name, variables)


def _pattern(table: Table) -> Pattern:
    try:
        return parse_pattern(table.get("match"))
    except PatternError as error:
        table.refuse("match", str(error))


def _segment_rule(table: Table, templates: TemplateFolder) -> SegmentRule:
    pattern = _pattern(table)
    try:
        parts = name_parts(table.get("name"), pattern)
    except ValueError as error:
        table.refuse("name", str(error))
    if not parts:
        table.refuse("name", "a block needs a name.")
    if table.get("max_tokens", 1) < 1:
        table.refuse("max_tokens", "'max_tokens' must be at least 1.")
    template = table.get("render")
    if template is not None:
        template = templates.template(template, _BLOCK_VARIABLES, asked_by=table.place("render"))
    return SegmentRule(
        match=table.get("match"),
        pattern=pattern,
        name_parts=parts,
        key=table.get("key"),
        template=template,
        order=table.get("order", 0),
        max_tokens=table.get("max_tokens"),
    )


def _warnings(toml: GameToml, segments: Sequence[SegmentRule], live: Sequence[LiveRule]) -> Iterator[str]:
    earlier = {rule.pattern for rule in live}
    for table, rule in zip(toml.segments, segments, strict=True):
        if rule.pattern in earlier:
            file, line = table.place("match")
            yield f"{file}:{line}: an earlier rule takes {rule.match!r}, so this one never does. Remove one of them."
        earlier.add(rule.pattern)
