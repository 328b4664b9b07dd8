"""What a game, an environment or a caller can get wrong. Each sentence says what to do.

GameAdapterError
├── UnknownGame             a name that is neither registered nor of the form module:Class
├── GamesExtraMissing       the game's library is not installed
├── BadOption               an option that the game does not have, or a value it cannot use
├── WrongEnvironment        an environment that the game's class does not know how to read
├── NotOnTurn               a turn asked for an agent that the environment does not wait for
├── UnsupportedActionSpace  an action space that is not Discrete
├── BadActionMask           a mask of the wrong length, or with values other than 0 and 1
├── BadActionNames          names that are missing, empty, broken over lines or not unique
├── NoLegalAction           a live agent whose mask allows nothing
└── UnknownAction           an answer that was not offered
"""

from dataclasses import dataclass


class GameAdapterError(Exception):
    """Base of all."""


@dataclass
class UnknownGame(GameAdapterError):
    """A name that is neither registered nor of the form module:Class."""

    name: str
    known: tuple[str, ...]
    why: str | None = None

    def __str__(self) -> str:
        why = f" ({self.why})" if self.why else ""
        return f"There is no game {self.name!r}{why}. Known: {', '.join(self.known)}; or name your own as module:Class."


@dataclass
class GamesExtraMissing(GameAdapterError):
    """The game's library is not installed."""

    game: str
    package: str

    def __str__(self) -> str:
        return f'{self.game} needs {self.package}, which is not installed. Run: pip install "hotseat[games]"'


@dataclass
class BadOption(GameAdapterError):
    """An option that the game does not have, or a value it cannot use."""

    game: str
    option: str
    why: str

    def __str__(self) -> str:
        return f"{self.game} cannot take the option {self.option!r}: {self.why}"


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
