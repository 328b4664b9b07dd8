"""A scripted runtime: what a turn does is written in its observation.

hold NAME     waits until the block `release` of any session is put with the text NAME, or the turn is cancelled
deaf NAME     the same, but does not listen to cancel
size N        says N characters
say A B C     says the words one by one
fail          fails in `run`;  fail begin: fails in `begin_turn`;  full: overloaded in `begin_turn`
anything else takes the first action
"""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import TypeAdapter

from agent_runtime.errors import BadState, Overloaded, StaleFrame, StaleTurn, UnknownName
from agent_runtime.turn import (
    Account,
    Action,
    FlushReport,
    FrameChange,
    Json,
    MatchOpened,
    MatchSpec,
    Mode,
    Outcome,
    Partial,
    Score,
    SessionOpened,
    SessionReady,
    SessionSpec,
    TurnApplied,
    TurnRequest,
    TurnResult,
)

# By session: the last turn_id, the digest of its body, and its result once there is one.
STORED = TypeAdapter(dict[str, tuple[int, str, TurnResult | None]])
ACCOUNT = Account(Mode.STAR, "tiny", False, blocks_hit=3, tokens_prompt=90, tokens_cached=80, tokens_computed=10)


def decided(request: TurnRequest, *, say: str | None = None) -> TurnResult:
    """The first action, with scores for all."""
    scores = tuple(Score(each.id, -1.5, 0.5) for each in request.actions)
    action = Action(request.actions[0].id)
    return TurnResult(
        request.session, request.turn_id, Outcome.OK, action, scores, legal_mass=0.25, say=say, account=ACCOUNT
    )


class FakePendingTurn:
    """Follows the script in its observation."""

    def __init__(self, runtime: "FakeRuntime", request: TurnRequest) -> None:
        self._runtime = runtime
        self._request = request
        self._cancelled = threading.Event()

    def run(self, partial: Callable[[Partial], None] | None = None) -> TurnResult:
        word, _, rest = self._request.observation.partition(" ")
        said = None
        match word:
            case "hold" | "deaf":
                self._runtime.wait_for_release(rest, self._cancelled if word == "hold" else None)
            case "size":
                said = "x" * int(rest)
            case "say":
                said = rest
                assert partial is not None
                for piece in rest.split():
                    partial(Partial("say", piece))
            case "fail":
                raise RuntimeError("scripted")
        if self._cancelled.is_set() and word == "hold":
            result = TurnResult(self._request.session, self._request.turn_id, Outcome.CANCELLED, account=ACCOUNT)
        else:
            result = decided(self._request, say=said)
        self._runtime.finish(self._request, result)
        return result

    def cancel(self) -> None:
        self._cancelled.set()
        self._runtime.wake()


