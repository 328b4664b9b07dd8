"""The seat itself: what a loop asks. How a turn goes is in `turns`."""

import hashlib
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from agent_runtime.adapter_choice import Adapter, AdapterChoice
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.runtime import AgentRuntime
from agent_runtime.seat.asked import Asked, checked
from agent_runtime.seat.errors import AskedTwice, NothingToNote, NotParallel, SeatClosed, TurnEnded
from agent_runtime.seat.matches import Matches
from agent_runtime.seat.opening import folder_of, own_runtime
from agent_runtime.seat.tables import Float64s, SeatTurn, Table, Tables
from agent_runtime.seat.tape import Tape
from agent_runtime.seat.turns import Turns
from agent_runtime.turn import Account, Action, Decide, Mode, TurnResult
from game_adapters import GameContract, PettingZooAdapter, SharedState, TurnView
from game_adapters.environments import Environment, is_parallel, live_agents
from game_adapters.registry import load_contract

# A seat's forward keeps nobody else waiting, so it may be large.
MAX_ROWS = 4096


class Seat:
    """Plays PettingZoo environments of one game, AEC or parallel. Its methods may be called from several threads.

    Those that take an environment raise GameAdapterError for what is wrong with it or with the game's class, NotPairs
    where a list of them is wanted and something else given, TurnEnded, and whatever the runtime refuses. Agents that
    are dead get None.
    """

    def __init__(
        self,
        game: str | GameContract,
        model: str | LoadedModel = "embedded",
        seed: int = 0,
        *,
        adapter: Adapter = AdapterChoice.DEFAULT,
        mode: str = "auto",
        how: Literal["sample", "best"] = "sample",
        temperature: float = 1.0,
        persona: str | Mapping[str, str] | None = None,
        history_turns: int | None = None,
        games: Sequence[Path] = (),
        pool_mib: int = 1024,
        max_rows: int = MAX_ROWS,
        runtime: AgentRuntime | None = None,
        record: Path | None = None,
    ) -> None:
        """Load the game and the model.

        `game` is a name (ours, or an installed package's), `module:Class`, or an object with the methods of
        `GameContract`. `model` is a source as everywhere (`embedded`, a folder, a GGUF file, a hub name), or a model
        that is loaded already. `adapter` is a LoRA folder, or `AdapterChoice.NONE` for the bare weights; by default the
        embedded model has the one that the package brings, if any. `seed` draws the actions: equal seeds, and
        environments asked for in an equal order, give equal actions. `how`: drawn by the shares at `temperature`, or
        the likeliest. `persona` is one of the game's for all agents, or one by each agent's name. `history_turns` None
        is the game's own number. `games` are folders of game folders: one that is named like the game's own is taken in
        its place. With `runtime`, its models serve this seat too: then `model` is a name there (`embedded`: the default
        one), and `adapter`, `pool_mib` and `max_rows` are the runtime's; a model that is loaded already has its
        adapter, too. `record` is a folder for recordings that `hotseat replay` reads.

        Raises UnknownGame, NoGameFolder, GameFolderError, CannotRecord, and what loading a model raises.
        """
        contract = load_contract(game) if isinstance(game, str) else game
        folder = folder_of(contract, games)
        self.game = folder.resolve().name
        self.seed = seed
        self.how: Literal["sample", "best"] = how
        self.temperature = temperature
        self._adapter = PettingZooAdapter(game if isinstance(game, str) else self.game, contract)
        if mode not in ("auto", *Mode):
            raise ValueError(f"mode is one of {', '.join(('auto', *Mode))}, not {mode!r}")
        self._mode: Mode | Literal["auto"] = "auto" if mode == "auto" else Mode(mode)
        self._model = None
        self._owns_runtime = runtime is None
        # Before a model is loaded: a refusal should not take half a minute.
        tape = None if record is None else Tape(record, lambda model, game: self.runtime.digests(model, game), seed)
        try:
            self.runtime = own_runtime(model, folder, pool_mib, max_rows, adapter) if runtime is None else runtime
            if runtime is not None:
                runtime.add_game(folder)
                self._model = None if model == "embedded" else str(model)
        except BaseException:
            if tape is not None:
                tape.close()
            raise
        shared = contract if isinstance(contract, SharedState) else None
        # In a shared runtime others have matches, too.
        name = f"{self.game}-{seed}" if runtime is None else f"seat-{uuid.uuid4().hex[:8]}"
        self._matches = Matches(
            self.runtime, self.game, model=self._model, mode=self._mode, shared=shared, name=name, tape=tape
        )
        self._tables = Tables(self._matches.close)
        self._turns = Turns(
            self.runtime,
            self._adapter,
            self._matches,
            self._tables,
            persona=persona,
            history_turns=history_turns,
            is_alone=self._owns_runtime,
        )
        self._lock = threading.RLock()
        self._is_closed = False
        self.last_results: tuple[TurnResult | None, ...] = ()
        """What the last call was answered with, in its order; None for agents that are dead."""

    # What a loop asks.

    def act(
        self,
        env: Environment,
        agent: str | None = None,
        observation: object = None,
        info: Mapping[str, Any] | None = None,
    ) -> int | None:
        """Return the number of the action that `agent` (AEC default: the one on turn) takes.

        None if it is dead: then PettingZoo wants `env.step(None)`.
        """
        return self.act_many([(env, agent, observation, info)])[0]

    def act_many(self, asked: Sequence[Asked]) -> list[int | None]:
        """Return the actions of many agents; their turns share a forward."""
        turns = self._ask(asked, acts=True)
        with self._lock:
            numbers = [
                None if turn is None else self._turns.choose(turn, self._decide(turn.table, turn.view))
                for turn in turns
            ]
            self.last_results = _results(turns)
        return numbers

    def act_all(
        self,
        env: Environment,
        observations: Mapping[str, object] | None = None,
        infos: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> dict[str, int]:
        """Return the actions of all live agents of a parallel environment, as its `step` takes them.

        `observations` and `infos` are what `reset` or `step` returned; needed where they hold an action_mask.
        """
        if not is_parallel(env):
            raise NotParallel
        seen, told = observations or {}, infos or {}
        agents = live_agents(self._adapter.game, env)
        numbers = self.act_many([(env, agent, seen.get(agent), told.get(agent)) for agent in agents])
        return {agent: number for agent, number in zip(agents, numbers, strict=True) if number is not None}

    def distribution(
        self,
        env: Environment,
        agent: str | None = None,
        observation: object = None,
        info: Mapping[str, Any] | None = None,
    ) -> Float64s | None:
        """Return each action's probability at the seat's temperature, float64 [num_actions]: 0 where illegal, sum 1.

        Nothing is done: `act` draws from just this, and then computes nothing again.
        """
        return self.distribution_many([(env, agent, observation, info)])[0]

    def distribution_many(self, asked: Sequence[Asked]) -> list[Float64s | None]:
        """Return the distributions of many agents; their turns share a forward."""
        return [None if turn is None else turn.distribution for turn in self._peek(asked)]

    def logprobs(
        self,
        env: Environment,
        agent: str | None = None,
        observation: object = None,
        info: Mapping[str, Any] | None = None,
    ) -> Float64s | None:
        """Return the model's own log-probability of each action (nats, temperature 1), float64 [num_actions].

        -inf where illegal. Their exponentials sum to less than 1: the model might have written anything.
        """
        return self.logprobs_many([(env, agent, observation, info)])[0]

    def logprobs_many(self, asked: Sequence[Asked]) -> list[Float64s | None]:
        """Return the log-probabilities of many agents; their turns share a forward."""
        return [None if turn is None else turn.logprobs for turn in self._peek(asked)]

    def note(self, env: Environment, agent: str, action: int) -> None:
        """Say what an agent really does, if it is not what `act` answered: its history will hold that.

        Raises NothingToNote if the agent was not asked since, or its last turn did not offer this action.
        """
        with self._lock:
            place = self._tables.of(env).places.get(agent)
            if place is None or place.last is None:
                raise NothingToNote(agent, "it was not asked yet. Call act or distribution first.")
            offers = place.last.view.actions
            offer = next((offer for offer in offers if offer.number == action), None)
            if offer is None:
                numbers = ", ".join(str(offer.number) for offer in offers)
                raise NothingToNote(agent, f"its last turn did not offer {action}. It offered {numbers}.")
            place.done = Action(offer.id)

    def reset(self, env: Environment | None = None) -> None:
        """Forget what the agents of an environment did; None: of all.

        Call it with the environment's own reset in the middle of an episode, or if `act` does not see its dead agents:
        otherwise they remember the episode before. (Without history, which is the default of most games, there is
        nothing to forget.)
        """
        with self._lock:
            if env is None:
                self._tables.begin_all_anew()
            else:
                self._tables.begin_anew(self._tables.of(env))

    # What it was like.

    @property
    def last_result(self) -> TurnResult | None:
        """What the last turn was answered with: scores, legal mass, account. None before the first."""
        return next((result for result in reversed(self.last_results) if result is not None), None)

    @property
    def mode(self) -> Mode:
        """How the seat's prompts are attended, `auto` resolved."""
        return self.runtime.served_model(self._model).resolve_mode(self._mode)

    @property
    def account(self) -> Account | None:
        """What the last turn cost, None before the first."""
        return None if self.last_result is None else self.last_result.account

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the game's author should know of the states so far: parts without a rule, names that are not unique."""
        return tuple(self._turns.warnings)

    # How a turn goes.

    def _peek(self, asked: Sequence[Asked]) -> list[SeatTurn | None]:
        turns = self._ask(asked, acts=False)
        self.last_results = _results(turns)
        return turns

    def _ask(self, asked: Sequence[Asked], *, acts: bool) -> list[SeatTurn | None]:
        """Return the answered turn of each live agent. Nothing is begun unless all can be looked at."""
        pairs = checked(asked)
        with self._lock:
            if self._is_closed:
                raise SeatClosed
            self._tables.close_gone()
            looks = [self._turns.look(*each) for each in pairs]
            named = [(look[0].number, look[1].agent) for look in looks if look is not None]
            if len({*named}) < len(named):
                raise AskedTwice(next(agent for number, agent in named if named.count((number, agent)) > 1))
            turns = [look and self._turns.begin(*look, self._decide(*look[:2]), acts=acts) for look in looks]
        asked_now = [turn for turn in turns if turn is not None and turn.result is None]
        try:
            self._turns.play(asked_now)
        except TurnEnded:
            self.last_results = _results(asked_now)
            raise
        return turns

    def _decide(self, table: Table, view: TurnView) -> Decide:
        """How the next action is chosen. The seed of the draw is this seat's, this table's, this agent's and the
        action's own: so no two draws depend on each other, nor on what else is in the batch."""
        names = (self.seed, table.number, str(view.agent), table.num_acts.get(view.agent, 0))
        seed = int.from_bytes(hashlib.blake2b(repr(names).encode(), digest_size=8).digest()) >> 1
        return Decide(how=self.how, temperature=self.temperature, seed=seed)

    def close(self) -> None:
        """Close what was opened: the runtime, or in a shared one the seat's matches. Closing again does nothing."""
        with self._lock:
            if self._owns_runtime:
                self._is_closed = True
                self.runtime.close()
            else:
                self._tables.close()
            self._matches.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _results(turns: Sequence[SeatTurn | None]) -> tuple[TurnResult | None, ...]:
    return tuple(None if turn is None else turn.result for turn in turns)
