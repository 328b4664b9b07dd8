"""`hotseat bench gamecore --through agent` and `socket`: turns of a gamecore match, state in to action out.

Each turn is about a frame in which some blocks have changed, sent as a patch and, in turn with that, as a whole state.
A third kind of turn, behind a patch again, writes the parameters of an action under a JSON Schema, 16 tokens that are
sampled. Behind each of the others the engine alone plays the same turn from blocks of its own (`twin.py`), so that both
meet the same moments of the machine: `more_than_engine_ms` is the median of what each turn took more than its twin,
`besides_engine_ms` that of what a turn itself spent outside the engine, which a noisy machine blurs less. Through a
socket `bare_socket_ms` is the median of what a server that only answers takes with the same texts, between a turn and
its twin (`bare_socket.py`). The match runs in mode `star` and keeps nothing on a disk.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from agent_runtime.actions import Answers
from agent_runtime.bench.asked_model import (
    AskedModel,
    encoder_of,
    loaded_model,
    random_subject,
    subject_of_loaded,
    with_random_weights,
)
from agent_runtime.bench.land import GAME, GAME_FOLDER, NUM_WRITTEN, Moment, PlayedLand
from agent_runtime.bench.players import MATCH, Played, Player, in_process, over_socket
from agent_runtime.bench.twin import Twin, TwinTurn
from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine.bench.errors import FEWER
from agent_runtime.engine.bench.floors import Floors
from agent_runtime.engine.bench.running import floors_of, heading
from agent_runtime.engine.bench.setting import WARM_UP, figures
from agent_runtime.engine.bench.subject import Subject
from agent_runtime.engine.devices import fitting
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.engine.text import TextEncoder
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import serve_model
from agent_runtime.token_blocks import TokenPrompt
from agent_runtime.tuning.data.generating import blocks_of
from agent_runtime.turn import SessionSpec
from prompts import load_game

Through = Literal["agent", "socket"]

_PLAYERS: Mapping[Through, Callable[[AgentRuntime], AbstractContextManager[Player]]] = MappingProxyType(
    {"agent": in_process, "socket": over_socket}
)
_TWIN = "twin"
_PATCH, _WHOLE = "one patch a frame", "a whole state a frame"
_TEXT = f"one patch a frame, {NUM_WRITTEN} tokens sampled under a JSON Schema"
_MAX_ROWS = 512
# What a prompt has besides the blocks of the state: the rules, chat markers, the question, and each action twice.
_BESIDES, _EACH_ACTION = 512, 40
# Versions of a block that lie in the pool beside the one that is seen.
_VERSIONS = 16
_ROUND_MS = 3


@dataclass(frozen=True, slots=True)
class GamecoreWorkload:
    """How large the state is, how many of its blocks change with each frame, and how many actions are listed.

    Without `actions` 16 are, or all that there are in a state of few blocks.
    """

    num_blocks: int = 300
    block_tokens: int = 85
    changed: int = 1
    actions: int | None = None
    turns: int = 50
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Pair:
    """A turn through the host, and the same turn of the engine alone."""

    moment: Moment
    played: Played
    twin: TwinTurn


def bench_gamecore(
    asked: AskedModel, workload: GamecoreWorkload, through: Through, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Check the first turn's scores against plain torch, then time the others; `tell` hears how far it is.

    Raises BadOption, TooLarge, TooLong, DeviceTooSmall, ScoresDiffer, TurnFailed, and what loading a model raises.
    """
    land = PlayedLand(workload.num_blocks, workload.block_tokens, workload.actions, workload.changed, workload.seed)
    workload = replace(workload, actions=land.num_actions)
    first = land.next()
    loaded, subject, num_static = _model(asked, workload, first)
    with fitting(f"What is computed with {subject.name}", FEWER):
        floors = floors_of(subject)
        pool_mib = math.ceil(_slots(workload, num_static, land.num_actions) * subject.bytes_per_token / 2**20)
        served = serve_model(MATCH, loaded, MemoryStore(), pool_mib=pool_mib, max_rows=_MAX_ROWS)
        runtime = AgentRuntime({MATCH: served}, games=[GAME_FOLDER])
        twin = Twin(served)
        with _PLAYERS[through](runtime) as player:
            tell(f"encoding {workload.num_blocks} blocks")
            player.open(first)
            runtime.open_session(SessionSpec(_TWIN, MATCH))
            tell("checking scores against plain torch")
            moment = land.next()
            played = player.play(moment, whole=False)
            check = twin.check(*_asked(runtime, moment), [score.logprob for score in played.scores])
            pairs, texts = _turns(runtime, player, twin, land, workload.turns, tell)
            residents, pool = served.cache.residents, served.engine.runner.pool
            served.engine.ask(lambda: pool.check([*residents.held(), *twin.held]))
    name = f"{GAME} through {through}"
    cases = [_case(f"{name}, {frame}", those, floors) for frame, those in pairs.items()]
    return {
        **heading(subject, twin.way, floors, check),
        "model": loaded.name,
        "through": through,
        "workload": asdict(workload),
        "pool_MiB": pool_mib,
        "books_balance": True,
        "cases": [*cases, _text_case(f"{name}, {_TEXT}", texts, twin, floors)],
    }


