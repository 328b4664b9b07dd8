"""A game of OpenSpiel's as a `core_env.Core`: its state read from its text, its moves by squares."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pyspiel

from game_adapters.open_spiel import TITLES

_PASS = "pass"


class OpenSpielCore:
    """One of `TITLES`, begun with random moves that the seed draws."""

    name = "open_spiel"
    agents = ("player_0", "player_1")
    is_cut = False

    def __init__(self, title: str, opening: int) -> None:
        self.title = title
        self.opening = opening
        self.rules = TITLES[title]
        self.spiel: Any = pyspiel.load_game(self.rules.spiel)
        self.num_actions = int(self.spiel.num_distinct_actions())
        self.num_numbers = self.rules.rows * self.rules.columns * 2

    def begin(self, seed: int) -> None:
        """From the start, and the opening, in which nobody wins."""
        random = Random(f"open_spiel/{self.title}/{seed}")
        while True:
            self.state: Any = self.spiel.new_initial_state()
            for _ in range(2 * self.opening):
                self.state.apply_action(random.choice(self.state.legal_actions()))
                if self.state.is_terminal():
                    break
            else:
                break
        self.num_moves = 2 * self.opening
        self.last_move: str | None = None

    @property
    def to_move(self) -> str:
        """Who may move; the one who moved last when the game is over."""
        return self.agents[max(0, self.state.current_player())]

    @property
    def is_over(self) -> bool:
        """Whether somebody has won, or nobody can move."""
        return bool(self.state.is_terminal())

    def legal(self) -> Sequence[int]:
        """OpenSpiel's own numbers."""
        return list(self.state.legal_actions())

    def act(self, action: int) -> dict[str, float]:
        """Move; 1 and -1 at the end, 0 for a draw."""
        self.last_move = self.move_name(action)
        self.state.apply_action(action)
        self.num_moves += 1
        return dict(zip(self.agents, map(float, self.state.rewards()), strict=True))

    def numbers(self, agent: str) -> Sequence[float]:
        """For each square: whether the agent's piece stands there, and whether the other's does."""
        own = self.rules.pieces[self.agents.index(agent)]
        squares = [piece for row in self.grid().values() for piece in row]
        return [float(piece == own) for piece in squares] + [float(piece not in (own, ".")) for piece in squares]

    def grid(self) -> Mapping[int, Sequence[str]]:
        """The rows of the board from the top down, by their numbers: each square's piece, or a dot."""
        lines = [line.split() for line in str(self.state).splitlines()]
        rows: dict[int, list[str]] = {}
        if self.title == "breakthrough":
            for line in lines[: self.rules.rows]:
                rows[int(line[0][0])] = list(line[0][1:])
        elif self.title == "othello":
            for line in (line for line in lines if line and line[0].isdigit() and len(line) >= self.rules.columns):
                rows[int(line[0])] = [square.replace("-", ".") for square in line[1 : self.rules.columns + 1]]
        else:
            for number, line in enumerate(lines, 1):
                # What touches an edge is written as another letter.
                rows[number] = ["." if square == "." else "x" if square in "xXyYzZ" else "o" for square in line]
        assert len(rows) == self.rules.rows and all(len(row) == self.rules.columns for row in rows.values())
        return rows

    def action_names(self) -> list[str]:
        """A name for each number."""
        names = [f"move {number}" for number in range(self.num_actions)]
        for number in self.state.legal_actions():
            names[number] = self.move_name(number)
        return names

    def move_name(self, action: int) -> str:
        """A legal move: squares from and to, or the one where a piece is put."""
        text = str(self.state.action_to_string(self.state.current_player(), action))
        if self.title == "breakthrough":
            return text
        if "pass" in text.lower():
            return _PASS
        row, column = divmod(action, self.rules.columns)
        return f"{'abcdefgh'[column]}{row + 1}"
