"""A recording played against a server, from the first connection to the last match closed behind it."""

import asyncio
import gc
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from agent_runtime.errors import HotseatError
from agent_runtime.replay.load.errors import LacksName, LoadError, NobodyLetIn, NoTimes, ServerLost
from agent_runtime.replay.load.options import LoadOptions, Server
from agent_runtime.replay.load.players import Names, Player
from agent_runtime.replay.load.script import Script
from agent_runtime.replay.load.spare import SpareTime
from agent_runtime.replay.load.tally import AnsweredTurn, Tally
from agent_runtime.replay.load.wire import Wire, loop_for, opened_wire
from agent_runtime.replay.report import lane_labels
from agent_runtime.replay.samples import compared
from agent_runtime.replay.strips import Strips, strip_of_account
from agent_runtime.server.errors import NoAnswer
from agent_runtime.server.server_messages import MatchOpened, Welcome
from agent_runtime.turn import Mode

Progress = Callable[[int, int], None]

# How long the matches of a run may take to be closed behind it.
_CLOSING_S = 10.0
# Between the first connection and the zero of an open loop, so that the first messages are not late.
_TAKE_BREATH_S = 0.05


@dataclass(slots=True)
class PlayedMode:
    """What one mode's players saw. `opened` is what the server said of its match; `shut_out` why it did not open it,
    once for every copy that it did not let in."""

    label: str
    asked: Mode | Literal["auto"]
    tally: Tally = field(default_factory=Tally)
    opened: MatchOpened | None = None
    shut_out: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Played:
    """A run. `ended` is what ended it early: an error, or `interrupted` a person. `prefix` begins the names of its
    matches, `left_open` counts those that could not be closed, `num_differing` the turns whose modes saw prompts of
    different length."""

    prefix: str
    modes: tuple[PlayedMode, ...]
    welcome: Welcome | None = None
    ended: HotseatError | None = None
    interrupted: bool = False
    left_open: int = 0
    num_differing: int = 0
    strips: Strips = field(default_factory=Strips)


