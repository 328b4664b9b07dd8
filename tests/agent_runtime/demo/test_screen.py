"""What is printed of a turn."""

from io import BytesIO, StringIO, TextIOWrapper

from rich.console import Console

from agent_runtime.demo.player import PlayedTurn
from agent_runtime.demo.screen import Screen, cost_line
from agent_runtime.server.server_messages import TurnResult
from agent_runtime.turn import Account, Action, BlockUse, Mode, Outcome, Score
from game_adapters import ActionOffer, TurnView


def account(*changed: BlockUse, warnings: tuple[str, ...] = ()) -> Account:
    return Account(
        Mode.STAR,
        "default",
        False,
        tokens_cached=1_813,
        tokens_computed=61,
        ttft_ms=1234.5,
        changed=changed,
        warnings=warnings,
    )


def turn(num_actions: int, warnings: tuple[str, ...] = ()) -> PlayedTurn:
    actions = tuple(ActionOffer(f"go to place {number}", "", number) for number in range(num_actions))
    scores = tuple(Score(offer.id, -1.0, 1 / num_actions) for offer in actions)
    view = TurnView("own", "fox", {}, "A wood.", actions, num_actions)
    result = TurnResult(
        session="s",
        turn_id=1,
        outcome=Outcome.OK,
        action=Action(actions[0].id),
        scores=scores,
        account=account(warnings=warnings),
    )
    return PlayedTurn("fox", "sly", 1, view, result, 1.0, {})


def printed(*turns: PlayedTurn) -> str:
    out = StringIO()
    screen = Screen(Console(file=out))
    for each in turns:
        screen.turn(each)
    return out.getvalue()


def test_a_turn_tells_who_where_what_and_at_which_cost() -> None:
    text = printed(turn(2))
    assert "fox (sly)  A wood." in text
    assert "█████ go to place 0 50 %" in text
    assert "→ go to place 0   1,234 ms, computed 61 of 1,874 tokens" in text
    assert "reward +1" in text


def test_many_actions_are_counted_and_stay_on_one_line() -> None:
    lines = printed(turn(40)).splitlines()
    assert any(line.endswith(" more") for line in lines)
    assert max(map(len, lines)) <= 100


def test_a_cost_names_what_was_encoded_and_what_came_from_disk() -> None:
    uses = [BlockUse(name, "encoded", 9, "new") for name in ("a", "b", "c", "d")]
    line = cost_line(account(*uses, BlockUse("e", "loaded", 9, "in the store")))
    assert line.endswith("tokens; encoded: a, b and 2 more; from disk: e")


def test_a_warning_is_told_once_even_if_its_figures_differ() -> None:
    text = printed(turn(2, ("Legal mass 1e-5.",)), turn(2, ("Legal mass 2e-7.", "Another.")))
    assert text.count("Legal mass") == 1
    assert "Another." in text


def test_a_console_without_unicode_gets_plain_bars() -> None:
    raw = BytesIO()
    out = TextIOWrapper(raw, encoding="cp1252")
    Screen(Console(file=out)).turn(turn(2))
    out.flush()
    assert b"##### go to place 0" in raw.getvalue()
    assert b"-> go to place 0" in raw.getvalue()
    out.close()
