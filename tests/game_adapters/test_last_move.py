from game_adapters import make_env
from game_adapters.last_move import LastMove


def test_the_last_move_is_remembered_and_a_dead_agents_none_is_not_a_move() -> None:
    env = make_env("connect_four", 1)
    assert isinstance(env, LastMove)
    assert env.last_move is None
    for column in (0, 1, 0, 1, 0, 1, 0):
        env.step(column)
    assert env.last_move == ("player_0", 0)
    env.step(None)
    assert env.last_move == ("player_0", 0)
