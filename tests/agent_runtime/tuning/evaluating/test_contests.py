"""Whole contests: every condition plays the same matches, and what a model plays is what its choices are worth."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.seat import Seat
from agent_runtime.tuning.errors import BadArgument, MatchFailed
from agent_runtime.tuning.evaluating.contests import Arena, Contest, as_markdown
from agent_runtime.tuning.evaluating.players import ModelPlayer, by_expert
from agent_runtime.tuning.evaluating.playing import Turn
from agent_runtime.turn import Mode
from game_adapters import load_adapter
from game_adapters.errors import BadOption, GameCodeFailed, NoExpert, UnknownGame
from game_adapters.experts import load_expert
from tests.agent_runtime.tuning.evaluating.reported import game_of
from tests.agent_runtime.worlds import load_tiny
from tests.game_adapters import lamps_game
from tests.game_adapters.lamps_game import Lamps, LampsEnv
from tests.game_adapters.playable import playable

LAMPS = "tests.game_adapters.lamps_game:Lamps"
FULL, STAR = Mode.FULL, Mode.STAR


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return replace(load_tiny(tmp_path_factory.mktemp("models")), context_limit=16384)


def held(loaded: LoadedModel, contest: Contest, *modes: Mode) -> list[dict[str, Any]]:
    return timeless([*Arena(contest).hold(loaded, modes or (STAR,), 64, lambda what, done: None)])


def timeless(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for report in reports:
        for player in report["players"].values():
            player.pop("decisions_per_s", None)
    return reports


def test_the_same_contest_is_the_same_twice_and_who_has_no_model_plays_alike_beside_any_mode(
    loaded: LoadedModel,
) -> None:
    contest = Contest("tic_tac_toe", {}, 8, at_once=8)
    both = held(loaded, contest, FULL, STAR)
    assert [report["opponent"] for report in both] == ["random", "expert"]
    star = held(loaded, replace(contest, at_once=3))
    assert held(loaded, replace(contest, at_once=3)) == star
    for one, other in zip(both, star, strict=True):
        for name in ("star", "random", "expert", "best constant"):
            mine, theirs = one["players"][name], other["players"][name]
            assert {**mine, "legal_mass": 0} == {**theirs, "legal_mass": 0}
            assert mine.get("legal_mass", 0) == pytest.approx(theirs.get("legal_mass", 0), rel=1e-3)
        assert one["constants"] == other["constants"]
        assert one["players"]["full"]["score"]["items"] == one["matches"] == 8
        difference = one["players"]["full"]["score"]["points"] - one["players"]["star"]["score"]["points"]
        assert one["cost"]["star"]["score"]["points"] == pytest.approx(difference)


@pytest.mark.parametrize("game", ["leduc", "texas_holdem", "connect_four"])
def test_a_model_that_chose_as_the_expert_does_would_have_its_numbers(
    game: str, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    expert = by_expert(load_adapter(game), load_expert(game))
    drawn: list[Turn] = []

    def act_many(self: Seat, asked: Sequence[Any]) -> list[int | None]:
        self.last_results = tuple(_Answered() for _ in asked)  # type: ignore[assignment]
        return [choice.number for choice in expert.choose(drawn)]

    choose = ModelPlayer.choose

    def listening(self: Any, turns: Sequence[Turn]) -> Any:
        drawn[:] = turns  # an expert that mixes has to have the match's draws
        return choose(self, turns)

    monkeypatch.setattr(Seat, "act_many", act_many)
    monkeypatch.setattr(ModelPlayer, "choose", listening)
    for report in held(loaded, Contest(game, {}, 24, at_once=7)):
        mine, theirs = report["players"]["star"], report["players"]["expert"]
        assert {name: mine[name] for name in theirs} == theirs
        assert report["above"]["star"]["expert"]["score"]["interval"] == [0.0, 0.0]
        assert mine["agreement"]["points"] == 100 or game == "leduc"
        assert (
            mine["score"]["points"] > report["players"]["random"]["score"]["points"] or report["opponent"] == "expert"
        )


class _Answered:
    """A result of which only the mass is looked at."""

    legal_mass = 0.5

    class _Score:
        logprob = -1.0

    scores = (_Score(),)


def test_what_was_played_before_a_contest_was_cut_is_a_contest_of_so_many(loaded: LoadedModel) -> None:
    kept: list[dict[str, Any]] = []
    contest = Contest("tic_tac_toe", {}, 40, ("random",), at_once=2)  # eight times two matches are a part
    reports = [*Arena(contest).hold(loaded, (FULL, STAR), 64, lambda what, done: None, kept.append)]
    assert [each["matches"] for each in (*kept, *reports)] == [16, 32, 40]
    assert timeless(kept)[0] == held(loaded, replace(contest, matches=16), FULL, STAR)[0]


def test_a_table_says_how_far_a_mode_is_above_the_first() -> None:
    gained = {"full": [1.0, 1.0, -1.0, 1.0] * 3, "star": [1.0, -1.0, -1.0, -1.0] * 3}
    game = {**game_of(gained), "options": {}}
    assert game["cost"]["star"]["score"]["points"] == 50.0
    head, _, full, star = [line.split(" | ") for line in as_markdown([game]).splitlines()[:4]]
    place = head.index("above full, score")
    assert star[place].startswith("-50.00 [") and full[place] == ""
    assert star[head.index("above random")].startswith("-50.00 ["), "the same sign"


def test_a_hold_em_match_is_short_and_says_so(loaded: LoadedModel) -> None:
    (short,) = held(loaded, Contest("texas_holdem", {}, 4, ("random",)))
    assert short["options"] == {"hands": 1}
    (longer,) = held(loaded, Contest("texas_holdem", {"hands": 3}, 4, ("constant:call",)))
    assert longer["options"] == {"hands": 3} and longer["opponent"] == "constant:call"
    assert short["measure"] == "reward", "chips are what it is played for"
    table = as_markdown([short, longer])
    assert "| texas_holdem (hands=1) | random | star | 4 |" in table
    assert "| texas_holdem (hands=3) | constant:call | star | 4 |" in table


def test_a_game_of_ones_own_has_no_expert_and_is_played_all_the_same(loaded: LoadedModel) -> None:
    (report,) = held(loaded, Contest(LAMPS, {"rounds": 2}, 6, ("random",)), STAR, FULL)
    assert {*report["players"]} == {"star", "full", "random", "best constant", "best constant by reward"}
    assert report["measure"] == "score"
    assert "agreement" not in report["players"]["star"] and {*report["constants"]} == {
        "pass",
        *(f"switch lamp {number}" for number in range(3)),
    }
    with pytest.raises(NoExpert):
        Arena(Contest(LAMPS, {}, 6))


@pytest.mark.parametrize("game", [playable("babyai"), playable("textworld"), playable("open_spiel")])
def test_games_of_more_libraries_are_played_too(game: str, loaded: LoadedModel) -> None:
    reports = held(loaded, Contest(game, {}, 4))
    if game == "open_spiel":
        assert [report["opponent"] for report in reports] == ["random", "expert"]
    else:
        assert [report["opponent"] for report in reports] == [None], "who is alone has no opponent"
        assert reports[0]["players"]["expert"]["score"]["points"] > 50


@pytest.mark.parametrize(
    ("contest", "error", "said"),
    [
        (Contest("chess", {}), UnknownGame, "no game 'chess'"),
        (Contest("leduc", {"hands": 2}), BadOption, "cannot take the option 'hands'"),
        (Contest("leduc", {}, opponents=("best",)), BadArgument, "opponent: 'best' plays no leduc; .*constant:raise"),
        (Contest("leduc", {}, opponents=("constant:jump",)), BadArgument, "'constant:jump'"),
    ],
)
def test_what_cannot_be_played_is_refused_before_a_model_is_needed(
    contest: Contest, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        Arena(contest)


class Slippery:
    """Lamps that slip in the match of seed 5, once it has begun."""

    folder = Path(lamps_game.__file__).parent / "lamps"
    describe, action_names = Lamps.describe, Lamps.action_names

    def make_env(self, seed: int) -> Any:
        class Slipping(LampsEnv):
            def step(self, action: int | None) -> None:
                if seed == 5:
                    raise IndexError("off the board")
                super().step(action)

        env = Slipping()
        env.reset(seed=seed)
        return env


def test_an_environment_that_raises_names_its_match(loaded: LoadedModel) -> None:
    contest = Contest("tests.agent_runtime.tuning.evaluating.test_contests:Slippery", {}, 6, ("random",), at_once=2)
    with pytest.raises(MatchFailed, match="Slippery with seed 5 and the player as player_[01]") as failed:
        held(loaded, contest)
    assert isinstance(failed.value.__cause__, GameCodeFailed)
