"""The smallest environment that the adapter can be asked about, and a contract for it."""

from typing import Any

from gymnasium.spaces import Discrete, Space


class FakeEnv:
    """Two agents and one decision; whatever a test wants to be wrong with it is an argument."""

    def __init__(
        self,
        observation: Any = 0,
        info: dict[str, Any] | None = None,
        space: Space[Any] | None = None,
        alive: bool = True,
    ) -> None:
        self.agents = ["left", "right"]
        self.agent_selection = "left"
        self.terminations = {"left": not alive, "right": False}
        self.truncations = {"left": False, "right": False}
        self.infos: dict[str, dict[str, Any]] = {"left": info or {}, "right": {}}
        self._observation = observation
        self._space = space or Discrete(3)

    def observe(self, agent: str) -> Any:
        return self._observation

    def action_space(self, agent: str) -> Space[Any]:
        return self._space


class FakeGame:
    """Three actions and a state that names its agent."""

    def __init__(self, names: list[str] | None = None) -> None:
        self.names = names or ["wait", "go left", "go right"]

    def describe(self, env: Any, agent: str) -> Any:
        return {"you": agent}

    def action_names(self, env: Any, agent: str) -> list[str]:
        return self.names


class TalkingGame(FakeGame):
    """A game that also words the observation."""

    def observation(self, env: Any, agent: str) -> str:
        return f"It is dark, {agent}."

    def action_texts(self, env: Any, agent: str) -> list[str]:
        return ["", "to the river", "to the hills"]
