"""`game.toml` with line numbers: every mistake names its file and line and says what to do."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from prompts.errors import GameFolderError
from prompts.rendering import read_text

_TOP = {"name": str, "title": str, "history_turns": int, "length_normalised": bool}
_SEGMENT = {"match": str, "name": str, "key": str, "render": str, "order": int, "max_tokens": int}
_LIVE = {"match": str}
_KIND_NAMES = {str: "a string", int: "a whole number", bool: "true or false"}


class Table:
    """One table of the file: checked keys, and the line of each."""

    def __init__(self, file: Path, lines: list[str], heading: str, number: int, values: Mapping[str, Any]) -> None:
        self._file = file
        self._lines = lines
        self._heading = heading
        self._number = number
        self._values = values

    def check(self, kinds: Mapping[str, type], required: tuple[str, ...]) -> "Table":
        """Refuse keys that are unknown or missing and values of another kind."""
        for key, value in self._values.items():
            if key not in kinds:
                names = [*kinds, *(() if self._heading else ("[[segment]]", "[[live]]"))]
                near = difflib.get_close_matches(key, names, n=1)
                known = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(names)}."
                self.refuse(key, f"unknown key {key!r}. {known}")
            if type(value) is not kinds[key]:
                self.refuse(key, f"{key!r} must be {_KIND_NAMES[kinds[key]]}, not {value!r}.")
        for key in required:
            if key not in self._values:
                self.refuse(None, f"{self._heading or 'the file'} needs the key {key!r}. Add it.")
        return self

    def get(self, key: str, default: Any = None) -> Any:
        """A value, or the default."""
        return self._values.get(key, default)

    def place(self, key: str | None) -> tuple[Path, int | None]:
        """File and line of a key, or of the table."""
        return self._file, self._line(key)

    def refuse(self, key: str | None, why: str) -> NoReturn:
        """Raise a GameFolderError at the key's line."""
        raise GameFolderError(self._file, self._line(key), why)

    def _line(self, key: str | None) -> int | None:
        """tomllib keeps no positions, so the line is looked for: the key behind the n-th heading of its kind."""
        inside, headings, start = not self._heading, 0, None
        for number, line in enumerate(self._lines, 1):
            if line.lstrip().startswith("["):
                if inside and self._heading:
                    break
                same = bool(self._heading) and re.sub(r"\s", "", line).startswith(self._heading)
                headings += same
                inside = same and headings == self._number
                start = number if inside else start
            if inside and key is not None and re.match(rf"\s*['\"]?{re.escape(key)}['\"]?\s*[=.]", line):
                return number
            if not self._heading and key is not None and re.match(rf"\s*\[+\s*{re.escape(key)}\s*[\].]", line):
                return number
        return start or self._line_of_inline_tables()

    def _line_of_inline_tables(self) -> int | None:
        inline = re.compile(rf"\s*{re.escape(self._heading.strip('[]'))}\s*=") if self._heading else None
        return next((number for number, line in enumerate(self._lines, 1) if inline and inline.match(line)), None)


class GameToml:
    """A read and checked `game.toml`: the table at its top, its segments and its live rules. Raises GameFolderError."""

    def __init__(self, file: Path) -> None:
        text = read_text(file)
        self._file = file
        self._lines = text.splitlines()
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"at line (\d+)", str(error))
            raise GameFolderError(file, int(line.group(1)) if line else len(self._lines), f"{error}.") from None
        segments, live = values.pop("segment", []), values.pop("live", [])
        self.top = Table(file, self._lines, "", 0, values).check(_TOP, ("name",))
        self.segments = [table.check(_SEGMENT, ("match", "name")) for table in self._tables("segment", segments)]
        self.live = [table.check(_LIVE, ("match",)) for table in self._tables("live", live)]

    def _tables(self, name: str, found: Any) -> Iterator[Table]:
        if not (isinstance(found, list) and all(isinstance(entry, dict) for entry in found)):
            self.top.refuse(name, f"write [[{name}]], with two brackets, before each rule.")
        for number, values in enumerate(found, 1):
            yield Table(self._file, self._lines, f"[[{name}]]", number, values)
