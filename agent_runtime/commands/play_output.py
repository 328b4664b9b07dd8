"""What `hotseat play` prints."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agent_runtime.adapter_choice import Adapter
from agent_runtime.commands.options import say
from agent_runtime.demo.player import PlayedTurn
from agent_runtime.demo.screen import Screen
from agent_runtime.seat import Seat
from agent_runtime.seat.playing import Played, play
from agent_runtime.server.answers import result_message
from agent_runtime.turn import Mode
from game_adapters import PettingZooAdapter
from game_adapters.stepping import Stepper


@dataclass(frozen=True, slots=True)
class Sitting:
    """Who plays, and how."""

    adapter: Adapter
    seed: int
    mode: Mode | Literal["auto"]
    how: Literal["sample", "best"]
    temperature: float
    personas: str | dict[str, str] | None
    history_turns: int | None
    games: tuple[Path, ...]
    pool_mib: int
    record: Path | None


def print_game(
    adapter: PettingZooAdapter, env: Any, model: str, sitting: Sitting, max_steps: int | None, as_json: bool
) -> None:
    """Play a game and print every turn as it comes. Raises what loading the model and playing raise."""
    with Seat(
        adapter.contract,
        model,
        sitting.seed,
        adapter=sitting.adapter,
        mode=sitting.mode,
        how=sitting.how,
        temperature=sitting.temperature,
        persona=sitting.personas,
        history_turns=sitting.history_turns,
        games=sitting.games,
        pool_mib=sitting.pool_mib,
        record=sitting.record,
    ) as seat:
        screen, gained, num_steps, num_turns, ms = Screen(), dict[str, float](), 0, 0, 0.0
        stepper = Stepper(adapter.game, env, sitting.seed)
        for turn in play(seat, adapter, stepper, max_steps):
            num_turns += 1
            if turn.step > num_steps:
                num_steps = turn.step
                gained.update({agent: gained.get(agent, 0.0) + reward for agent, reward in turn.rewards.items()})
            ms += turn.result.account.total_ms if turn.result.account else 0.0
            if as_json:
                print(json.dumps(_line(turn)), flush=True)
            else:
                screen.turn(_shown(turn, sitting))
        for warning in seat.warnings:
            say(warning)
        is_over = not stepper.waiting()
        if as_json:
            told = {"over": is_over, "steps": stepper.num_steps, "turns": num_turns, "rewards": gained}
            print(json.dumps(told))
            return
        rewards = ", ".join(f"{agent} {reward:+g}" for agent, reward in gained.items()) or "none"
        screen.say("")
        ended = "The game is over" if is_over else "Stopped"
        screen.say(f"{ended} after {stepper.num_steps} steps. Rewards: {rewards}.")
        if num_turns:
            screen.say(f"{num_turns} turns in mode {seat.mode}, {ms / num_turns:,.0f} ms each.", "dim")


def _line(turn: Played) -> dict[str, Any]:
    """A turn as one line of JSON."""
    result = turn.result
    return {
        "step": turn.step,
        "agent": turn.agent,
        "observation": turn.view.observation_text,
        "action": result.action.id if result.action else None,
        "number": turn.number,
        "reward": turn.reward,
        "scores": [{"id": score.id, "logprob": score.logprob, "p": score.p} for score in result.scores],
        "legal_mass": result.legal_mass,
        "state": turn.view.state,
        "account": dataclasses.asdict(result.account) if result.account else None,
    }


def _shown(turn: Played, sitting: Sitting) -> PlayedTurn:
    """A turn as the demo's screen takes it."""
    personas = sitting.personas or ""
    persona = personas if isinstance(personas, str) else personas.get(turn.agent, "")
    return PlayedTurn(
        turn.agent, persona, turn.step, turn.view, result_message(turn.result, None), turn.reward, turn.after
    )
