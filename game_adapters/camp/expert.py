"""A policy for the camp that knows only what an agent is shown: the state and its own name.

It is written against the state, not against the world, so it can label turns of recordings, and it checks that what
the rules ask for can be read off the blocks. Most of its decisions need the rules and one other block.
"""

from collections.abc import Mapping
from typing import Any

from game_adapters.adapter import TurnView


def decide(view: TurnView) -> str:
    """The id of the action that the camp's rules ask for."""
    state, agent = view.state, view.agent
    own = state["npcs"][agent]
    at, weapon = own["status"]["at"], own["sheet"]["weapon"]
    rules = state["rules"]
    here = sorted(name for name, unit in state["units"].items() if unit["at"] == at)
    beaten = [name for name in here if state["units"][name]["kind"] in rules["fight"][weapon]]
    if beaten:
        return f"attack {beaten[0]}"
    if state["alarm"]["rings"]:
        return _obey(state["map"], at, own["sheet"]["home"], rules["alarm"]["answer"])
    if here:
        return _obey(state["map"], at, own["sheet"]["home"], rules["danger"]["answer"])
    food = rules["food"]
    if own["status"]["health"] < food["rest_below_health"] and state["stores"]["food"] >= food["eaten_a_rest"]:
        return "rest"
    target = own["orders"]["target"]
    if own["orders"]["task"] == "guard":
        return _towards(state["map"], at, target)
    lies_at = state["items"][target].get("at")
    if lies_at is None:
        return "hold"
    return f"pick up {target}" if lies_at == at else _towards(state["map"], at, lies_at)


def _obey(regions: Mapping[str, Any], at: str, home: str, answer: str) -> str:
    """A rule's answer as an action: "go home" and "go to X" become the first step there."""
    if answer == "go home":
        return _towards(regions, at, home)
    return _towards(regions, at, answer.removeprefix("go to ")) if answer.startswith("go to ") else answer


def _towards(regions: Mapping[str, Any], at: str, goal: str) -> str:
    """The first step of a shortest way; at the goal, to hold."""
    if goal == at:
        return "hold"
    step_to: dict[str, str] = {}
    edge = [(goal, exit_) for exit_ in regions[goal]["exits"]]
    while at not in step_to:
        following: list[tuple[str, str]] = []
        for nearer, region in edge:
            if region != goal and region not in step_to:
                step_to[region] = nearer
                following += [(region, exit_) for exit_ in regions[region]["exits"]]
        edge = following
    return f"go to {step_to[at]}"
