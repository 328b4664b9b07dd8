"""The camp's own policy, which reads the state, as an expert."""

from game_adapters.adapter import PettingZooAdapter
from game_adapters.camp import Camp
from game_adapters.camp.expert import decide
from game_adapters.environments import Environment


class CampExpert:
    """Does what the camp's rules ask for."""

    def __init__(self, seed: int = 0) -> None:
        self._adapter = PettingZooAdapter("camp", Camp())

    def choose(self, env: Environment, agent: str) -> int:
        """The first rule that applies."""
        view = self._adapter.turn(env, agent)
        assert view is not None
        return view.number(decide(view))
