"""Connect four (PettingZoo's connect_four_v3) in words: the board by rows and by columns, both from the bottom up."""

from random import Random
from typing import Any

from game_adapters.environments import Environment
from game_adapters.errors import WrongEnvironment
from game_adapters.game_state import Json

NUM_ROWS, NUM_COLUMNS = 6, 7
EMPTY, FIRST, SECOND = ".", "X", "O"
PIECES = (EMPTY, FIRST, SECOND)


class ConnectFour:
    """Contract of `connect_four`. Everything on the board is public."""

    def make_env(self, seed: int) -> Environment:
        """connect_four_v3 without a window, reset; remembers its last move."""
        import pettingzoo

        from game_adapters.last_move import LastMove

        env = LastMove(pettingzoo.make("aec", "classic/connect_four-v3", render_mode=None))
        env.reset(seed=seed)
        return env

    def describe(self, env: Environment, agent: str) -> Json:
        """The board twice (rows for what lies side by side, columns for what is on top), and whose turn it is."""
        return self.describe_match(env)

    def describe_match(self, env: Environment) -> Json:
        """The same for both players: nothing is hidden."""
        grid = _grid(env)
        rows = {f"row {NUM_ROWS - index}": " ".join(row) for index, row in enumerate(grid)}
        columns = {}
        for column in range(NUM_COLUMNS):
            upwards = [row[column] for row in reversed(grid)]
            pieces = [piece for piece in upwards if piece != EMPTY]
            columns[str(column + 1)] = {
                "from the bottom": " ".join(pieces) or "empty",
                "free": NUM_ROWS - len(pieces),
            }
        to_move: str | None = env.agent_selection if env.agents else None
        return {
            "board": rows,
            "columns": columns,
            "turn": {
                "last_move": _last_move(env),
                "move": 1 + sum(piece != EMPTY for row in grid for piece in row),
                "to_move": None if to_move is None else f"{to_move} ({_piece(env, to_move)})",
            },
        }

    def sight(self, agent: str) -> tuple[str, ...]:
        """Everything."""
        return ()

    def action_names(self, env: Environment, agent: str) -> list[str]:
        """column 1 to column 7, from the left."""
        return [f"column {column + 1}" for column in range(NUM_COLUMNS)]

    def observation(self, env: Environment, agent: str) -> str:
        """Who the agent is, and what the other player just did."""
        last = _last_move(env)
        news = f" The last move was {last}." if last else ""
        return f"You are {agent} and play {_piece(env, agent)}.{news} It is your turn."

    def action_texts(self, env: Environment, agent: str) -> list[str]:
        """None: the names say it."""
        return [""] * NUM_COLUMNS

    def vary_hidden(self, env: Environment, agent: str, random: Random) -> bool:
        """Nothing is hidden."""
        return False


def _grid(env: Environment) -> list[list[str]]:
    """The board from the top row down. The environment keeps it flat: 0 empty, 1 the first player's, 2 the second's."""
    game = env.unwrapped
    if not isinstance(getattr(game, "board", None), list) or len(game.board) != NUM_ROWS * NUM_COLUMNS:
        raise WrongEnvironment("connect_four", str(game))
    board: list[int] = game.board
    return [
        [PIECES[cell] for cell in board[start : start + NUM_COLUMNS]] for start in range(0, len(board), NUM_COLUMNS)
    ]


def _piece(env: Environment, agent: str) -> str:
    return PIECES[1 + env.possible_agents.index(agent)]


def _last_move(env: Environment) -> str | None:
    """None at the start, and for an environment that is not wrapped in LastMove."""
    last: tuple[str, Any] | None = getattr(env, "last_move", None)
    return None if last is None else f"{last[0]} ({_piece(env, last[0])}) in column {int(last[1]) + 1}"
