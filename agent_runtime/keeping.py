"""Matches and sessions on disk, as the store's documents; without a store nothing is kept, and nothing remembered."""

import time
from collections.abc import Iterable

from agent_runtime.errors import NameTaken, NotDurable
from agent_runtime.match import Match, Session
from agent_runtime.turn import FlushReport, Json, SessionSpec
from kv_store import FlushCount, Store, StoreError


class Keeper:
    """Writes matches and sessions, and finds those that an earlier process has written."""

    def __init__(self, store: Store | None) -> None:
        self._store = store

    def keep_match(self, match: Match) -> None:
        """Write a match as it is now."""
        if self._store:
            self._store.put_document("match", match.name, match.document())

    def keep_session(self, session: Session) -> None:
        """Write a session as it is now."""
        if self._store:
            self._store.put_document("session", session.name, session.document())

    def keep_all(self, matches: Iterable[Match]) -> None:
        """Write matches with all their sessions."""
        for match in matches:
            with match.lock:
                self.keep_match(match)
                for session in match.sessions.values():
                    self.keep_session(session)

    def match(self, name: str) -> dict[str, Json] | None:
        """Return what is remembered of a match."""
        kept = self._store.get_document("match", name) if self._store else None
        return None if kept is None else dict(kept.body)

    def session(self, spec: SessionSpec) -> dict[str, Json] | None:
        """Return what is remembered of a session. Raises NameTaken if it belongs to another match there."""
        kept = self._store.get_document("session", spec.session) if self._store else None
        if self._store is None or kept is None:
            return None
        home = kept.body["match"]
        if home != spec.match and self._store.get_document("match", home) is not None:
            raise NameTaken(spec.session, home)
        return dict(kept.body) if home == spec.match else None

    def forget_match(self, match: str) -> None:
        """Remember nothing of a match, nor of its sessions, those included that no process took up again."""
        if self._store:
            for kept in self._store.list_documents("session"):
                if kept.body["match"] == match:
                    self._store.delete_document("session", kept.id)
            self._store.delete_document("match", match)

    def forget_session(self, session: str) -> None:
        """Remember nothing of a session."""
        if self._store:
            self._store.delete_document("session", session)

    def flush(self, match: Match, timeout_s: float) -> FlushReport:
        """Return when all of a match that was put before is on disk. Raises NotDurable."""
        begin = time.perf_counter()
        served = match.served

        def left() -> float:
            return max(0.0, timeout_s - (time.perf_counter() - begin))

        if self._store is None:
            raise NotDurable("this server keeps nothing on disk. Start it with a store.")
        self.keep_all([match])
        try:
            served.prefetcher.finish(timeout_s)
            served.cache.written_behind(left())
            count = self._store.flush(left())
            while served.cache.put_again(left()):  # the store's queue was full; now it is empty
                served.cache.written_behind(left())
                more = self._store.flush(left())
                count = FlushCount(count.blocks + more.blocks, count.bytes + more.bytes)
        except StoreError as error:
            raise NotDurable(str(error)) from error
        except TimeoutError as error:  # turns go first, so that blocks may still wait to be encoded
            raise NotDurable(f"{timeout_s:g} s were too short. Ask again when fewer turns wait.") from error
        return FlushReport(match.name, count.blocks, count.bytes, 1e3 * (time.perf_counter() - begin))

    def close(self, timeout_s: float) -> None:
        """Finish writing, and close the store."""
        if self._store:
            self._store.close(timeout_s)
