from typing import Any

from game_adapters import load_adapter, make_env
from game_adapters.connect_four import ConnectFour

ADAPTER = load_adapter("connect_four")
GAME = ConnectFour()


def after(*columns: int) -> Any:
    env = make_env("connect_four", 1)
    for column in columns:
        env.step(column - 1)
    return env


def test_the_board_is_told_by_rows_and_by_columns() -> None:
    state = GAME.describe(after(4, 4, 3), "player_1")
    assert state["board"]["row 1"] == ". . X X . . ."
    assert state["board"]["row 2"] == ". . . O . . ."
    assert state["columns"]["4"] == {"from the bottom": "X O", "free": 4}
    assert state["columns"]["7"] == {"from the bottom": "empty", "free": 6}
    assert state["turn"] == {"last_move": "player_0 (X) in column 3", "move": 4, "to_move": "player_1 (O)"}


def test_the_first_turn_has_no_last_move() -> None:
    env = after()
    assert GAME.describe(env, "player_0")["turn"]["last_move"] is None
    assert GAME.observation(env, "player_0") == "You are player_0 and play X. It is your turn."


def test_a_new_match_forgets_the_last_move_of_the_old_one() -> None:
    env = after(4)
    env.reset(seed=2)
    assert GAME.describe(env, "player_0")["turn"]["last_move"] is None


def test_an_environment_without_our_wrapper_is_played_too() -> None:
    env = after(4, 5).env
    view = ADAPTER.turn(env)
    assert view is not None
    assert view.state["turn"]["last_move"] is None
    assert len(view.actions) == 7


def test_a_full_column_is_not_offered() -> None:
    view = ADAPTER.turn(after(2, 2, 2, 2, 2, 2))
    assert view is not None
    assert [offer.id for offer in view.actions] == [f"column {column}" for column in (1, 3, 4, 5, 6, 7)]


def test_a_move_changes_the_board_and_one_column() -> None:
    before, later = GAME.describe(after(4, 4), "player_0"), GAME.describe(after(4, 4, 1), "player_1")
    changed = [name for name in before["columns"] if before["columns"][name] != later["columns"][name]]
    assert changed == ["1"]


def test_a_stub_that_reads_the_columns_wins_against_one_that_plays_the_first_free() -> None:
    env = make_env("connect_four", 1)
    total = {"player_0": 0.0, "player_1": 0.0}
    for agent in env.agent_iter():
        _, reward, *_ = env.last()
        total[agent] += reward
        view = ADAPTER.turn(env, agent)
        if view is None:
            env.step(None)
            continue
        answer = view.actions[0].id
        if agent == "player_0":
            # Stack one's own pieces on column 7, which the other one never touches.
            assert "O" not in view.state["columns"]["7"]["from the bottom"]
            answer = "column 7"
        env.step(view.number(answer))
    assert total == {"player_0": 1.0, "player_1": -1.0}
