"""Matches and sessions: the state that outlives sockets, forwards and restarts."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter

from agent_runtime.errors import BadState, PersonaInUse, StaleFrame
from agent_runtime.legal import answer_text
from agent_runtime.served_model import ServedModel
from agent_runtime.turn import Action, FrameChange, Json, Mode, TurnRequest, TurnResult
from prompts import Block, Game, PromptsError, StateBlocks, apply_patch
from prompts.assembly import private_block
from prompts.game import persona_block
from prompts.history import HistoryEntry, history_block

# Results are kept this long for a client that asks again, and for the history of turns applied late.
_KEPT_TURNS = 16


@dataclass(eq=False)
class Match:
    """One running game: the shared state with its frame number, and the blocks cut from it, once for every sight.

    The state is replaced, never changed in place. `fresh` are the blocks that its last frame brought. `lock` is held
    while a frame is taken or a turn reads it.
    """

    name: str
    game: Game
    served: ServedModel
    mode: Mode
    cache_salt: str = ""
    frame: int | None = None
    state: Json = None
    fresh: tuple[Block, ...] = ()
    sights: dict[tuple[str, ...], StateBlocks] = field(default_factory=dict)
    sessions: dict[str, "Session"] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def put_state(self, frame: int, state: Json, patch: Sequence[Mapping[str, Json]] | None) -> FrameChange:
        """Take the next frame, whole or as an RFC 6902 patch; the match is unchanged if it cannot be taken."""
        with self.lock:
            if self.frame is not None and frame <= self.frame:
                raise StaleFrame(self.name, frame, self.frame)
            if patch is not None:
                if self.frame is None:
                    raise BadState(self.name, "a patch needs a state before it. Send the whole state first.")
                try:
                    state = apply_patch(self.state, patch)
                except PromptsError as error:
                    raise BadState(self.name, str(error)) from error
            changes = []
            for blocks in self.sights.values():
                try:
                    changes.append(blocks.patch(patch, state) if patch is not None else blocks.replace(state))
                except PromptsError as error:
                    self._go_back(list(self.sights)[: len(changes) + 1])
                    raise BadState(self.name, str(error)) from error
            self.frame, self.state = frame, state
            self.fresh = tuple(dict.fromkeys(block for change in changes for block in change.fresh))
            return FrameChange(
                self.name,
                frame,
                tuple(dict.fromkeys(name for change in changes for name in change.added)),
                tuple(dict.fromkeys(name for change in changes for name in change.replaced)),
                tuple(dict.fromkeys(name for change in changes for name in change.removed)),
                tuple(dict.fromkeys(text for blocks in self.sights.values() for text in blocks.warnings)),
            )

    def _go_back(self, sights: Sequence[tuple[str, ...]]) -> None:
        """Cut the state that still holds anew for the sights that have seen the one that was refused."""
        for sight in sights:
            self.sights[sight] = self._cut(sight)

    def _cut(self, sight: tuple[str, ...], game: Game | None = None) -> StateBlocks:
        blocks = StateBlocks(game or self.game, self.served.loaded.text.count, sight)
        if self.frame is not None:
            blocks.replace(self.state)
        return blocks

    def seen_by(self, sight: tuple[str, ...]) -> StateBlocks:
        """Return the blocks that `sight` sees of the current frame; sessions of equal sight share them."""
        with self.lock:
            if sight not in self.sights:
                self.sights[sight] = self._cut(sight)
            return self.sights[sight]

    def forget_sight(self, sight: tuple[str, ...]) -> None:
        """Cut the state no longer for a sight that no session has."""
        with self.lock:
            if all(session.sight != sight for session in self.sessions.values()):
                self.sights.pop(sight, None)

    def read_under(self, game: Game) -> "Reading":
        """Return the match as another version of its game reads it; nothing is taken yet. `lock` is held.

        Raises PersonaInUse, and what cutting the state and writing the history raise.
        """
        for session in self.sessions.values():
            session.check_persona(game)
        return Reading(
            self,
            game,
            {sight: self._cut(sight, game) for sight in self.sights},
            {session: session.remembered_under(game) for session in self.sessions.values()},
        )

    def document(self) -> Json:
        """Return what the store keeps of the match."""
        return {
            "game": self.game.name,
            "model": self.served.name,
            "mode": self.mode.value,
            "cache_salt": self.cache_salt,
            "frame": self.frame,
            "state": self.state,
            "sessions": sorted(self.sessions),
        }


@dataclass(frozen=True, slots=True)
class Reading:
    """A match under an edited version of its game, made whole before any of it is taken."""

    match: Match
    game: Game
    sights: dict[tuple[str, ...], StateBlocks]
    remembered: "dict[Session, dict[int, Block]]"

    def take(self) -> tuple[str, ...]:
        """Let the match go on with it, and return the names of the blocks that say something else now."""
        match = self.match
        before = _texts(match)
        match.game = self.game
        match.sights.update(self.sights)
        for session, blocks in self.remembered.items():
            session.take_remembered(blocks)
        after = _texts(match)
        changed = [name for name, texts in after.items() if before.get(name) != texts]
        return (*changed, *[name for name in before if name not in after])


def _texts(match: Match) -> dict[str, set[str]]:
    """The texts of all blocks that a match's prompts are made of, by name; sights may show different ones."""
    blocks = [match.game.anchor, *[block for sight in match.sights.values() for block in sight.blocks]]
    for session in match.sessions.values():
        persona, _, history = session.own_blocks()
        blocks += [*((persona,) if persona else ()), *history]
    texts: dict[str, set[str]] = {}
    for block in blocks:
        texts.setdefault(block.name, set()).add(block.text)
    return texts


