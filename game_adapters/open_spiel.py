"""OpenSpiel's games of perfect information in words: the board row by row, moves by their squares.

One adapter for a few of them, chosen by the option `title`; the rules of the one that is played are a part of the
state, so that the anchor is the same for all. Squares are a column's letter and a row's number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING

from game_adapters.environments import Environment
from game_adapters.errors import BadOption, WrongEnvironment
from game_adapters.game_state import Json

if TYPE_CHECKING:
    from game_adapters.open_spiel_core import OpenSpielCore


@dataclass(frozen=True, slots=True)
class Title:
    """One of OpenSpiel's games: what it calls it, how large the board is, its pieces, and its rules in words."""

    spiel: str
    rows: int
    columns: int
    pieces: tuple[str, str]
    """The first player's and the second's, as the state's text writes them and as we do."""
    rules: str


TITLES: Mapping[str, Title] = MappingProxyType(
    {
        "breakthrough": Title(
            "breakthrough(rows=6,columns=6)",
            6,
            6,
            ("b", "w"),
            "Breakthrough on 6 rows (numbers, 1 at the bottom) and 6 columns (letters a to f). b begins at the top and "
            "moves down, w begins at the bottom and moves up. A piece moves one square forward, straight or "
            "diagonally, onto a free square; it takes a piece of the other player by a diagonal step only (written "
            "with a star: b3c2*). Who first reaches the other end wins, and so does who takes all pieces. Good play: "
            "reach the end if you can; take a piece that would reach yours; do not step where you are taken for "
            "nothing; keep your pieces together.",
        ),
        "hex": Title(
            "hex(board_size=5)",
            5,
            5,
            ("x", "o"),
            "Hex on 5 rows (numbers, 1 at the top) and 5 columns (letters a to e). Each row is shifted half a square "
            "to the right of the one above: a square touches its neighbours in the row, the squares above (same "
            "column and next column) and the squares below (same column and column before). Players put one piece "
            "each turn on a free square. x wins by a chain of touching pieces from row 1 to row 5, o by a chain from "
            "column a to column e. Good play: complete your chain; block the other's shortest one; take the middle "
            "early, and keep two ways open to connect.",
        ),
        "othello": Title(
            "othello",
            8,
            8,
            ("x", "o"),
            "Othello on 8 rows (numbers, 1 at the top) and 8 columns (letters a to h). x begins. A player puts a piece "
            "on a free square so that pieces of the other player lie in a straight line between it and another own "
            "piece; all of these change sides. Who cannot do that must pass. When nobody can, the player with more "
            "pieces wins. Good play: take corners; do not give them away by the squares beside them; early on, few "
            "pieces and many moves are better than many pieces.",
        ),
    }
)


class OpenSpiel:
    """Contract of `open_spiel`. Everything on the board is public."""

    def make_env(self, seed: int, *, title: str = "breakthrough", opening: int = 2) -> Environment:
        """A game of one of our titles, after `opening` random moves of each player, so that seeds differ."""
        if title not in TITLES:
            raise BadOption("open_spiel", "title", f"there is no {title!r}; there are {', '.join(TITLES)}.")
        if not 0 <= opening <= 5:
            raise BadOption("open_spiel", "opening", f"{opening} random moves; 0 to 5.")
        from game_adapters import core_env
        from game_adapters.open_spiel_core import OpenSpielCore

        env = core_env.env(OpenSpielCore(title, opening))
        env.reset(seed=seed)
        return env

    def describe(self, env: Environment, agent: str) -> Json:
        """The rules, the rows of the board, and whose turn it is."""
        return self.describe_match(env)

    def describe_match(self, env: Environment) -> Json:
        """The same for both players: nothing is hidden."""
        core = core_of(env)
        title = TITLES[core.title]
        grid = core.grid()
        return {
            "rules": title.rules,
            "board": {
                f"row {number}": {"columns": " ".join("abcdefgh"[: title.columns]), "pieces": " ".join(row)}
                for number, row in grid.items()
            },
            "turn": {
                "move": core.num_moves + 1,
                "last_move": core.last_move,
                "to_move": env.agent_selection if env.agents else None,
            },
        }

    def sight(self, agent: str) -> tuple[str, ...]:
        """Everything."""
        return ()

    def action_names(self, env: Environment, agent: str) -> list[str]:
        """The legal moves by their squares; what is not legal now goes by its number."""
        return core_of(env).action_names()

    def observation(self, env: Environment, agent: str) -> str:
        """Who the agent is, and what the other player just did."""
        core = core_of(env)
        piece = TITLES[core.title].pieces[env.possible_agents.index(agent)]
        news = f" The last move was {core.last_move}." if core.last_move else ""
        return f"Move {core.num_moves + 1}. You are {agent} and play {piece}.{news} It is your turn."

    def action_texts(self, env: Environment, agent: str) -> list[str]:
        """None: the names say it."""
        return [""] * core_of(env).num_actions

    def vary_hidden(self, env: Environment, agent: str, random: Random) -> bool:
        """Nothing is hidden."""
        return False


def core_of(env: Environment) -> "OpenSpielCore":
    """The game behind an environment; raises WrongEnvironment."""
    core = getattr(env.unwrapped, "core", None)
    if core is None or core.name != "open_spiel":
        raise WrongEnvironment("open_spiel", str(env.unwrapped))
    return core  # type: ignore[no-any-return]
