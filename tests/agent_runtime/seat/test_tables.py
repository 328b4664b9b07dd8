"""agent_runtime.seat.tables: one table for each environment, for as long as somebody holds that."""

import gc
from typing import Any

from agent_runtime.seat.tables import Place, Table, Tables
from tests.game_adapters.lamps_game import LampsEnv


def test_an_environment_keeps_its_table_and_the_next_one_gets_another_number() -> None:
    tables = Tables(lambda table: None)
    envs: list[Any] = [LampsEnv(), LampsEnv()]
    assert [tables.of(env).number for env in (*envs, *envs)] == [0, 1, 0, 1]
    assert tables.of(envs[0]).env() is envs[0]


def test_a_table_begins_anew_once_its_matches_are_closed() -> None:
    seen: list[tuple[str, ...]] = []
    tables = Tables(lambda table: seen.append(tuple(table.frames)))
    env = LampsEnv()
    table = tables.of(env)
    table.frames["m"], table.places["a"] = (1, {}), Place("s", "m")
    table.left.add("b")
    table.num_acts["a"] = 3
    tables.begin_anew(table)
    assert seen == [("m",)] and (table.frames, table.places, table.left, table.episode) == ({}, {}, set(), 1)
    assert table.num_acts == {"a": 3}, "no two draws are the same, whatever the episode"
    tables.begin_all_anew()
    assert table.episode == 2


def test_what_nobody_holds_is_closed_and_forgotten() -> None:
    closed: list[Table] = []
    tables = Tables(closed.append)
    held, dropped = LampsEnv(), LampsEnv()
    kept, gone = tables.of(held), tables.of(dropped)
    del dropped
    gc.collect()
    tables.close_gone()
    tables.close_gone()
    assert closed == [gone]
    tables.close()
    assert closed == [gone, kept]
    assert tables.of(held) is not kept