def play(script: Script, server: Server, options: LoadOptions, progress: Progress = lambda done, turns: None) -> Played:
    """Play a script against a server. Raises LoadError if that could not even begin; what ends it later is reported.

    Ctrl-C ends it too: matches are closed, and what was measured is returned. A second one is not waited for.
    """
    if options.pace is not None and script.duration_ms <= 0:
        raise NoTimes()
    run = _Run(script, server, options, progress)
    with asyncio.Runner(loop_factory=lambda: loop_for(options.num_connections)) as runner, _undisturbed():
        runner.run(run.play())
    return run.played


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage collection meanwhile: it stops the clock of whoever is measured. What a run makes has no cycles."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Run:
    def __init__(self, script: Script, server: Server, options: LoadOptions, progress: Progress) -> None:
        self._script = script
        self._server = server
        self._options = options
        self._progress = progress
        self._players: list[Player] = []
        modes = options.modes or (_recorded_mode(script),)
        self._wires: list[Wire] = []
        self._spare = SpareTime()
        self.played = Played(
            f"replay-{secrets.token_hex(4)}",
            tuple(PlayedMode(label, mode) for label, mode in zip(lane_labels(modes), modes, strict=True)),
        )
        self._num_turns = script.num_turns * len(modes) * options.copies
        self._done = 0

    async def play(self) -> None:
        async with AsyncExitStack() as wires:
            welcome = await self._connect(wires)
            self._check_names(welcome)
            self.played.welcome = welcome
            self._progress(0, self._num_turns)
            try:
                if self._options.is_side_by_side:
                    await self._side_by_side()
                else:
                    while len(self._wires) < self._options.num_connections:
                        await self._connect(wires)
                    for mode in self.played.modes:
                        await self._at_once(mode)
                        await self._close_matches()
            except (ServerLost, NoAnswer) as error:
                self.played.ended = error
            except asyncio.CancelledError:
                task = asyncio.current_task()
                assert task is not None
                task.uncancel()
                self.played.interrupted = True
            finally:
                await self._close_matches()

    async def _connect(self, wires: AsyncExitStack) -> Welcome:
        wire, welcome = await wires.enter_async_context(opened_wire(self._server))
        self._wires.append(wire)
        return welcome

    def _check_names(self, welcome: Welcome) -> None:
        """Raise LacksName for a game or model that the server does not have."""
        games = tuple(game.name for game in welcome.games)
        models = tuple(model.name for model in welcome.models)
        wanted = self._script.models if self._options.model is None else (self._options.model,)
        for kind, names, known in (("game", self._script.games, games), ("model", wanted, models)):
            for name in names:
                if name not in known:
                    raise LacksName(self._server.url, kind, name, known)

    def _player(self, mode: PlayedMode, copy: int = 0) -> Player:
        models, number = self._script.models, self.played.modes.index(mode)
        player = Player(
            wire=self._wires[copy % len(self._wires)],
            script=self._script,
            names=Names(f"{self.played.prefix}.{number}.{copy}"),
            mode=mode.asked,
            model=self._options.model or (models[0] if models else None),
            options=self._options,
            tally=mode.tally,
            copy=copy,
            spare=self._spare,
        )
        self._players.append(player)
        return player

    async def _side_by_side(self) -> None:
        """Play each message in all modes, one after the other in an order drawn anew, so that none disturbs another."""
        players = {mode.label: self._player(mode) for mode in self.played.modes}
        order = random.Random(self._options.seed)
        for cue in self._script.cues():
            turns: dict[str, AnsweredTurn] = {}
            for mode in order.sample(self.played.modes, len(players)):
                player = players[mode.label]
                turn = await player.take(cue)
                if turn is not None:
                    turns[mode.label] = turn
                _learn(mode, [player])
                await player.settle(cue)
            if cue.turn is not None:
                self._compare(turns)

    def _compare(self, turns: Mapping[str, AnsweredTurn]) -> None:
        """Take up a turn that all modes have played."""
        full = next(
            (turns[mode.label] for mode in self.played.modes if mode.opened and mode.opened.mode is Mode.FULL), None
        )
        lengths = {turn.sample.tokens_prompt for turn in turns.values()} - {None}
        self.played.num_differing += len(lengths) > 1
        for mode in self.played.modes:
            self._take(mode, turns[mode.label], full)

    async def _at_once(self, mode: PlayedMode) -> None:
        """Play all copies of one mode at once."""
        players = [self._player(mode, copy) for copy in range(self._options.copies)]
        began = time.perf_counter() + _TAKE_BREATH_S
        for player in players:
            player.began = began
            player.on_turn = partial(self._take, mode)
        try:
            ends = await asyncio.gather(*(self._play(player) for player in players), return_exceptions=True)
        finally:
            self._spare.finish()
            _learn(mode, players)
        for end in (*ends, *(player.failed for player in players)):
            if isinstance(end, BaseException):
                raise end

    async def _play(self, player: Player) -> None:
        if (pace := self._options.pace) is None:
            await player.play_closed()
            return
        # Copies of one match that moved in step would all ask in the same moment, which no two games do.
        spread_s = self._script.mean_gap_ms / pace / 1e3
        try:
            await player.play_open(pace, spread_s * player.copy / self._options.copies)
        finally:
            self._spare.expect(player, None)

    def _take(self, mode: PlayedMode, turn: AnsweredTurn, full: AnsweredTurn | None = None) -> None:
        """Take up a turn, and how its answer compares with that of mode `full`."""
        result = turn.result
        theirs = full.result.scores if full is not None and full.result is not None else ()
        mine = result.scores if result is not None else ()
        # Answers to refused or overloaded turns have no scores, and then there is nothing to compare.
        comparable = theirs if len(theirs) == len(mine) else ()
        if result is not None and result.account is not None:
            self.played.strips.keep(mode.label, len(mode.tally.samples), strip_of_account(result.account))
        mode.tally.samples.append(compared(turn.sample, mine, comparable))
        self._done += 1
        self._progress(self._done, self._num_turns)

    async def _close_matches(self) -> None:
        """Close what this run has opened; over a new connection where the old one is gone."""
        with suppress(LoadError, NoAnswer, TimeoutError):
            async with asyncio.timeout(_CLOSING_S), AsyncExitStack() as stack:
                spare: Wire | None = None
                for player in self._players:
                    if player.has_open_matches and player.wire.lost is not None and spare is None:
                        spare, _ = await stack.enter_async_context(opened_wire(self._server))
                    await player.close(player.wire if player.wire.lost is None or spare is None else spare, _CLOSING_S)
        self._players = [player for player in self._players if player.has_open_matches]
        self.played.left_open = len(self._players)


def _learn(mode: PlayedMode, players: Sequence[Player]) -> None:
    """Take up what players were told of their matches. Raises NobodyLetIn if the server opened none of them."""
    mode.opened = mode.opened or next((player.opened for player in players if player.opened), None)
    mode.shut_out = [player.shut_out for player in players if player.shut_out is not None]
    if len(mode.shut_out) == len(players):
        raise NobodyLetIn(len(players), mode.shut_out[0])


def _recorded_mode(script: Script) -> Mode | Literal["auto"]:
    recorded = script.header.mode
    return Mode(recorded) if recorded in tuple(Mode) else "auto"