@dataclass(frozen=True, slots=True)
class FinishedTurn:
    """A turn that has been answered: what was asked (and its digest, as the wire had it), and what came out."""

    request: TurnRequest
    body_digest: str
    result: TurnResult


_FINISHED = TypeAdapter(FinishedTurn)


@dataclass(eq=False)
class Session:
    """One agent in one match: what it sees, its own blocks, what it remembers. Read and changed under `match.lock`."""

    name: str
    match: Match
    sight: tuple[str, ...] = ()
    persona: str | None = None
    persona_text: str | None = None
    history_turns: int = 0
    private: dict[str, Block] = field(default_factory=dict)
    history: list[HistoryEntry] = field(default_factory=list)
    last_failure: str | None = None
    last_turn_id: int | None = None
    finished: dict[int, FinishedTurn] = field(default_factory=dict)
    under_way: dict[int, TurnRequest] = field(default_factory=dict)
    told_untuned: bool = False
    _seen_before: list[int | None] = field(default_factory=list)
    _private_texts: dict[str, str] = field(default_factory=dict)
    _remembered: dict[int, Block] = field(default_factory=dict)

    def own_blocks(self) -> tuple[Block | None, tuple[Block, ...], tuple[Block, ...]]:
        """Return the persona, the private blocks and the history, as they stand in the prompt."""
        return self.persona_block(), tuple(self.private.values()), tuple(self._remembered.values())

    def persona_block(self) -> Block | None:
        """Return the persona: inline text, or one of the game's by name."""
        if self.persona_text is not None:
            return persona_block(self.persona or self.name, self.persona_text)
        return self.match.game.personas[self.persona] if self.persona is not None else None

    def check_persona(self, game: Game) -> None:
        """Raise PersonaInUse if the session's persona is one that this version of the game lacks."""
        if self.persona is not None and self.persona_text is None and self.persona not in game.personas:
            raise PersonaInUse(self.persona, self.name, self.match.name)

    def remembered_under(self, game: Game) -> dict[int, Block]:
        """Return the history as another version of the game writes it."""
        return {entry.turn_id: history_block(game, entry) for entry in self.history}

    def take_remembered(self, blocks: dict[int, Block]) -> None:
        """Go on with what `remembered_under` returned."""
        self._remembered = blocks

    def put_block(self, name: str, text: str | None) -> None:
        """Add, replace or (without text) remove a private block."""
        if text is None:
            self.private.pop(name, None)
            self._private_texts.pop(name, None)
        else:
            self.private[name] = private_block(name, text)
            self._private_texts[name] = text

    def _remember(self, entry: HistoryEntry) -> None:
        """Add a turn at its place; what was said of the same turn before is replaced."""
        blocks = {**self._remembered, entry.turn_id: history_block(self.match.game, entry)}
        entries = {**{known.turn_id: known for known in self.history}, entry.turn_id: entry}
        kept = sorted(entries)[max(0, len(entries) - self.history_turns) :]
        self.history = [entries[turn_id] for turn_id in kept]
        self._remembered = {turn_id: blocks[turn_id] for turn_id in kept}

    def see(self, request: TurnRequest) -> None:
        """Take a turn: no older one is answered any more."""
        self._seen_before = [*self._seen_before[1 - _KEPT_TURNS :], self.last_turn_id]
        self.last_turn_id = request.turn_id
        self.under_way[request.turn_id] = request
        while len(self.under_way) > _KEPT_TURNS:
            del self.under_way[min(self.under_way)]

    def unsee(self, turn_id: int) -> bool:
        """Let a turn that found no room be asked again under its turn_id; False when a newer one has been seen."""
        self.under_way.pop(turn_id, None)
        if self.last_turn_id != turn_id:
            return False
        self.last_turn_id = self._seen_before.pop()
        return True

    def finish(self, request: TurnRequest, body_digest: str, result: TurnResult) -> None:
        """Keep a result, for a client that asks again and for the history once the game says what it did."""
        self.under_way.pop(request.turn_id, None)
        self.finished[request.turn_id] = FinishedTurn(request, body_digest, result)
        while len(self.finished) > _KEPT_TURNS:
            del self.finished[min(self.finished)]

    def apply(self, turn_id: int, ok: bool, message: str | None, reward: float | None, action: Action | None) -> None:
        """Remember what the game did with a turn: history holds what was applied, never what was only wished.

        The turn is finished; or it is under way, past its deadline, and the game did something of its own.
        """
        turn = self.finished.get(turn_id)
        request = turn.request if turn else self.under_way[turn_id]
        done = action or (turn.result.action if turn else None)
        if not ok or done is None:
            self.last_failure = message or "the action was not possible"
            return
        self.last_failure = None
        self._remember(
            HistoryEntry(
                turn_id=turn_id,
                frame=request.frame,
                observation=request.observation,
                action_text=answer_text(done),
                ok=ok,
                message=message,
                reward=reward,
            )
        )

    def document(self) -> Json:
        """Return what the store keeps of the session."""
        return {
            "match": self.match.name,
            "sight": list(self.sight),
            "persona": self.persona,
            "persona_text": self.persona_text,
            "history_turns": self.history_turns,
            "private": dict(self._private_texts),
            "history": [asdict(entry) for entry in self.history],
            "last_failure": self.last_failure,
            "last_turn_id": self.last_turn_id,
            # The newest is what a client that lost its connection asks again; the one before may still be applied.
            "finished": [
                _FINISHED.dump_python(self.finished[turn], mode="json") for turn in sorted(self.finished)[-2:]
            ],
        }

    def recall(self, document: Mapping[str, Any]) -> None:
        """Take up what `document` returned in an earlier process."""
        self.sight = tuple(document["sight"])
        self.persona = document["persona"]
        self.persona_text = document["persona_text"]
        self.history_turns = document["history_turns"]
        for name, text in document["private"].items():
            self.put_block(name, text)
        for entry in document["history"]:
            self._remember(HistoryEntry(**entry))
        self.last_failure = document["last_failure"]
        self.last_turn_id = document["last_turn_id"]
        turns = [_FINISHED.validate_python(turn) for turn in document["finished"]]
        self.finished = {turn.request.turn_id: turn for turn in turns}
