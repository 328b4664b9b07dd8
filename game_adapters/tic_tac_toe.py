"""Tic-tac-toe (PettingZoo's tictactoe_v3) in words: the board line by line, since lines are what counts."""

from random import Random
from typing import Any

from game_adapters.environments import Environment
from game_adapters.errors import WrongEnvironment
from game_adapters.game_state import Json

ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "center", "right")
PIECES = (".", "X", "O")
# The environment counts its squares column by column.
NAMES = tuple(f"{row} {column}" for column in COLUMNS for row in ROWS)
LINES = {
    **{f"{row} row": tuple(NAMES.index(f"{row} {column}") for column in COLUMNS) for row in ROWS},
    **{f"{column} column": tuple(NAMES.index(f"{row} {column}") for row in ROWS) for column in COLUMNS},
    "falling diagonal": (NAMES.index("top left"), NAMES.index("middle center"), NAMES.index("bottom right")),
    "rising diagonal": (NAMES.index("bottom left"), NAMES.index("middle center"), NAMES.index("top right")),
}


class TicTacToe:
    """Contract of `tic_tac_toe`. Everything on the board is public."""

    def make_env(self, seed: int) -> Environment:
        """tictactoe_v3 without a window, reset; remembers its last move."""
        import pettingzoo

        from game_adapters.last_move import LastMove

        env = LastMove(pettingzoo.make("aec", "classic/tictactoe-v3", render_mode=None))
        env.reset(seed=seed)
        return env

    def describe(self, env: Environment, agent: str) -> Json:
        """The eight lines, each with its three squares, and whose turn it is."""
        return self.describe_match(env)

    def describe_match(self, env: Environment) -> Json:
        """The same for both players: nothing is hidden."""
        squares = squares_of(env)
        to_move: str | None = env.agent_selection if env.agents else None
        return {
            "lines": {
                line: {NAMES[place]: PIECES[squares[place]] for place in places} for line, places in LINES.items()
            },
            "turn": {
                "last_move": _last_move(env),
                "move": 1 + sum(square != 0 for square in squares),
                "to_move": None if to_move is None else f"{to_move} ({_piece(env, to_move)})",
            },
        }

    def sight(self, agent: str) -> tuple[str, ...]:
        """Everything."""
        return ()

    def action_names(self, env: Environment, agent: str) -> list[str]:
        """top left to bottom right."""
        return list(NAMES)

    def observation(self, env: Environment, agent: str) -> str:
        """Who the agent is, and what the other player just did."""
        last = _last_move(env)
        news = f" The last move was {last}." if last else ""
        return f"You are {agent} and play {_piece(env, agent)}.{news} It is your turn."

    def action_texts(self, env: Environment, agent: str) -> list[str]:
        """None: the names say it."""
        return [""] * len(NAMES)

    def vary_hidden(self, env: Environment, agent: str, random: Random) -> bool:
        """Nothing is hidden."""
        return False


def squares_of(env: Environment) -> list[int]:
    """The nine squares in the order of `NAMES`: 0 empty, 1 the first player's, 2 the second's."""
    squares: list[int] | None = getattr(getattr(env.unwrapped, "board", None), "squares", None)
    if squares is None or len(squares) != len(NAMES):
        raise WrongEnvironment("tic_tac_toe", str(env.unwrapped))
    return list(squares)


def _piece(env: Environment, agent: str) -> str:
    return PIECES[1 + env.possible_agents.index(agent)]


def _last_move(env: Environment) -> str | None:
    """None at the start, and for an environment that is not wrapped in LastMove."""
    last: tuple[str, Any] | None = getattr(env, "last_move", None)
    return None if last is None else f"{last[0]} ({_piece(env, last[0])}) at the {NAMES[int(last[1])]}"
