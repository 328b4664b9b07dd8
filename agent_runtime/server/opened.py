"""The matches and sessions that one connection has opened, by name."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent_runtime.server.client_messages import OnDeadline
from agent_runtime.server.config import Limits
from agent_runtime.server.errors import NotOpen, TooMany
from agent_runtime.turn import Json


@dataclass(frozen=True, slots=True, eq=False)
class OpenedSession:
    """One opening of a session: its match, and what its deadlines mean."""

    match: str
    on_deadline: OnDeadline


@dataclass(frozen=True, slots=True, eq=False)
class OpenedMatch:
    """One opening of a match."""


@dataclass(frozen=True, slots=True)
class OpenedBefore:
    """What a failed opening goes back to: what the name stood for before, and what it stands for since."""

    name: str
    was: OpenedMatch | OpenedSession | None
    became: OpenedMatch | OpenedSession


class Opened:
    """Names are taken when the opening is asked for, so that messages right behind it find them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._matches: dict[str, OpenedMatch] = {}
        self._sessions: dict[str, OpenedSession] = {}

    def open_match(self, match: str) -> OpenedBefore:
        """Take a match's name; the answer undoes it."""
        was = self._matches.get(match)
        if was is None and len(self._matches) >= self._limits.matches:
            raise TooMany("matches", self._limits.matches)
        became = self._matches[match] = OpenedMatch()
        return OpenedBefore(match, was, became)

    def open_session(self, session: str, match: str, on_deadline: OnDeadline) -> OpenedBefore:
        """Take a session's name; the answer undoes it. The match may have been opened by another connection."""
        was = self._sessions.get(session)
        if was is None and len(self._sessions) >= self._limits.sessions:
            raise TooMany("sessions", self._limits.sessions)
        became = self._sessions[session] = OpenedSession(match, on_deadline)
        return OpenedBefore(session, was, became)

    def undo(self, before: OpenedBefore) -> None:
        """The opening failed. What was opened or closed again since then stays as it is."""
        names: dict[str, Any] = self._matches if isinstance(before.became, OpenedMatch) else self._sessions
        if names.get(before.name) is before.became:
            del names[before.name]
            if before.was is not None:
                names[before.name] = before.was

    def need_match(self, match: str) -> None:
        """Raise NotOpen unless the match, or a session in it, was opened here."""
        if not self._has_match(match):
            raise NotOpen("match", match, _alike(match, self._matches))

    def need_session(self, session: str) -> OpenedSession:
        """The session of that name. Raises NotOpen unless it was opened here."""
        if (found := self._sessions.get(session)) is None:
            raise NotOpen("session", session, _alike(session, self._sessions))
        return found

    def match_of(self, value: Mapping[str, Json]) -> str | None:
        """The open match that a message belongs to, by its `match` or its `session`."""
        match, session = value.get("match"), value.get("session")
        if isinstance(match, str) and self._has_match(match):
            return match
        if isinstance(session, str) and (found := self._sessions.get(session)) is not None:
            return found.match
        return None

    def close_session(self, session: str) -> None:
        """Give a session's name back."""
        del self._sessions[session]

    def close_match(self, match: str) -> None:
        """Give back the names of a match and of its sessions."""
        self._matches.pop(match, None)
        for session in [name for name, each in self._sessions.items() if each.match == match]:
            del self._sessions[session]

    def _has_match(self, match: str) -> bool:
        return match in self._matches or any(each.match == match for each in self._sessions.values())


def _alike(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)
