"""What a game, an environment or a caller can get wrong. Each sentence says what to do.

GameAdapterError
├── UnknownGame             a name that is neither registered, installed nor of the form module:Class
├── IncompleteGame          a game's class that lacks a method which is needed here
├── NoGameFolder            a game's class that does not say where its game folder lies
├── GamesExtraMissing       the game's library is not installed
├── BadOption               an option that the game does not have, or a value it cannot use
├── GameCodeFailed          code of a game or an environment that raised: what was asked of it, and file and line
├── NoEnvironment           a make_env that returned something else
├── WrongEnvironment        an environment that the game's class does not know how to read
├── BrokenEnvironment       an environment that contradicts itself, was not reset, or says NaN
├── UnknownAgent            a turn asked for an agent that never was in the environment
├── NotOnTurn               a turn asked for an agent that the environment does not wait for
├── AgentNeeded             a turn of a parallel environment that names no agent
├── ObservationNeeded       a turn of a parallel environment whose mask only the caller has
├── UnsupportedActionSpace  an action space that is not Discrete
├── BadActionMask           a mask of the wrong length, or with values other than 0 and 1
├── BadActionNames          names that are missing, empty, broken over lines or not unique
├── BadWords                a sentence, explanations or a sight that are something else
├── BadGameState            a state that is no JSON object: the place, and what stands there
├── NoLegalAction           a live agent whose mask allows nothing
├── UnknownAction           an answer that was not offered
├── NoExpert                a game for which no policy is known that plays it well
├── ExpertLost              a moment in which a game's expert has no answer
└── GameNonconforming       a game that fails a check of `conformance`
"""

import difflib
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path

# Agents that a sentence names.
_MOST_AGENTS = 8


class GameAdapterError(Exception):
    """Base of all."""


@dataclass
class UnknownGame(GameAdapterError):
    """A name that is neither registered, installed nor of the form module:Class. `nearest` is one that exists."""

    name: str
    known: tuple[str, ...]
    why: str | None = None
    nearest: str | None = None

    def __str__(self) -> str:
        why = f": {self.why}" if self.why else ""
        hint = f" Did you mean {self.nearest!r}?" if self.nearest else ""
        return (
            f"There is no game {self.name!r}{why}.{hint} "
            f"Known: {', '.join(self.known)}; or name your own as module:Class."
        )


@dataclass
class IncompleteGame(GameAdapterError):
    """A game's class that lacks a method. `needs` is how it must look, and what for."""

    game: str
    needs: str
    nearest: str | None = None

    def __str__(self) -> str:
        hint = f" Did you mean {self.nearest!r}?" if self.nearest else ""
        return f"{self.game} is there, but lacks {self.needs}.{hint}"


@dataclass
class NoGameFolder(GameAdapterError):
    """A game's class that does not say where its game folder lies, or names one that is not there."""

    game: str
    why: str

    def __str__(self) -> str:
        return (
            f"{self.game} has no game folder: {self.why}. Give its class the attribute `folder`, the path from its "
            "module's file to the folder with game.toml and rules.md."
        )


@dataclass
class GamesExtraMissing(GameAdapterError):
    """The game's library is not installed."""

    game: str
    package: str
    extra: str = "games"

    def __str__(self) -> str:
        return f'{self.game} needs {self.package}, which is not installed. Run: pip install "hotseat[{self.extra}]"'


@dataclass
class BadOption(GameAdapterError):
    """An option that the game does not have, or a value it cannot use."""

    game: str
    option: str
    why: str

    def __str__(self) -> str:
        return f"{self.game} cannot take the option {self.option!r}: {self.why}"


@dataclass
class GameCodeFailed(GameAdapterError):
    """Code of a game or an environment that raised; the error itself is the cause (`__cause__`)."""

    game: str
    what: str
    error: Exception

    def __str__(self) -> str:
        said = f": {self.error}" if str(self.error) else ""
        return f"{self.what} of {self.game} raised {type(self.error).__name__}{said} ({self.place}). Mend it there."

    @property
    def place(self) -> str:
        """File and line where it was raised, the innermost that is not a library's."""
        if isinstance(self.error, SyntaxError) and self.error.filename:
            return f"{self.error.filename}:{self.error.lineno}"
        frames = traceback.extract_tb(self.error.__traceback__)
        own = [frame for frame in frames if not _is_of_a_library(frame.filename)]
        return "".join(f"{frame.filename}:{frame.lineno}" for frame in (own or frames)[-1:]) or "place unknown"


def _is_of_a_library(file: str) -> bool:
    """Whether a line is the adapter's, Python's, or a package's: not where a game's author would look first."""
    standard = sysconfig.get_path("stdlib")
    return Path(file).parent == Path(__file__).parent or file.startswith(("<frozen", standard)) or "-packages" in file


@dataclass
class NoEnvironment(GameAdapterError):
    """A make_env that returned something else. `place` is the file and line where it begins."""

    game: str
    found: str
    place: str

    def __str__(self) -> str:
        return (
            f"make_env of {self.game} returned {self.found} ({self.place}). Let it return the environment, reset with "
            "the seed: a PettingZoo AECEnv or ParallelEnv."
        )


