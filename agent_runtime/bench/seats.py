"""`hotseat bench seats`: many environments' turns in one forward (`act_many`) against as many calls of `act`.

Every environment has its own blocks, so that no two prompts are alike; with each step its observation changes, and
nothing else. Both ways play the same environments in turn, so that neither meets a better moment of the machine.
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymnasium.spaces import Discrete

from agent_runtime.bench.prompts import GAME, Sentences, write_game
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.environment import environment
from agent_runtime.seat import Seat

_AGENT = "agent"
_ACTIONS = ("A", "B")


@dataclass(frozen=True, slots=True)
class SeatsWorkload:
    """How many environments, what each prompt is made of, and how often both ways play a step of all of them.

    `observations` are lengths in tokens, of the words that change; a turn computes about eight more (chat markers, and
    the answers).
    """

    num_envs: int = 16
    num_blocks: int = 4
    block_tokens: int = 30
    observations: tuple[int, ...] = (2, 8, 32)
    modes: tuple[str, ...] = ("star", "prefix")
    rounds: int = 10
    pool_mib: int = 512
    seed: int = 0


class _Env:
    """One agent that hears something else at every step; as much of an AEC environment as a seat looks at."""

    def __init__(self, blocks: list[dict[str, str]], say: Callable[[], str]) -> None:
        self.blocks = blocks
        self._say = say
        self.agents = [_AGENT]
        self.agent_selection = _AGENT
        self.terminations = self.truncations = {_AGENT: False}
        self.infos: dict[str, dict[str, Any]] = {_AGENT: {}}
        self._space = Discrete(len(_ACTIONS))
        self.step(0)

    def observe(self, agent: str) -> None:
        """Nothing in numbers."""

    def action_space(self, agent: str) -> Discrete:
        return self._space

    def step(self, action: int) -> None:
        self.heard = self._say()


class _Game:
    """The benchmark's game as a contract."""

    def __init__(self, folder: Path) -> None:
        type(self).folder = folder

    folder: Path

    def describe(self, env: _Env, agent: str) -> Any:
        return {"blocks": env.blocks}

    def action_names(self, env: _Env, agent: str) -> list[str]:
        return [*_ACTIONS]

    def observation(self, env: _Env, agent: str) -> str:
        return env.heard

    def action_texts(self, env: _Env, agent: str) -> list[str]:
        return [""] * len(_ACTIONS)


def bench_seats(loaded: LoadedModel, workload: SeatsWorkload, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure both ways for every length and mode; return times a turn in milliseconds, and their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        game = _Game(write_game(Path(folder)) / GAME)
        (game.folder / "observation.md").write_text("{{ text }}\n", encoding="utf-8")
        cases = []
        for mode in workload.modes:
            for tokens in workload.observations:
                tell(f"{mode}, observations of {tokens} tokens")
                cases.append(_case(loaded, workload, game, mode, tokens))
    return {
        "environment": environment(loaded),
        "workload": {name: getattr(workload, name) for name in workload.__slots__},
        "cases": cases,
    }


def _case(loaded: LoadedModel, workload: SeatsWorkload, game: _Game, mode: str, tokens: int) -> dict[str, Any]:
    sentences = Sentences(loaded.text.count, workload.seed)
    numbers = itertools.count()

    def env() -> _Env:
        blocks = [
            {"id": f"b{next(numbers)}", "text": sentences.sentence(workload.block_tokens - 7)}
            for _ in range(workload.num_blocks)
        ]
        return _Env(blocks, lambda: sentences.sentence(tokens))

    with Seat(game, loaded, workload.seed, mode=mode, pool_mib=workload.pool_mib) as seat:
        envs = [env() for _ in range(workload.num_envs)]
        runner = seat.runtime.served_model().engine.runner

        def together() -> None:
            for each, action in zip(envs, seat.act_many([(each, None) for each in envs]), strict=True):
                each.step(action or 0)

        def apart() -> None:
            for each in envs:
                each.step(seat.act(each) or 0)

        for way in (together, together, apart):
            way()  # every block is encoded, every size of forward has been seen
        times: dict[str, list[float]] = {"together": [], "apart": []}
        forwards, computed = [], []
        for number in range(workload.rounds):
            for name, way in sorted({"together": together, "apart": apart}.items(), reverse=bool(number % 2)):
                before, begin = runner.forwards, time.perf_counter()
                way()
                times[name].append(1e3 * (time.perf_counter() - begin) / workload.num_envs)
                if name == "together":
                    forwards.append(runner.forwards - before)
                    computed += [r.account.tokens_computed for r in seat.last_results if r and r.account]
    ratios = sorted(apart / together for together, apart in zip(times["together"], times["apart"], strict=True))
    return {
        "mode": mode,
        "observation_tokens": tokens,
        "tokens_computed": round(statistics.fmean(computed), 1),
        "forwards": statistics.fmean(forwards),
        "ms_a_turn": {name: round(statistics.fmean(each), 2) for name, each in times.items()},
        "ratio": round(statistics.fmean(times["apart"]) / statistics.fmean(times["together"]), 3),
        "ratio_median": round(statistics.median(ratios), 3),
    }