def _turns(
    runtime: AgentRuntime, player: Player, twin: Twin, land: PlayedLand, count: int, tell: Callable[[str], None]
) -> tuple[dict[str, list[_Pair]], list[Played]]:
    """Play turns of all kinds by turns, behind some that do not count; return those in text beside the others."""
    pairs: dict[str, list[_Pair]] = {_PATCH: [], _WHOLE: []}
    texts = []
    for turn in range(-WARM_UP, count):
        tell(f"turn {turn + 1} of {count}" if turn >= 0 else "warming up")
        for frame, those in pairs.items():
            moment = land.next()
            played = player.play(moment, whole=frame == _WHOLE)
            alone = twin.play(*_asked(runtime, moment))
            if turn >= 0:
                those.append(_Pair(moment, played, alone))
        moment = land.next()
        played = player.play(moment, whole=False, writes=True)
        twin.play(*_asked(runtime, moment))  # or it would have more that is new behind the next frame
        if turn >= 0:
            texts.append(played)
    return pairs, texts


def _model(asked: AskedModel, workload: GamecoreWorkload, first: Moment) -> tuple[LoadedModel, Subject, int]:
    """Return the model, and how many static tokens the first frame has for it; random weights are drawn last."""
    if not asked.is_random:
        loaded = loaded_model(asked)
        subject = subject_of_loaded(loaded)
        return loaded, subject, _checked(subject, workload, loaded.text, first)
    subject = random_subject(asked)
    text = encoder_of(asked, subject.config)
    num_static = _checked(subject, workload, text, first)
    return with_random_weights(subject, text), subject, num_static


def _checked(subject: Subject, workload: GamecoreWorkload, text: TextEncoder, first: Moment) -> int:
    """Return the tokens of the blocks, after they were found to fit. Raises TooLong, TooLarge."""
    game = load_game(GAME_FOLDER)
    cut = blocks_of(game, first.state)
    num_static = len(text.anchor_ids(game.anchor.text)) + sum(len(text.block_ids(block.text)) for block in cut.blocks)
    subject.require_positions(num_static + len(first.actions) * _EACH_ACTION)
    subject.require_memory(_slots(workload, num_static, len(first.actions)))
    return num_static


def _slots(workload: GamecoreWorkload, num_static: int, num_actions: int) -> int:
    """Return the slots of both copies of the blocks, versions of those that change, and what turns take."""
    changing = 2 * workload.changed * _VERSIONS * num_static // workload.num_blocks
    return 2 * num_static + changing + _BESIDES + 2 * num_actions * _EACH_ACTION


def _asked(runtime: AgentRuntime, moment: Moment) -> tuple[TokenPrompt, Answers]:
    """Return what the runtime makes of a moment for a session that sees the same; that turn is never run."""
    pending = runtime.begin_turn(moment.request(_TWIN))
    return pending.prompt, pending.answers


def _case(name: str, pairs: Sequence[_Pair], floors: Floors) -> dict[str, Any]:
    accounts = [pair.played.account for pair in pairs]
    floor = statistics.median(floors.seconds(*pair.twin.least_work) for pair in pairs)
    whole = figures([1e-3 * pair.played.total_ms for pair in pairs], floor)
    alone = figures([pair.twin.seconds for pair in pairs], floor)
    counted = ("tokens_prompt", "tokens_cached", "tokens_computed", "encoded", "observation", "scored")
    stages = pairs[0].played.stages_ms
    return {
        "case": name,
        "turns": len(pairs),
        "blocks_hit": statistics.median(account.blocks_hit for account in accounts),
        "blocks_encoded": statistics.median(account.blocks_encoded for account in accounts),
        "tokens": {
            count.removeprefix("tokens_"): statistics.median(getattr(account, count) for account in accounts)
            for count in counted
        },
        **whole,
        "stages_ms": {stage: _median_ms(pair.played.stages_ms[stage] for pair in pairs) for stage in stages},
        "engine": alone,
        "more_than_engine_ms": _median_ms(pair.played.total_ms - 1e3 * pair.twin.seconds for pair in pairs),
        "besides_engine_ms": _median_ms(pair.played.besides_engine_ms for pair in pairs),
        **_bare([pair.played for pair in pairs]),
        "legal": sum(pair.played.action.id in pair.moment.actions for pair in pairs),
        "as_the_engine": sum(pair.played.scores[pair.twin.best].id == pair.played.action.id for pair in pairs),
    }


def _text_case(name: str, turns: Sequence[Played], twin: Twin, floors: Floors) -> dict[str, Any]:
    floor = statistics.median(
        sum(floors.seconds(*work) for work in twin.least_text_work(turn.account)) for turn in turns
    )
    return {
        "case": name,
        "turns": len(turns),
        "sampled": NUM_WRITTEN,
        "appended": statistics.median(turn.account.appended for turn in turns),
        "forwards": statistics.median(turn.account.forwards for turn in turns),
        **figures([1e-3 * turn.total_ms for turn in turns], floor),
        "stages_ms": {stage: _median_ms(turn.stages_ms[stage] for turn in turns) for stage in turns[0].stages_ms},
        "besides_engine_ms": _median_ms(turn.besides_engine_ms for turn in turns),
        **_bare(turns),
        "legal": sum(len((turn.action.args or {}).get("days", ())) == NUM_WRITTEN for turn in turns),
    }


def _bare(turns: Sequence[Played]) -> dict[str, float]:
    """Return what a bare socket took with the same texts, where they passed a socket."""
    times = [turn.bare_socket_ms for turn in turns if turn.bare_socket_ms is not None]
    return {"bare_socket_ms": _median_ms(times)} if times else {}


def _median_ms(times: Iterable[float]) -> float:
    return round(statistics.median(times), _ROUND_MS)
