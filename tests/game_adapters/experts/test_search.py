"""The experts that look ahead: positions with one right answer, and values that hold by another way."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from game_adapters import make_env
from game_adapters.experts import best_actions, connect_four, load_expert
from game_adapters.experts.connect_four import WIN, ConnectFourExpert
from game_adapters.tic_tac_toe import NAMES


def after(game: str, *actions: int) -> tuple[Any, str]:
    env = make_env(game, 1)
    for action in actions:
        env.step(action)
    return env, env.agent_selection


def test_tic_tac_toe_is_a_draw_from_the_start_and_lost_after_a_bad_reply() -> None:
    expert = load_expert("tic_tac_toe")
    start, agent = after("tic_tac_toe")
    assert set(expert.values(start, agent).values()) == {0.0}  # type: ignore[attr-defined]
    corner, edge = NAMES.index("top left"), NAMES.index("bottom center")
    env, agent = after("tic_tac_toe", corner, edge)
    assert max(expert.values(env, agent).values()) > 0  # type: ignore[attr-defined]


def test_tic_tac_toe_blocks_and_wins() -> None:
    expert = load_expert("tic_tac_toe")
    top = [NAMES.index(f"top {column}") for column in ("left", "center", "right")]
    low = [NAMES.index(f"bottom {column}") for column in ("left", "center", "right")]
    env, agent = after("tic_tac_toe", top[0], low[0], top[1])
    assert expert.choose(env, agent) == top[2]
    env, agent = after("tic_tac_toe", top[0], low[0], top[1], low[1])
    assert expert.choose(env, agent) == top[2]


@pytest.mark.parametrize(
    ("moves", "right"),
    [
        ((3, 0, 3, 0, 3, 0), 3),  # four upright
        ((3, 0, 3, 0, 3), 3),  # the same, to be blocked
        ((2, 2, 3, 3), 4),  # three in a row with both ends free
        ((0, 1, 1, 2, 2, 3, 2, 3, 3, 6), 3),  # a diagonal
    ],
)
def test_connect_four_sees_what_is_next(moves: tuple[int, ...], right: int) -> None:
    env, agent = after("connect_four", *moves)
    values = ConnectFourExpert().values(env, agent)
    assert ConnectFourExpert().choose(env, agent) == max(values, key=values.__getitem__)
    both = ConnectFourExpert()
    assert (both.choose(env, agent), both.values(env, agent)) == (ConnectFourExpert().choose(env, agent), values)
    assert values[right] == max(values.values())
    if len(moves) != 5:
        assert values[right] > WIN / 2


def test_connect_four_values_mirrored_columns_alike_however_they_were_added_up() -> None:
    for moves in ((3,), (3, 3), (3, 3, 3, 3), (2, 3, 4, 3)):
        env, agent = after("connect_four", *moves)
        best = best_actions(ConnectFourExpert(), env, agent)
        assert best == {6 - column for column in best}
    assert best_actions(load_expert("camp"), env, agent) == frozenset()


@pytest.mark.parametrize("moves", [(3, 3, 2, 4), (0, 6, 3, 3, 3, 2), (1, 1, 2, 5, 3)])
def test_connect_four_values_columns_as_a_plain_search_does(moves: tuple[int, ...]) -> None:
    """Without bounds or memory, in the environment itself."""
    env, agent = after("connect_four", *moves)
    values = ConnectFourExpert(depth=2).values(env, agent)
    assert values == {column: pytest.approx(_plain(moves, agent, (column,), 2)) for column in values}


def _plain(moves: tuple[int, ...], agent: str, line: tuple[int, ...], depth: int) -> float:
    env, _ = after("connect_four", *moves, *line)
    if any(env.terminations.values()):
        return float(env.rewards[agent]) * (WIN + depth - len(line) + 1)
    if len(line) == depth:
        own, other, _ = ConnectFourExpert()._position(env, agent)
        return connect_four._promise(own, other)
    columns = [column for column in range(7) if env.unwrapped.board[column] == 0]
    values = [_plain(moves, agent, (*line, column), depth) for column in columns]
    return min(values) if len(line) % 2 else max(values)


@given(st.lists(st.sampled_from((0, 1, 2)), min_size=42, max_size=42))
def test_what_lines_promise_is_the_same_sum_to_the_last_bit_as_over_all_of_them(places: list[int]) -> None:
    own, other = (
        sum(1 << place // 6 * 7 + place % 6 for place, piece in enumerate(places) if piece == who) for who in (1, 2)
    )
    worth = 0.0
    for line in connect_four._LINES:
        if not other & line:
            worth += connect_four._WORTH[(own & line).bit_count()]
        elif not own & line:
            worth -= connect_four._WORTH[(other & line).bit_count()]
    assert connect_four._promise(own, other) == worth
