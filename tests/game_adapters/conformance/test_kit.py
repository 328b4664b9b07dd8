"""Our games conform; games that are broken on purpose, one for each check, do not, and are told what to do."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box

from agent_runtime.actions import MAX_ANSWER_TOKENS
from game_adapters.conformance import CHECKS, Report, check_game
from game_adapters.conformance.checks import MOST_NAME_TOKENS
from game_adapters.errors import GameNonconforming, IncompleteGame, UnknownGame
from prompts import StateBlocks
from prompts.state_blocks import BlockChange
from tests.game_adapters.lamps_game import COLOURS, Lamps, LampsEnv, ParallelLamps, PlainLamps
from tests.game_adapters.playable import PLAYABLE

NAME = "tests.game_adapters.conformance.test_kit"


def makes(env_class: Callable[..., Any], **options: Any) -> Callable[[int], Any]:
    def make(seed: int) -> Any:
        env = env_class(**options)
        env.reset(seed=seed)
        return env

    return make


def outcomes(report: Report) -> dict[str, str]:
    return {finding.check: finding.outcome for finding in report.findings}


def said(report: Report, check: str) -> str:
    return next(finding.what for finding in report.findings if finding.check == check)


def failed(report: Report) -> set[str]:
    return {finding.check for finding in report.failures}


def folder(parent: Path, toml: str = "", **files: str) -> Path:
    """A game folder that says lamps in its own way."""
    made = parent / "lamps"
    made.mkdir()
    (made / "game.toml").write_text(f'name = "lamps"\n{toml}', encoding="utf-8")
    (made / "rules.md").write_text("Switch lamps.\n", encoding="utf-8")
    for name, text in files.items():
        (made / f"{name}.md").write_text(text, encoding="utf-8")
    return made


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


# One broken game for each check.


def test_folder_a_class_without_one_and_one_that_does_not_load(tmp_path: Path) -> None:
    class Homeless(Lamps):
        folder = "nowhere"

    report = check_game(Homeless())
    assert failed(report) == {"folder"} and "nowhere" in said(report, "folder")
    assert said(report, "text") == "there is no game folder that loads"
    assert outcomes(report)["seeds"] == "ok", "what needs no folder is checked all the same"
    broken = folder(tmp_path, '[[segment]]\nmatch = "/lamps/*"\nname = "lamp/{key}"\nrender = "lamp.md"\n')
    assert "game.toml:5" in said(check_game(Lamps(), folder=broken), "folder")
    (broken / "lamp.md").write_text("{{ value.colour.name }}\n", encoding="utf-8")
    report = check_game(Lamps(), folder=broken)
    assert failed(report) == {"folder"} and "lamp.md:1" in said(report, "folder")


def test_folder_parts_without_a_rule_are_advice_and_no_failure(tmp_path: Path) -> None:
    report = check_game(Lamps(), folder=folder(tmp_path))
    assert report.passed
    advice = [finding.what for finding in report.findings if finding.outcome == "advice"]
    assert len(advice) == 3 and any("/lamps" in sentence and "[[segment]]" in sentence for sentence in advice)


def test_turns_an_environment_that_raises_says_nan_or_has_no_list_of_actions() -> None:
    class Slippery(LampsEnv):
        def step(self, action: int | None) -> None:
            if self.room.round == 2:
                raise IndexError("off the board")
            super().step(action)

    class Vague(LampsEnv):
        def observe(self, agent: str) -> Any:
            return {**super().observe(agent), "observation": np.array([np.nan], np.float32)}

    class Smooth(LampsEnv):
        def action_space(self, agent: str) -> Any:
            return Box(-1, 1)

    for env, sentence in {
        Slippery: r"raised IndexError: off the board \(.*test_kit.py:\d+\)",
        Vague: "observation of 'player_0' is NaN",
        Smooth: "needs a Discrete space",
    }.items():
        report = check_game(Lamps(), makes(env))
        assert failed(report) == {"turns"}
        assert re.search(sentence, said(report, "turns"))
        assert re.search(r"\(seed 0, step \d\)", said(report, "turns"))


def test_mask_that_allows_nothing_too_much_or_cannot_be_read() -> None:
    from pettingzoo.utils.wrappers import TerminateIllegalWrapper

    class Closed(LampsEnv):
        def observe(self, agent: str) -> Any:
            return {**super().observe(agent), "action_mask": np.zeros(4, np.int8)}

    class Short(LampsEnv):
        def observe(self, agent: str) -> Any:
            return {**super().observe(agent), "action_mask": np.ones(3, np.int8)}

    class Picky(LampsEnv):
        def step(self, action: int | None) -> None:
            assert action != 3, "lamp 2 is broken"
            super().step(action)

    for env, sentence in {Closed: "allows no action", Short: "shape is (3,) for 4 actions"}.items():
        report = check_game(Lamps(), makes(env))
        assert failed(report) == {"mask"} and sentence in said(report, "mask")
    report = check_game(Lamps(), makes(Picky))
    assert "mask" in failed(report)
    assert "the mask allows 'switch lamp 2', but step(" in said(report, "mask")

    class Hiding(TerminateIllegalWrapper):  # type: ignore[misc]
        """Shows every action as legal to everybody but its own guard."""

        def observe(self, agent: str) -> Any:
            seen = super().observe(agent)
            return {**seen, "action_mask": np.ones(4, np.int8)}

        def step(self, action: Any) -> None:
            self._prev_obs = self.env.observe(self.agent_selection)
            super().step(action)

    report = check_game(Lamps(), makes(lambda: Hiding(LampsEnv(), illegal_reward=-1)))
    assert failed(report) >= {"mask"} and "illegal" in said(report, "mask")


def test_names_not_one_for_each_and_names_that_are_too_long() -> None:
    class Short(Lamps):
        def action_names(self, env: Any, agent: str) -> list[str]:
            return ["pass"]

    class Long(Lamps):
        def action_names(self, env: Any, agent: str) -> list[str]:
            return ["pass", *(f"switch the lamp {'very ' * 60}{number}" for number in range(3))]

    assert failed(check_game(Short())) == {"names"}
    report = check_game(Long(), count_tokens=lambda text: len(text.split()))
    assert failed(report) == {"names"} and f"a turn takes {MOST_NAME_TOKENS - 1}" in said(report, "names")
    assert MOST_NAME_TOKENS == MAX_ANSWER_TOKENS


def test_state_that_is_no_json_or_the_environments_own() -> None:
    class Typed(Lamps):
        def describe(self, env: Any, agent: str) -> Any:
            return {"round": np.int64(env.room.round)}

    class Live(PlainLamps):
        def describe(self, env: Any, agent: str) -> Any:
            env.unwrapped.room.shown = getattr(env.unwrapped.room, "shown", {})
            env.unwrapped.room.shown.update(super().describe(env, agent))
            return env.unwrapped.room.shown

    report = check_game(Typed())
    assert failed(report) == {"state"} and "at /round stands the numpy.int64" in said(report, "state")
    report = check_game(Live(), makes(LampsEnv))
    assert failed(report) == {"state"} and "changed afterwards at /" in said(report, "state")


def test_seeds_that_do_not_decide_the_game() -> None:
    class Chancy(LampsEnv):
        def reset(self, seed: int | None = None, options: Any = None) -> None:
            super().reset(seed=random.randrange(10**9))

    class Moody(LampsEnv):
        num_made = 0

        def reset(self, seed: int | None = None, options: Any = None) -> None:
            super().reset(seed=seed)
            type(self).num_made += 1
            self.rounds = 3 + self.num_made % 2

    report = check_game(Lamps(), makes(Chancy))
    assert "seeds" in failed(report) and "(the state at /" in said(report, "seeds")
    report = check_game(Lamps(), makes(Moody))
    assert "seeds" in failed(report) and "ends after" in said(report, "seeds")


def test_looking_that_changes_what_is_seen_or_how_the_game_goes_on() -> None:
    class Counting(Lamps):
        def observation(self, env: Any, agent: str) -> str:
            env.unwrapped.room.looks = getattr(env.unwrapped.room, "looks", 0) + 1
            return f"Look {env.unwrapped.room.looks}."

    class Meddling(Lamps):
        def action_texts(self, env: Any, agent: str) -> list[str]:
            room = env.unwrapped.room
            if room.last is not None and room.round != getattr(room, "met", 0):
                room.met = room.round
                room.last = None
            return super().action_texts(env, agent)

    report = check_game(Counting())
    assert failed(report) == {"looking"} and "says something else than the first (observation)" in said(
        report, "looking"
    )
    report = check_game(Meddling())
    assert "looking" in failed(report)


def test_looking_less_is_another_game() -> None:
    class Nudging(Lamps):
        """Moves the world on at the first look of each round; a second look finds it moved."""

        def describe(self, env: Any, agent: str) -> Any:
            room = env.unwrapped.room
            if getattr(room, "seen_by", None) != (room.round, agent):
                room.seen_by = (room.round, agent)
                room.looked = getattr(room, "looked", 0) + 1
            return {**super().describe(env, agent), "looked": getattr(room, "looked", 0)}

        def describe_match(self, env: Any) -> Any:
            return {**super().describe_match(env), "looked": getattr(env.unwrapped.room, "looked", 0)}

    report = check_game(Nudging())
    assert failed(report) == {"looking"} and "when nobody looks (the state at /looked)" in said(report, "looking")


def test_sight_that_shows_more_or_less_than_describe() -> None:
    class Open(Lamps):
        def sight(self, agent: str) -> tuple[str, ...]:
            return ()

    class Crooked(Lamps):
        def sight(self, agent: str) -> tuple[str, ...]:
            return ("secrets",)

    report = check_game(Open())
    assert failed(report) == {"sight"} and "differ at /secrets/player_1" in said(report, "sight")
    assert "'secrets'" in said(check_game(Crooked()), "sight")


def test_hidden_things_that_show_in_the_state_or_in_the_words() -> None:
    class Leaking(PlainLamps):
        vary_hidden = Lamps.vary_hidden

        def describe(self, env: Any, agent: str) -> Any:
            colours = sorted(env.unwrapped.room.secrets.values())
            return {**super().describe(env, agent), "colours_in_the_room": colours}

    class Gossiping(Lamps):
        def observation(self, env: Any, agent: str) -> str:
            return f"It is said: {' '.join(env.unwrapped.room.secrets.values())}."

    report = check_game(Leaking(), makes(LampsEnv))
    assert failed(report) == {"hidden"} and "(the state at /colours_in_the_room" in said(report, "hidden")
    report = check_game(Gossiping())
    assert failed(report) == {"hidden"} and "what it sees (observation)" in said(report, "hidden")


def test_hidden_things_that_vary_for_nobody_or_do_not_exist_are_said() -> None:
    class Lazy(Lamps):
        def vary_hidden(self, env: Any, agent: str, random: Any) -> bool:
            return True

    class Public(Lamps):
        def vary_hidden(self, env: Any, agent: str, random: Any) -> bool:
            return False

    class Unable(PlainLamps):
        def vary_hidden(self, env: Any, agent: str, random: Any) -> bool:
            env.room.secrets["player_9"] = COLOURS[0]
            return True

        def describe(self, env: Any, agent: str) -> Any:
            if agent != env.agent_selection:
                raise ValueError("not on turn")
            return super().describe(env, agent)

    assert "may have changed nothing" in said(check_game(Lazy()), "hidden")
    assert outcomes(check_game(Public()))["hidden"] == "ok"
    assert outcomes(check_game(Unable(), makes(LampsEnv)))["hidden"] == "not checked"


def test_text_that_loses_a_change(tmp_path: Path) -> None:
    rule = '[[segment]]\nmatch = "/lamps"\nname = "lamps"\nrender = "lamps.md"\n'
    deaf = folder(tmp_path, rule, lamps="There are {{ value | length }} lamps.\n")
    report = check_game(Lamps(), folder=deaf)
    assert failed(report) == {"text"} and "a change at /lamps is lost in words" in said(report, "text")


def objects(round_number: int) -> list[Any]:
    """One goes in front, one comes behind."""
    return [{"id": f"n{n}", "says": f"number {n}"} for n in range(round_number, round_number + 4)]


def words(round_number: int) -> list[Any]:
    """They go in front."""
    return ["ann", "bob", "eve", "kim", "zoe"][round_number - 1 :]


def log(round_number: int) -> list[Any]:
    """They come behind."""
    return [f"in round {n} it rained" for n in range(1, 1 + round_number)]


def board(round_number: int) -> list[Any]:
    """A piece moves on."""
    return ["X" if n == round_number else "." for n in range(6)]


@pytest.mark.parametrize(
    ("queue", "key", "is_wrong"),
    [
        (objects, "", True),
        (objects, 'key = "id"\n', False),
        (words, "", True),
        (log, "", False),
        (board, "", False),
    ],
)
def test_segments_known_by_a_place_that_shifts(tmp_path: Path, queue: Any, key: str, is_wrong: bool) -> None:
    class Queue(PlainLamps):
        def describe(self, env: Any, agent: str) -> Any:
            return {"town": {"queue": queue(env.room.round)}}

    rule = f'[[segment]]\nmatch = "/town/queue/*"\nname = "queue/{{key}}"\n{key}'
    report = check_game(Queue(), makes(LampsEnv), folder=folder(tmp_path, rule))
    assert failed(report) == ({"segments"} if is_wrong else set())
    if is_wrong:
        assert "members of /town/queue are known by their place" in said(report, "segments")


def test_segments_that_get_a_new_name_at_every_step_and_names_that_clash(tmp_path: Path) -> None:
    class Churning(PlainLamps):
        def describe(self, env: Any, agent: str) -> Any:
            state = super().describe(env, agent)
            return {"lamps": {f"{name}@{env.room.round}": "a lamp" for name in state["lamps"]}}

    class Twins(PlainLamps):
        def describe(self, env: Any, agent: str) -> Any:
            return {"lamps": {"a": {"x": 1}, "b": {"x": 2}}}

    rule = '[[segment]]\nmatch = "/lamps/*"\nname = "lamp/{key}"\n'
    report = check_game(Churning(), makes(LampsEnv, rounds=6), folder=folder(tmp_path, rule))
    assert failed(report) == {"segments"} and "blocks named 'lamp' get other names" in said(report, "segments")
    (tmp_path / "twins").mkdir()
    clash = folder(tmp_path / "twins", '[[segment]]\nmatch = "/lamps/*/x"\nname = "lamp/x"\n')
    assert "parts of the state are named 'lamp/x'" in said(
        check_game(Twins(), makes(LampsEnv), folder=clash), "segments"
    )


def test_patch_that_does_something_else_is_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(blocks: StateBlocks, operations: Any, state: Any) -> BlockChange:
        return BlockChange((), (), (), (), ())

    monkeypatch.setattr(StateBlocks, "patch", stale)
    report = check_game(Lamps())
    assert failed(report) == {"patch"} and "a fault of Hotseat's" in said(report, "patch")


def test_patch_tells_values_apart_that_are_equal_in_python() -> None:
    class Loose(PlainLamps):
        def describe(self, env: Any, agent: str) -> Any:
            return {"lamps": {"lamp_0": (1, True, 1.0)[env.room.round % 3]}, "round": env.room.round}

    assert check_game(Loose(), makes(LampsEnv)).passed


def test_tokens_beyond_the_models_context() -> None:
    report = check_game(Lamps(), count_tokens=lambda text: 10 * len(text), context=3000)
    assert "tokens" in failed(report) and "context ends at 3,000" in said(report, "tokens")
    report = check_game(Lamps(), count_tokens=lambda text: len(text.split()), context=3000)
    assert report.passed and " of 3,000" in said(report, "tokens") and "about" not in said(report, "tokens")


def test_every_check_has_a_broken_game_here() -> None:
    tests = [name for name in globals() if name.startswith("test_")]
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
