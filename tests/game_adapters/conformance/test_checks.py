"""One broken game for each check of what an environment and its contract keep."""

import random
import re
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from agent_runtime.actions import MAX_ANSWER_TOKENS
from game_adapters.conformance import check_game
from game_adapters.conformance.checks import MOST_NAME_TOKENS
from tests.game_adapters.conformance.reports import failed, makes, outcomes, said
from tests.game_adapters.lamps_game import COLOURS, Lamps, LampsEnv, PlainLamps


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
        Slippery: r"raised IndexError: off the board \(.*test_checks.py:\d+\)",
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
