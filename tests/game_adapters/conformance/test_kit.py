"""Our games conform; games that are broken on purpose do not, are told what to do, and are told it once."""

from typing import Any

import pytest

from game_adapters.conformance import CHECKS, check_game
from game_adapters.errors import GameNonconforming, IncompleteGame, UnknownGame
from tests.game_adapters.conformance import test_checks, test_word_checks
from tests.game_adapters.conformance.reports import failed, makes, outcomes, said
from tests.game_adapters.lamps_game import Lamps, LampsEnv, ParallelLamps, PlainLamps
from tests.game_adapters.playable import PLAYABLE

NAME = "tests.game_adapters.conformance.test_kit"


@pytest.mark.parametrize("game", PLAYABLE)
def test_our_games_conform(game: str) -> None:
    report = check_game(game)
    assert set(outcomes(report).values()) == {"ok"}, report
    report.raise_if_failed()


@pytest.mark.parametrize(
    ("contract", "env", "not_checked"),
    [
        (Lamps(), LampsEnv, set()),
        (PlainLamps(), LampsEnv, {"sight", "hidden"}),
        (Lamps(), ParallelLamps, set()),
        (PlainLamps(), ParallelLamps, {"sight", "hidden"}),
    ],
)
def test_a_strangers_game_conforms_and_what_was_not_checked_is_said(
    contract: Any, env: Any, not_checked: set[str]
) -> None:
    report = check_game(contract, makes(env, players=3))
    assert report.passed and list(outcomes(report)) == list(CHECKS)
    assert {check for check, outcome in outcomes(report).items() if outcome != "ok"} == not_checked
    assert report.num_games == 3 and report.num_turns > 20
    if not_checked:
        assert "vary_hidden(env, agent, random)" in said(report, "hidden")


def test_the_report_reads_as_a_list_and_raises_a_sentence_for_each_failure() -> None:
    class Nameless(Lamps):
        def action_names(self, env: Any, agent: str) -> list[str]:
            return ["go"] * 4

    report = check_game(Nameless())
    lines = str(report).splitlines()
    assert lines[0] == f"{NAME}:Nameless: 0 turns of 3 games" and len(lines) == 1 + len(CHECKS)
    assert any(line.startswith(f"  failed       names     action_names of {NAME}:Nameless") for line in lines)
    with pytest.raises(GameNonconforming, match="names: action_names of .*:Nameless .*both named 'go'") as caught:
        report.raise_if_failed()
    assert caught.value.failures == (f"names: {said(report, 'names')}",)


def test_a_game_that_cannot_be_loaded_or_made_is_not_a_report() -> None:
    with pytest.raises(UnknownGame):
        check_game("chess")

    class Stillborn(Lamps):
        def make_env(self, seed: int, **options: int) -> Any:
            raise OSError("no board")

    report = check_game(Stillborn())
    assert failed(report) == {"turns"} and "raised OSError: no board" in said(report, "turns")
    assert said(report, "hidden") == "no turn was played"
    with pytest.raises(GameNonconforming):
        report.raise_if_failed()
    with pytest.raises(IncompleteGame, match=r"lacks make_env\(self, seed\)"):
        check_game(PlainLamps())


def test_every_check_has_a_broken_game() -> None:
    tests = [name for name in (*vars(test_checks), *vars(test_word_checks)) if name.startswith("test_")]
    assert all(any(name.startswith(f"test_{check}_") for name in tests) for check in CHECKS)


def test_an_error_of_the_game_in_the_middle_of_a_check_is_its_failure() -> None:
    class Timid(Lamps):
        def vary_hidden(self, env: Any, agent: str, random: Any) -> bool:
            raise KeyError(agent)

    report = check_game(Timid())
    assert failed(report) == {"hidden"}
    assert f"vary_hidden for 'player_0' of {NAME}:Timid raised KeyError" in said(report, "hidden")


def test_what_one_check_has_told_is_not_told_again_by_those_that_it_ends() -> None:
    class Worn(Lamps):
        """Its environment can be made three times."""

        num_made = 0

        def make_env(self, seed: int, **options: int) -> Any:
            Worn.num_made += 1
            if Worn.num_made > 3:
                raise OSError("the board is worn out")
            return super().make_env(seed, **options)

    report = check_game(Worn())
    assert len(failed(report)) == 1, report
    assert sum("worn out" in finding.what for finding in report.findings) == 1
    [first] = failed(report)
    ended = [finding.check for finding in report.findings if f"what `{first}` found ended it" in finding.what]
    assert {"seeds", "looking", "hidden"} <= {first, *ended}


def test_a_reset_that_raises_is_told_once_and_the_seeds_are_not_blamed() -> None:
    class Tiring(ParallelLamps):
        num_resets = 0

        def reset(self, seed: int | None = None, options: Any = None) -> Any:
            Tiring.num_resets += 1
            if Tiring.num_resets > 4:
                raise RuntimeError("the lamps are out")
            return super().reset(seed=seed)

    report = check_game(PlainLamps(), makes(Tiring))
    assert failed(report) == {"turns"} and "raised RuntimeError: the lamps are out" in said(report, "turns")
    assert "mend that first" in said(report, "seeds") and "Draw everything" not in str(report)


def test_a_make_env_that_returns_no_environment_is_told_where_it_stands() -> None:
    class Absent(Lamps):
        def make_env(self, seed: int, **options: int) -> Any:
            LampsEnv().reset(seed=seed)

    class Boxed(Lamps):
        def make_env(self, seed: int, **options: int) -> Any:
            return [LampsEnv()]

    for game, found in ((Absent(), "None"), (Boxed(), "a list, which has no reset")):
        report = check_game(game)
        assert failed(report) == {"turns"}
        line = type(game).make_env.__code__.co_firstlineno
        assert f"returned {found} ({__file__}:{line}). Let it return the environment" in said(report, "turns")


@pytest.mark.parametrize("broken", ["infos", "terminations", "rewards"])
def test_an_environment_that_loses_a_table_on_the_way_is_told_so_and_the_seeds_are_not_blamed(broken: str) -> None:
    class Losing(LampsEnv):
        def step(self, action: int | None) -> None:
            super().step(action)
            setattr(self, broken, None)

    report = check_game(PlainLamps(), makes(Losing), seeds=(0,), num_turns=6)
    assert failed(report) == {"turns"} and f"its {broken} are None" in said(report, "turns")
