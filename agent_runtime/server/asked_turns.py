"""The turns that one connection waits for: who asked, until when, and what may be asked at all."""

from collections.abc import Iterator
from dataclasses import dataclass

from agent_runtime.errors import BadActions, StaleTurn
from agent_runtime.server.client_messages import MessageId
from agent_runtime.server.config import Limits
from agent_runtime.turn import ActionOption, TurnRequest


@dataclass(slots=True)
class AskedTurn:
    """A turn under way. `askers`: the ids of its messages on this connection; all share the first one's deadline."""

    ticket: int
    match: str
    request: TurnRequest
    body_digest: str
    deadline: float | None
    comes_late: bool
    askers: list[MessageId | None]

    def is_overdue(self, now: float) -> bool:
        """True from the deadline on."""
        return self.deadline is not None and now >= self.deadline


class AskedTurns:
    """The turns under way on one connection, by session and turn_id, and by ticket."""

    def __init__(self) -> None:
        self._by_name: dict[tuple[str, int], AskedTurn] = {}
        self._by_ticket: dict[int, AskedTurn] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[AskedTurn]:
        return iter(list(self._by_name.values()))

    @property
    def next_deadline(self) -> float | None:
        """When the first turn times out; turns that come late do not."""
        return min((each.deadline for each in self if each.deadline is not None and not each.comes_late), default=None)

    def find(self, session: str, turn_id: int) -> AskedTurn | None:
        """The turn of that name, if it is under way."""
        return self._by_name.get((session, turn_id))

    def of_ticket(self, ticket: int) -> AskedTurn | None:
        """The turn of that ticket, if it is still waited for."""
        return self._by_ticket.get(ticket)

    def add(self, asked: AskedTurn) -> bool:
        """Wait for a turn; False when an equal one is under way already, whose result its asker will share.

        Raises StaleTurn when its turn_id stands for another body.
        """
        session, turn_id = asked.request.session, asked.request.turn_id
        known = self._by_name.get((session, turn_id))
        if known is None:
            self._by_name[session, turn_id] = asked
            self._by_ticket[asked.ticket] = asked
        elif known.body_digest == asked.body_digest:
            known.askers += asked.askers
        else:
            raise StaleTurn(session, turn_id, turn_id)
        return known is None

    def remove(self, asked: AskedTurn) -> None:
        """Wait for it no longer."""
        del self._by_name[asked.request.session, asked.request.turn_id]
        del self._by_ticket[asked.ticket]


def check_actions(actions: tuple[ActionOption, ...], limits: Limits) -> None:
    """Raise BadActions for a list that no model could decide among. (Equal token ids are the runtime's to see.)"""
    if not actions:
        raise BadActions("A turn needs at least one legal action, and the list is empty.")
    if len(actions) > limits.actions:
        raise BadActions(
            f"A turn lists at most {limits.actions} actions, and this one has {len(actions)}. "
            "Group them, or move a choice into an action's schema."
        )
    seen: dict[str, int] = {}
    for index, action in enumerate(actions):
        if not action.id.strip():
            raise BadActions(f"Action {index} is empty: its id is what the model writes.")
        if (num_chars := len(action.id) + len(action.text)) > limits.action_chars:
            raise BadActions(
                f"Action {index} ({action.id[:40]!r}) has {num_chars} characters of id and text, and the limit is "
                f"{limits.action_chars}. Move the explanation into the observation or a block."
            )
        if (first := seen.setdefault(action.id, index)) != index:
            raise BadActions(f"Actions {first} and {index} are both {action.id[:40]!r}: give every action its own id.")
