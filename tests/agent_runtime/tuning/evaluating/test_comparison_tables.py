"""Comparisons as tables."""

from agent_runtime.tuning.evaluating.comparing import compare
from agent_runtime.tuning.evaluating.comparison_tables import as_markdown
from tests.agent_runtime.tuning.evaluating.reported import file_of, game_of, report_of
from tests.agent_runtime.tuning.evaluating.test_comparing import models


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()]


def tables(text: str) -> list[str]:
    """Return the tables of a text without what is said below them."""
    return [part for part in text.split("\n\n") if part.startswith("|")]


def test_a_line_is_a_file_and_a_column_a_model_in_a_mode() -> None:
    files, kinds = tables(as_markdown(compare(models(), [":full"])))
    head, _, line = rows(files)
    assert head[:6] == ["blocks", "file", "items", "chance", "untuned full", "untuned star"]
    assert head[6:] == ["tuned full", "tuned star", "untuned star - untuned full", "tuned star - tuned full"]
    assert line[:8] == ["8", "a.jsonl", "47", "10.0", "8.5", "4.3", "87.2", "76.6"]
    assert line[8].startswith("-4.25 [") and line[8].endswith("] (not learned)")
    assert line[9].startswith("-10.64 [") and line[9].endswith("]")
    assert [row[:4] for row in rows(kinds)[2:]] == [
        ["gates (1 file)", kind, items, "10.0"] for kind, items in (("all", "47"), ("fact", "33"), ("linked", "14"))
    ]


def test_what_was_not_asked_is_empty_and_fewer_items_say_so() -> None:
    one = file_of("a.jsonl", {"fact": [2] * 6}, {"full": {"fact": [2, 1, 2, 1, 2, 2]}})
    few = file_of("a.jsonl", {"fact": [2] * 5 + [0]}, {"full": {"fact": [1] * 5 + [0]}})
    other = file_of("b.jsonl", {"fact": [1, 1]}, {"full": {"fact": [1, 0]}}, blocks=[8, 16])
    table, note = as_markdown(compare({"one": report_of(one, other), "few": report_of(few)})).split("\n\n")
    assert "as few as 2 samples" in note
    lines = rows(table)[2:]
    assert lines[0][4:6] == ["83.3", "50.0 (of 10)"] and lines[0][6].endswith("] (of 10)")
    assert lines[1] == ["8-16", "b.jsonl", "2", "10.0", "50.0", "", ""]


def test_games_are_told_by_their_measure_and_by_who_wins() -> None:
    gained = {"full": [1.0, 1.0, -1.0, 1.0] * 3, "star": [1.0, 0.0, -2.0, 1.0] * 3, "expert": [2.0] * 12}
    said = {"options": {"hands": 2}, "opponent": "expert", "wander": 0.1, "measure": "reward"}
    plain = report_of(conditions=["full", "star"], games=[game_of(gained, **said)])
    few = {name: rewards[:4] for name, rewards in gained.items() if name != "star"}
    tuned = report_of(conditions=["full", "star, not moved"], games=[game_of(few, **said)])
    games, note, players, same = as_markdown(compare({"plain": plain, "tuned": tuned})).split("\n\n")
    assert "as few as 2 seeds" in note and same == f"{note}\n"
    head, _, by_reward, by_score = rows(games)
    assert head[:7] == ["game", "against", "matches", "by", "plain full", "plain star", "tuned full"]
    assert head[7:] == ["random", "best constant", "expert", "plain star - plain full", "tuned full - plain full"]
    assert by_reward[:4] == ["leduc (hands=2)", "expert, 10 % astray", "12", "reward"]
    assert by_reward[4].startswith("0.50 [") and by_reward[6] == "0.50 (of 4)"
    assert by_reward[7:10] == ["0.50", "0.50", "2.00"]
    assert by_reward[10].startswith("-0.50 [") and by_reward[11] == "0.00 (of 4)"
    assert by_score[3:4] == ["score"] and by_score[4].startswith("75.00 [") and by_score[9] == "100.00"
    assert by_score[10].startswith("-12.50 [")
    head, _, full, star, tuned_full = rows(players)
    assert head[2:] == [
        *("player", "won / drawn / lost", "by", "above random", "above best constant", "above expert"),
        *("legal mass", "legal anyway"),
    ]
    assert full[2:5] == ["plain full", "9 / 0 / 3", "reward"] and full[8:] == ["0.500", "25.0"]
    assert star[2:4] == ["plain star", "6 / 3 / 3"] and star[7].startswith("-2.00 [")
    assert tuned_full[2] == "tuned full" and tuned_full[5] == "0.00 (of 4)"


def test_a_game_that_is_won_has_one_line() -> None:
    report = report_of(conditions=["full"], games=[game_of({"full": [1.0, -1.0]})])
    games, _ = tables(as_markdown(compare({"plain": report})))
    assert [row[:5] for row in rows(games)[2:]] == [["leduc", "random", "2", "score", "50.00"]]


def test_texts_have_a_column_for_each_model_that_has_some() -> None:
    text = {
        **{"file": "talk.jsonl", "conversations": 5, "tokens": 90},
        "perplexity": {"mean": 9.5, "interval": [9.0, 10.0]},
    }
    models = {"plain": report_of(conditions=["full"]), "tuned": report_of(conditions=["full"], texts=[text])}
    table, note = as_markdown(compare(models)).split("\n\n")
    assert "as few as 5 conversations" in note
    head, _, line = rows(table)
    assert head[3:] == ["perplexity, tuned"]
    assert line == ["talk.jsonl", "5", "90", "9.50 [9.00, 10.00]"]


def test_of_many_samples_nothing_is_said_below() -> None:
    many = file_of("a.jsonl", {"fact": [1] * 30}, {"full": {"fact": [1, 0] * 15}})
    assert as_markdown(compare({"one": report_of(many)})).count("\n") == 3