class FakeRuntime:
    """Keeps matches, sessions and results in memory; results in `file` too, so that the next process knows them."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._changed = threading.Condition()
        self._released: set[str] = set()
        self._frames: dict[str, int | None] = {}
        self._sessions: dict[str, SessionSpec] = {}
        self._num_running = 0
        is_known = file is not None and file.exists()
        self._results = STORED.validate_json(file.read_bytes()) if file is not None and is_known else {}
        self.calls: list[str] = []
        self.times: list[tuple[float, float]] = []
        self.closed_with: float | None = None

    def describe(self) -> Mapping[str, Json]:
        models = [{"name": "tiny", "block_tuned": False}, {"name": "tuned", "block_tuned": True}]
        return {"models": models, "games": [{"name": "camp", "title": "Camp", "personas": ["guard", "smith"]}]}

    def open_match(self, spec: MatchSpec) -> MatchOpened:
        self.calls.append(f"open_match {spec.match}")
        if spec.game != "camp":
            raise UnknownName("game", spec.game, "camp")
        mode = Mode.PREFIX if spec.mode == "auto" else Mode(spec.mode)
        resumed = spec.match in self._frames
        frame = self._frames.setdefault(spec.match, None)
        return MatchOpened(spec.match, spec.game, spec.model or "tiny", False, mode, resumed, frame)

    def put_state(
        self,
        match: str,
        frame: int,
        *,
        state: Json = None,
        patch: list[dict[str, Json]] | None = None,
        base: int | None = None,
    ) -> FrameChange:
        self.calls.append(f"put_state {match} {frame}")
        current = self._frames[match]
        if current is not None and frame <= current:
            raise StaleFrame(match, frame, current)
        if patch is not None and current is None:
            raise BadState(match, "a patch needs a state before it.")
        self._frames[match] = frame
        if patch is None and "until" in state:
            self.wait_for_release(state["until"], None)
        names = tuple(state) if patch is None else tuple(each["path"] for each in patch)
        return FrameChange(match, frame, added=names, replaced=(), removed=())

    def look_ahead(self, match: str) -> None:
        """Nothing, but for a match that it stumbles over."""
        if match == "stumbles":
            raise RuntimeError("a defect")

    def open_session(self, spec: SessionSpec, ready: Callable[[SessionReady], None]) -> SessionOpened:
        self.calls.append(f"open_session {spec.session}")
        if spec.match not in self._frames:
            raise UnknownName("match", spec.match)
        resumed = spec.session in self._sessions
        self._sessions[spec.session] = spec
        last, _, _ = self._results.get(spec.session, (None, "", None))
        ready(SessionReady(spec.session, tokens=90, encoded=70, loaded=0, shared=20, ms=1.5))  # before the answer
        return SessionOpened(spec.session, spec.match, resumed, last)

    def put_block(self, session: str, name: str, text: str | None, ready: Callable[[SessionReady], None]) -> None:
        self.calls.append(f"put_block {session} {name}")
        if name == "release":
            with self._changed:
                self._released.add(text or "")
                self._changed.notify_all()
        if name != "never ready":
            ready(SessionReady(session, tokens=95, encoded=5, loaded=0, shared=90, ms=0.5))

    def stored_result(self, session: str, turn_id: int, body_digest: str) -> TurnResult | None:
        last, digest, result = self._results.get(session, (-1, "", None))
        if last != turn_id:
            return None
        if digest != body_digest:
            raise StaleTurn(session, turn_id, last)
        return result

    def begin_turn(
        self,
        request: TurnRequest,
        *,
        arrived: float | None = None,
        deadline: float = float("inf"),
        body_digest: str = "",
    ) -> FakePendingTurn:
        self.calls.append(f"begin_turn {request.session} {request.turn_id}")
        word, _, rest = request.observation.partition(" ")
        if word == "begin":
            self.wait_for_release(rest, None)
        if request.observation in ("fail begin", "begin fail"):
            raise RuntimeError("scripted")
        if request.observation == "full":
            raise Overloaded("The pool is full. Try again.")
        if (spec := self._sessions.get(request.session)) is None:
            raise UnknownName("session", request.session)
        if self._frames[spec.match] != request.frame:
            raise StaleFrame(spec.match, request.frame, self._frames[spec.match])
        last, _, _ = self._results.get(request.session, (-1, "", None))
        if request.turn_id <= last:
            raise StaleTurn(request.session, request.turn_id, last)
        assert arrived is not None
        self.times.append((arrived, deadline))
        self._results[request.session] = request.turn_id, body_digest, None
        with self._changed:
            self._num_running += 1
        return FakePendingTurn(self, request)

    def apply_turn(self, applied: TurnApplied) -> None:
        self.calls.append(f"apply_turn {applied.session} {applied.turn_id}")

    def flush(self, match: str, timeout_s: float) -> FlushReport:
        """Returns when no turn is running, which tests use to wait for that."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._num_running == 0, timeout_s)
        return FlushReport(match, blocks=2, bytes=4096, ms=0.25)

    def close_session(self, session: str) -> None:
        self.calls.append(f"close_session {session}")
        self._sessions.pop(session, None)
        self._results.pop(session, None)

    def close_match(self, match: str) -> None:
        self.calls.append(f"close_match {match}")
        self._frames.pop(match, None)
        self._released.clear()
        for session in [name for name, each in self._sessions.items() if each.match == match]:
            self.close_session(session)

    def close(self, drain_s: float) -> None:
        self.closed_with = drain_s

    def wait_for_release(self, name: str, cancelled: threading.Event | None) -> None:
        with self._changed:
            self._changed.wait_for(lambda: name in self._released or (cancelled is not None and cancelled.is_set()))

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def finish(self, request: TurnRequest, result: TurnResult) -> None:
        with self._changed:
            if request.session in self._results:
                _, digest, _ = self._results[request.session]
                self._results[request.session] = request.turn_id, digest, result
            self._num_running -= 1
            self._changed.notify_all()
            if self._file is not None:
                self._file.write_bytes(STORED.dump_json(self._results))
