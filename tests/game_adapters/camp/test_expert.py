from collections import Counter

import pytest

from game_adapters import load_adapter, make_env
from game_adapters.camp import expert, rules

ADAPTER = load_adapter("camp")


@pytest.mark.parametrize("options", [{}, {"npcs": 10, "blocks": 80}, {"blocks": 200}])
def test_what_the_state_says_to_do_is_what_the_world_asks_for(options: dict[str, int]) -> None:
    deeds: Counter[str] = Counter()
    for seed in range(6):
        env = make_env("camp", seed, ticks=15, **options)
        for agent in env.agent_iter():
            _, reward, *_ = env.last()
            view = ADAPTER.turn(env, agent)
            if view is None:
                assert reward == 1
                env.step(None)
                continue
            answer = expert.decide(view)
            assert answer in map(str, rules.asked_for(env.unwrapped.world, agent))
            assert answer in [offer.id for offer in view.actions]
            deeds[answer.split()[0]] += 1
            env.step(view.number(answer))
    assert deeds.keys() >= {"hold", "go", "attack", "raise"}
    assert max(deeds.values()) < 0.7 * deeds.total()


def test_one_fact_in_one_block_turns_the_decision() -> None:
    env = make_env("camp", 1)
    world = env.unwrapped.world
    npc, unit = world.npcs["npc_0"], next(iter(world.units.values()))
    for other in world.units.values():
        other.at = None
    unit.at = npc.at
    beats = world.rules.beats[npc.sheet.weapon]
    answers = {}
    for kind in ("bandit", "bear", "boar", "wolf", "wraith"):
        unit.kind = kind
        view = ADAPTER.turn(env)
        assert view is not None
        answers[kind] = expert.decide(view).startswith("attack")
    assert answers == {kind: kind in beats for kind in answers}
