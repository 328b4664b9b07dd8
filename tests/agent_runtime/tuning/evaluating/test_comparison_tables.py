"""Comparisons as tables."""

from agent_runtime.tuning.evaluating.comparing import compare
from agent_runtime.tuning.evaluating.comparison_tables import as_markdown
from tests.agent_runtime.tuning.evaluating.reported import file_of, report_of
from tests.agent_runtime.tuning.evaluating.test_comparing import models


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()]


def test_a_line_is_a_file_and_a_column_a_model_in_a_mode() -> None:
    files, kinds = as_markdown(compare(models(), [":full"])).split("\n\n")
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
    [table] = as_markdown(compare({"one": report_of(one, other), "few": report_of(few)})).split("\n\n")
    lines = rows(table)[2:]
    assert lines[0][4:6] == ["83.3", "50.0 (of 10)"] and lines[0][6].endswith("] (of 10)")
    assert lines[1] == ["8-16", "b.jsonl", "2", "10.0", "50.0", "", ""]


def test_games_and_texts_are_united_too() -> None:
    share = {"points": 60.0, "interval": [50.0, 70.0]}
    game = {
        **{"game": "leduc", "options": {"hands": 2}, "opponent": "expert", "wander": 0.1, "matches": 20},
        **{"measure": "reward", "players": {name: {"score": share} for name in ("full", "star", "random")}},
    }
    for number, player in enumerate(game["players"].values()):
        player["reward"] = {"mean": 1.5 - number, "interval": [None, None]}
    text = {
        **{"file": "talk.jsonl", "conversations": 5, "tokens": 90},
        "perplexity": {"mean": 9.5, "interval": [9.0, 10.0]},
    }
    plain = report_of(conditions=["full", "star"], games=[game])
    tuned = report_of(conditions=["full", "star, not moved"], games=[{**game, "measure": "score"}], texts=[text])
    games, texts = as_markdown(compare({"plain": plain, "tuned": tuned})).split("\n\n")
    head, _, by_reward, by_score = rows(games)
    assert head == ["game", "against", "matches", "by", "plain full", "plain star", "tuned full", "random"]
    assert by_reward[:6] == ["leduc (hands=2)", "expert, 10 % astray", "20", "reward", "1.50", "0.50"]
    assert by_score[3:] == ["score", "", "", "60.00 [50.00, 70.00]", "60.00"]
    assert rows(texts)[0][3:] == ["perplexity, tuned"]
    assert rows(texts)[2] == ["talk.jsonl", "5", "90", "9.50 [9.00, 10.00]"]
