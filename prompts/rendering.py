"""A game's templates: Jinja in a sandbox, read and checked when a game is loaded, filled in without the disk."""

from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

from jinja2 import (
    FunctionLoader,
    StrictUndefined,
    Template,
    TemplateNotFound,
    TemplateSyntaxError,
    Undefined,
    meta,
    nodes,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from prompts.errors import GameFolderError, TemplateFailed
from prompts.file_stamps import FileStamps
from prompts.json_text import canonical, writable


class TemplateFolder(ImmutableSandboxedEnvironment):
    """The templates of one folder. What they print depends on nothing but the values they are given."""

    def __init__(self, folder: Path, stamps: FileStamps | None = None) -> None:
        super().__init__(
            loader=FunctionLoader(self._read),
            undefined=StrictUndefined,
            finalize=_printable,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            cache_size=-1,
        )
        self.folder = folder
        self._stamps = stamps or FileStamps()
        # The only two with a will of their own.
        del self.globals["lipsum"], self.filters["random"]
        self.filters["tojson"] = canonical

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A member of an object comes before a method of Python's dict: `value.items` is the game's own `items`."""
        if isinstance(obj, dict):
            if attribute in obj:
                return obj[attribute]
            if type(obj) is dict and not hasattr(obj, attribute):  # Jinja finds that out by two exceptions
                return self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def template(self, name: str, variables: Set[str], asked_by: tuple[Path, int | None] | None = None) -> Template:
        """Read and check a template and all that it includes. Raises GameFolderError.

        `variables` are the names it may use; `asked_by` is where its name was written, for the error if it is missing.
        """
        file, line = asked_by or (self.folder / name, None)
        self._check(name, self._tree(name, file, line), frozenset(variables), ())
        return self.get_template(name)

    def _check(self, name: str, tree: nodes.Template, variables: frozenset[str], on_the_way: tuple[str, ...]) -> None:
        """Check the names that a template uses, and those of all that it includes."""
        unknown = meta.find_undeclared_variables(tree) - variables - set(self.globals)
        for found in tree.find_all(nodes.Name):
            if found.name in unknown:
                known = f"There are: {', '.join(sorted(variables))}." if variables else "Hand it to the macro."
                raise GameFolderError(self.folder / name, found.lineno, f"{found.name!r} is not known here. {known}")
        on_the_way = (*on_the_way, name)
        for node, other in self._included(name, tree):
            if other in on_the_way:
                circle = " -> ".join((*on_the_way[on_the_way.index(other) :], other))
                raise GameFolderError(
                    self.folder / name, node.lineno, f"these templates include each other: {circle}. Break the circle."
                )
            inner = variables | _assigned(tree) if getattr(node, "with_context", True) else frozenset[str]()
            self._check(other, self._tree(other, self.folder / name, node.lineno), inner, on_the_way)

    def _included(self, name: str, tree: nodes.Template) -> Iterator[tuple[nodes.Node, str]]:
        for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            other = node.template  # type: ignore[attr-defined]  # all four have it
            if not (isinstance(other, nodes.Const) and isinstance(other.value, str)):
                raise GameFolderError(
                    self.folder / name, node.lineno, "name the other template in quotes, as one string."
                )
            yield node, other.value

    def _tree(self, name: str, file: Path, line: int | None) -> nodes.Template:
        """A template's syntax tree; the template itself is compiled and kept on the way."""
        try:
            template = self.get_template(name)
            return self.parse(read_text(self.folder / name), name, template.filename)
        except TemplateNotFound:
            advice = "Write it, or mend the name."
            if not self._is_inside(self.folder / name):
                advice = "Nothing outside of a game's folder is read: copy the file into it."
            raise GameFolderError(file, line, f"there is no template {name!r} in {self.folder}. {advice}") from None
        except TemplateSyntaxError as error:
            raise GameFolderError(self.folder / name, error.lineno, f"{error.message}") from None

    def _read(self, name: str) -> tuple[str, str, None] | None:
        file = self._stamps.take(self.folder / name)
        if not file.is_file() or not self._is_inside(file):
            return None
        return read_text(file), str(file), None

    def _is_inside(self, file: Path) -> bool:
        """Whether a file lies in the folder, links followed."""
        return file.resolve().is_relative_to(self.folder.resolve())


def _assigned(tree: nodes.Template) -> frozenset[str]:
    """The names that a template gives values to, which what it includes may use."""
    names = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    names |= {macro.name for macro in tree.find_all(nodes.Macro)} | {
        node.target for node in tree.find_all(nodes.Import)
    }
    for node in tree.find_all(nodes.FromImport):
        names |= {name if isinstance(name, str) else name[1] for name in node.names}
    return frozenset(names)


def read_text(file: Path) -> str:
    """A file of a game folder as text. Raises GameFolderError."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise GameFolderError(file, line, "this is not UTF-8. Save the file as UTF-8.") from None
    except OSError as error:
        raise GameFolderError(file, None, f"cannot be read ({error.strerror}).") from None


def render(template: Template, what: str, **values: Any) -> str:
    """Fill in a template, without the newlines at its end. Raises TemplateFailed."""
    try:
        text = template.render(values)
    except Exception as error:  # an expression in a template can raise anything that Python can
        file, line = _place(error, template)
        raise TemplateFailed(file, line, what, f"{type(error).__name__}: {error}") from None
    return writable(text).rstrip("\n")


def _place(error: Exception, template: Template) -> tuple[Path, int | None]:
    """The innermost template line on the way to an error: Jinja maps its tracebacks back to the templates."""
    place: tuple[Path, int | None] = (Path(template.filename or ""), None)
    folder = template.environment.folder if isinstance(template.environment, TemplateFolder) else place[0].parent
    trace = error.__traceback__
    while trace is not None:
        found = Path(trace.tb_frame.f_code.co_filename)
        if found.is_relative_to(folder) and found.suffix != ".py":
            place = (found, trace.tb_lineno)
        trace = trace.tb_next
    return place


def _printable(value: Any) -> Any:
    """What `{{ }}` prints: text as it is, JSON for the rest. A function would print its address in memory."""
    if isinstance(value, (str, Undefined)):
        return value
    if callable(value):
        raise TypeError("a function cannot be printed: write its brackets, or another name")
    return canonical(value)