@dataclass
class WrongEnvironment(GameAdapterError):
    """An environment that the game's class does not know how to read."""

    game: str
    found: str

    def __str__(self) -> str:
        return (
            f"{self.game} cannot put {self.found} into words. Make the environment with make_env({self.game!r}, seed)."
        )


@dataclass
class BrokenEnvironment(GameAdapterError):
    """An environment that contradicts itself, was not reset, or says NaN."""

    game: str
    why: str

    def __str__(self) -> str:
        return f"The environment of {self.game} cannot be played: {self.why}"


@dataclass
class UnknownAgent(GameAdapterError):
    """A turn asked for an agent that never was in the environment. `agents` are all that it can have, dead ones too."""

    game: str
    agent: str
    agents: tuple[str, ...]

    def __str__(self) -> str:
        near = difflib.get_close_matches(str(self.agent), self.agents, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        more = len(self.agents) - _MOST_AGENTS
        named = ", ".join(self.agents[:_MOST_AGENTS]) + (f" and {more} more" if more > 0 else "")
        return f"{self.game} has no agent {self.agent!r}.{hint} Its agents are {named}."


@dataclass
class NotOnTurn(GameAdapterError):
    """A turn asked for an agent that the environment does not wait for."""

    game: str
    agent: str
    on_turn: str

    def __str__(self) -> str:
        return (
            f"{self.game} waits for {self.on_turn!r}, not for {self.agent!r}. Ask for the turn of env.agent_selection."
        )


@dataclass
class AgentNeeded(GameAdapterError):
    """A turn of a parallel environment that names no agent."""

    game: str

    def __str__(self) -> str:
        return f"{self.game} is a parallel environment: all its agents act at once. Name the agent whose turn you want."


@dataclass
class ObservationNeeded(GameAdapterError):
    """A turn of a parallel environment whose mask only the caller has."""

    game: str
    agent: str

    def __str__(self) -> str:
        return (
            f"What is legal for {self.agent!r} in {self.game} stands in the action_mask of its observation, which a "
            "parallel environment does not keep. Hand in the observations that reset or step returned."
        )


@dataclass
class UnsupportedActionSpace(GameAdapterError):
    """An action space that is not Discrete."""

    game: str
    agent: str
    space: str

    def __str__(self) -> str:
        return (
            f"The action space of {self.agent!r} in {self.game} is {self.space}. An agent chooses among listed "
            "actions, which needs a Discrete space: wrap the environment so that each choice has a number."
        )


@dataclass
class BadActionMask(GameAdapterError):
    """A mask of the wrong length, or with values other than 0 and 1."""

    game: str
    agent: str
    why: str

    def __str__(self) -> str:
        return f"The action mask of {self.agent!r} in {self.game} cannot be read: {self.why}"


@dataclass
class BadActionNames(GameAdapterError):
    """Names that are missing, empty, broken over lines or not unique."""

    game: str
    agent: str
    why: str

    def __str__(self) -> str:
        return f"action_names of {self.game} for {self.agent!r}: {self.why}"


@dataclass
class BadWords(GameAdapterError):
    """What a method of a game's class returned instead of a sentence, of explanations or of a sight."""

    game: str
    agent: str
    method: str
    why: str

    def __str__(self) -> str:
        return f"{self.method} of {self.game} for {self.agent!r}: {self.why}"


@dataclass
class BadGameState(GameAdapterError):
    """A state that is no JSON object: `where` is a JSON Pointer."""

    game: str
    agent: str
    where: str
    found: str

    def __str__(self) -> str:
        asked = f"describe of {self.game} for {self.agent!r}"
        if not self.where:
            return f"{asked} returned {self.found}. It must return a dict with strings as keys."
        return (
            f"{asked}: at {self.where} stands {self.found}, which is not JSON. "
            "Give a dict with strings as keys, a list, a string, int(...), float(...), a bool or None."
        )


@dataclass
class NoLegalAction(GameAdapterError):
    """A live agent whose mask allows nothing."""

    game: str
    agent: str

    def __str__(self) -> str:
        return (
            f"{self.agent!r} in {self.game} is alive and its mask allows no action. "
            "The environment must terminate the agent, or offer an action that passes."
        )


@dataclass
class UnknownAction(GameAdapterError):
    """An answer that was not offered."""

    game: str
    agent: str
    action: str
    offered: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.action!r} was not offered to {self.agent!r} in {self.game}; offered: {', '.join(self.offered)}"


@dataclass
class NoExpert(GameAdapterError):
    """A game for which no policy is known that plays it well."""

    game: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        return f"There is no expert for {self.game!r}. There are experts for {', '.join(self.known)}."


@dataclass
class ExpertLost(GameAdapterError):
    """A moment in which a game's expert has no answer, as after a mistake that cannot be mended."""

    game: str
    why: str

    def __str__(self) -> str:
        return f"The expert of {self.game} has no answer here: {self.why}. End the game, or go on without it."


@dataclass
class GameNonconforming(GameAdapterError):
    """A game that fails a check of `conformance`; a sentence each."""

    game: str
    failures: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.failures)
