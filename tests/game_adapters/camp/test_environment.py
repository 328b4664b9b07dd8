import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from game_adapters import TurnView, load_adapter, make_env
from game_adapters.camp import expert

ADAPTER = load_adapter("camp")


def parts(state: Any) -> dict[str, str]:
    """The state cut as the game folder cuts it, without the clock."""
    cut: dict[str, str] = {}
    for name, value in state.items():
        if name in ("stores", "alarm"):
            cut[f"/{name}"] = json.dumps(value)
        elif name != "clock":
            for key, member in value.items():
                if name == "npcs":
                    cut |= {f"/npcs/{key}/{part}": json.dumps(inner) for part, inner in member.items()}
                else:
                    cut[f"/{name}/{key}"] = json.dumps(member)
    return cut


def play(seed: int, policy: str, **options: int) -> Iterator[tuple[Any, TurnView]]:
    """The environment after each step, and the view that led to it."""
    env, choose = make_env("camp", seed, **options), random.Random(seed)
    for agent in env.agent_iter():
        view = ADAPTER.turn(env, agent)
        if view is None:
            env.step(None)
            continue
        answers = [offer.id for offer in view.actions]
        env.step(view.number(expert.decide(view) if policy == "expert" else choose.choice(answers)))
        yield env, view


@pytest.mark.parametrize("policy", ["expert", "random"])
@pytest.mark.parametrize("options", [{}, {"blocks": 300}, {"npcs": 12, "blocks": 60}, {"npcs": 1, "blocks": 15}])
def test_each_frame_changes_one_or_two_parts_and_says_which(policy: str, options: dict[str, int]) -> None:
    frames = 0
    for seed in range(3):
        before = parts(ADAPTER.contract.describe_match(make_env("camp", seed, **options)))  # type: ignore[attr-defined]
        for env, _ in play(seed, policy, ticks=max(10, 120 // options.get("npcs", 3)), **options):
            after = parts(ADAPTER.contract.describe_match(env))  # type: ignore[attr-defined]
            assert before.keys() == after.keys()
            changed = {name for name in after if after[name] != before[name]}
            assert changed == set(env.unwrapped.changed)
            assert 1 <= len(changed) <= 2
            before, frames = after, frames + 1
    assert frames >= 300


@pytest.mark.parametrize("blocks", [19, 48, 100, 300])
def test_the_state_has_as_many_parts_as_blocks_were_asked_for(blocks: int) -> None:
    for _, view in play(3, "random", blocks=blocks, ticks=2):
        assert len(parts(view.state)) == blocks


def test_a_match_ends_after_its_ticks_with_every_npc_having_acted_in_each() -> None:
    turns = [view.agent for _, view in play(1, "random", ticks=5)]
    assert turns == ["npc_0", "npc_1", "npc_2"] * 5


def test_other_npcs_orders_leave_no_trace() -> None:
    for _, view in play(2, "expert", ticks=6):
        assert [npc for npc, member in view.state["npcs"].items() if "orders" in member] == [view.agent]
    env = make_env("camp", 2)
    view = ADAPTER.turn(env)
    assert view is not None
    for npc in ("npc_1", "npc_2"):
        env.unwrapped.world.npcs[npc].orders = env.unwrapped.world.npcs["npc_0"].orders
    assert ADAPTER.turn(env) == view
    assert (env.observe("npc_0")["observation"] == make_env("camp", 2).observe("npc_0")["observation"]).all()


def test_many_npcs_act_one_after_the_other() -> None:
    agents = [view.agent for _, view in play(1, "random", npcs=40, blocks=120, ticks=2)]
    assert agents == [f"npc_{number}" for number in range(40)] * 2
