"""`AgentRuntime`: matches, sessions and turns behind one thread-safe interface; what every front end talks to."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Literal

from agent_runtime import describing
from agent_runtime.agent import PendingTurn, prepare_turn
from agent_runtime.anticipation import Ready, bring_all, bring_history
from agent_runtime.errors import BadState, NameTaken, StaleTurn, UnknownTurn, named
from agent_runtime.game_shelf import GameShelf
from agent_runtime.keeping import Keeper
from agent_runtime.match import Match, Session
from agent_runtime.served_model import ServedModel
from agent_runtime.turn import (
    FlushReport,
    FrameChange,
    Json,
    MatchOpened,
    MatchSpec,
    Mode,
    SessionOpened,
    SessionSpec,
    TurnApplied,
    TurnRequest,
    TurnResult,
)
from kv_store import Store
from kv_store.errors import StoreClosed
from prompts import Game

_log = logging.getLogger(__name__)

# Of the time to stop, this share of what is left is waited for blocks to be copied out, and then for the forward.
_SHARE_FOR_COPIES = 0.3
# More changed blocks than this are left to the turn that needs them: the game may send another frame before it asks.
_MOST_AHEAD = 16
# Likewise beyond so many characters, which take a few milliseconds: a game's next frame would wait for them.
_LONGEST_AHEAD = 16_384


class AgentRuntime:
    """All matches of one process. Methods block, may be called from any thread, and raise `agent_runtime.errors`."""

    def __init__(
        self,
        served: Mapping[str, ServedModel],
        *,
        games: Sequence[Path] = (),
        store: Store | None = None,
        default_mode: Mode | Literal["auto"] = "auto",
        prefetches: bool = True,
    ) -> None:
        """Without `prefetches` nothing is computed before a turn needs it: the turn takes it along in its forward."""
        self._served = dict(served)
        self._games = GameShelf(games)
        self._keeper = Keeper(store)
        self._default_mode = default_mode
        self._prefetches = prefetches
        self._matches: dict[str, Match] = {}
        self._sessions: dict[str, Session] = {}
        self._lock = threading.RLock()
        self._closed = False

    # What there is.

    def describe(self) -> dict[str, Json]:
        """Return the models and games that clients may name, but for games that do not load."""
        return describing.describe(self._served, self._games.sound())

    def digests(self, model: str, game: str) -> dict[str, str]:
        """Return what a recording says of the model that it was made with, and of each file of the game's folder."""
        return describing.digests(self.served_model(model), self._games.game(game))

    def served_model(self, name: str | None = None) -> ServedModel:
        """Return a model by the name clients use; None is the default one. Raises UnknownName."""
        if name is None:
            return next(iter(self._served.values()))
        return named("model", name, self._served)

    def match(self, name: str) -> Match:
        """Return an open match. Raises UnknownName."""
        return named("match", name, self._matches)

    def session(self, name: str) -> Session:
        """Return an open session. Raises UnknownName."""
        return named("session", name, self._sessions)

    def add_game(self, folder: Path) -> None:
        """Let matches of the game in `folder` be opened. Raises GameFolderError if another folder's has its name."""
        self._games.add(folder)

    def known_games(self) -> frozenset[str]:
        """Return the names of the games that matches can be opened of."""
        return self._games.names()

    def loaded_games(self) -> dict[str, Game]:
        """Return the games that were read so far, by name, each as it is played now."""
        return self._games.loaded()

    def take_game(self, game: Game) -> dict[str, tuple[str, ...]]:
        """Let all matches of a game go on with an edited version of it, from their next frame or turn on.

        Turns under way keep the prompt they took. Returns, by match, the names of the blocks that say something else
        now. All or nothing: raises PersonaInUse, and what cutting the states under the new version raises, and then
        everything stays as it was.
        """
        with self._lock, ExitStack() as held:
            playing = [match for match in self._matches.values() if match.game.name == game.name]
            for match in playing:
                held.enter_context(match.lock)
            readings = [match.read_under(game) for match in playing]
            self._games.replace(game)
            return {reading.match.name: reading.take() for reading in readings}

    # Matches and frames.

    def open_match(self, spec: MatchSpec) -> MatchOpened:
        """Open a match, or take it up again: one that is open, or one that the store remembers."""
        with self._lock:
            match = self._matches.get(spec.match)
            resumed = match is not None
            if match is None:
                match = self._recall_match(spec)
                resumed = match is not None
            if match is None:
                served = self.served_model(spec.model)
                mode = self._default_mode if spec.mode == "auto" else spec.mode
                match = Match(
                    spec.match, self._games.game(spec.game), served, served.resolve_mode(mode), spec.cache_salt
                )
            if match.game.name != spec.game:
                raise BadState(
                    spec.match, f"it is a match of {match.game.name!r}. Open {spec.game!r} under another name."
                )
            if match.cache_salt != spec.cache_salt:
                raise BadState(
                    spec.match, "it was opened with another cache_salt. Open it with that one, or under another name."
                )
            match.served.cache.open_match(match.name)
            self._keeper.keep_match(match)
            self._matches[spec.match] = match
            return MatchOpened(
                match=match.name,
                game=match.game.name,
                model=match.served.name,
                block_tuned=match.served.loaded.block_tuned,
                mode=match.mode,
                resumed=resumed,
                frame=match.frame,
            )

    def _recall_match(self, spec: MatchSpec) -> Match | None:
        document = self._keeper.match(spec.match)
        if document is None:
            return None
        served = self.served_model(document["model"])
        salt = document.get("cache_salt", "")  # matches of earlier versions have none
        match = Match(spec.match, self._games.game(document["game"]), served, Mode(document["mode"]), salt)
        if document["frame"] is not None:
            match.put_state(document["frame"], document["state"], None)
        return match

    def put_state(
        self,
        match: str,
        frame: int,
        *,
        state: Json = None,
        patch: list[dict[str, Json]] | None = None,
        base: int | None = None,
    ) -> FrameChange:
        """Take the next frame of a match, whole or as a patch of the one before. Raises StaleFrame, BadState.

        With `base`, a patch is refused unless the match is at that frame.
        """
        taken = self.match(match)
        with taken.lock:
            if base is not None and base != taken.frame:
                raise BadState(
                    match,
                    f"the patch was made of frame {base} and the match is at frame {taken.frame}. Send a whole state.",
                )
            return taken.put_state(frame, state, patch)

    def look_ahead(self, match: str) -> None:
        """Read into tokens what the last frame changed, if that is little, while its game writes the next question."""
        taken = self._matches.get(match)
        fresh = () if taken is None else taken.fresh
        if taken is not None and len(fresh) <= _MOST_AHEAD and sum(len(each.text) for each in fresh) <= _LONGEST_AHEAD:
            for block in fresh:
                taken.served.loaded.text.text_ids(block.text)

    def close_match(self, match: str) -> None:
        """End a match and its sessions for good; blocks that another match uses stay."""
        with self._lock:
            closing = self.match(match)
            for session in list(closing.sessions):
                self.close_session(session)
            del self._matches[match]
            self._keeper.forget_match(match)
            closing.served.cache.forget_match(match)

    # Sessions and their blocks.

    def open_session(self, spec: SessionSpec, ready: Ready = lambda ready: None) -> SessionOpened:
        """Open a session, or take it up again, and begin to encode what it sees. `ready` comes from any thread."""
        with self._lock:
            match = self.match(spec.match)
            session = self._sessions.get(spec.session)
            resumed = session is not None
            if session is None:
                session = Session(spec.session, match)
                kept = self._keeper.session(spec)
                if kept is not None:
                    session.recall(kept)
                    resumed = True
            if session.match is not match:
                raise NameTaken(spec.session, session.match.name)
            if not resumed:
                session.sight = tuple(spec.sight)
                session.persona, session.persona_text = spec.persona, spec.persona_text
                turns = match.game.history_turns if spec.history_turns is None else spec.history_turns
                session.history_turns = turns
            if session.persona is not None and session.persona_text is None:
                named("persona", session.persona, match.game.personas)
            with match.lock:
                match.seen_by(session.sight)
                self._keeper.keep_session(session)
                self._sessions[spec.session] = match.sessions[spec.session] = session
                match.served.cache.open_session(session.name)
        bring_all(session, ready, prefetches=self._prefetches)
        return SessionOpened(session.name, match.name, resumed, session.last_turn_id)

    def put_block(self, session: str, name: str, text: str | None, ready: Ready = lambda ready: None) -> None:
        """Add, replace or (without text) remove a private block, and begin to encode it."""
        target = self.session(session)
        with target.match.lock:
            target.put_block(name, text)
            self._keep(target)
        bring_all(target, ready, prefetches=self._prefetches)

    def close_session(self, session: str) -> None:
        """End a session for good."""
        with self._lock:
            closing = self.session(session)
            with closing.match.lock:
                del self._sessions[session]
                closing.match.sessions.pop(session, None)
                closing.match.served.cache.forget_session(session)
                closing.match.forget_sight(closing.sight)
                self._keeper.forget_session(session)

    # Turns.

    def stored_result(self, session: str, turn_id: int, body_digest: str) -> TurnResult | None:
        """Return what an equal turn was answered with, also before a restart; None if it is new.

        Raises StaleTurn when the turn_id was used with another body, is under way, or lies before the last one.
        """
        asked = self.session(session)
        with asked.match.lock:
            finished = asked.finished.get(turn_id)
            if finished is not None and finished.body_digest == body_digest:
                return finished.result
            if asked.last_turn_id is not None and turn_id <= asked.last_turn_id:
                raise StaleTurn(session, turn_id, asked.last_turn_id)
        return None

    def begin_turn(
        self,
        request: TurnRequest,
        *,
        arrived: float | None = None,
        deadline: float = float("inf"),
        body_digest: str = "",
    ) -> PendingTurn:
        """Check a turn and take the snapshot it is about; nothing that comes later touches it.

        `arrived` and `deadline` are `time.perf_counter()` times; the deadline orders the queue, and the caller cancels.
        """
        session = self.session(request.session)
        arrived = time.perf_counter() if arrived is None else arrived
        with session.match.lock:
            if session.last_turn_id is not None and request.turn_id <= session.last_turn_id:
                raise StaleTurn(request.session, request.turn_id, session.last_turn_id)
            turn = prepare_turn(session, request, arrived=arrived, deadline=deadline, body_digest=body_digest)
            session.see(request)
            turn.on_end = self._keep
            return turn

    def apply_turn(self, applied: TurnApplied) -> None:
        """Take up what the game did with a turn's action, and begin to encode it as history."""
        session = self.session(applied.session)
        with session.match.lock:
            # A turn that timed out on the wire is under way here until its forward ends.
            is_own = applied.turn_id in session.under_way and (applied.action is not None or not applied.ok)
            if applied.turn_id not in session.finished and not is_own:
                raise UnknownTurn(applied.session, applied.turn_id)
            session.apply(applied.turn_id, applied.ok, applied.message, applied.reward, applied.action)
            # Not with every frame: that costs as much as the state is long, and a frame should cost what it changes.
            self._keeper.keep_match(session.match)
            self._keep(session)
            history = session.own_blocks()[2][-1:] if applied.ok else ()
        if history and self._prefetches:
            bring_history(session, history[0])

    # The disk.

    def flush(self, match: str, timeout_s: float = 30.0) -> FlushReport:
        """Return when everything put before is on disk. Raises NotDurable."""
        return self._keeper.flush(self.match(match), timeout_s)

    def _keep(self, session: Session) -> None:
        """Write a session, unless it was closed; its match's lock is held."""
        if self._sessions.get(session.name) is session:
            with suppress(StoreClosed):  # a turn that the end of the server ended
                self._keeper.keep_session(session)

    def close(self, drain_s: float = 5.0) -> None:
        """Finish writing within `drain_s`, and stop. Closing again does nothing.

        A forward that takes longer is broken off at its next layer: what it computes is not kept.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        end = time.perf_counter() + drain_s

        def left() -> float:
            return max(0.0, end - time.perf_counter())

        try:
            self._keeper.keep_all(list(self._matches.values()))
        finally:
            for served in self._served.values():
                with suppress(TimeoutError):
                    served.cache.written_behind(_SHARE_FOR_COPIES * left())
                if not served.close(_SHARE_FOR_COPIES * left()):
                    _log.warning("model %r is still in a layer of its forward; the process waits for it", served.name)
            self._keeper.close(left())
