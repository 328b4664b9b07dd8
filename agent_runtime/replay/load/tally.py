"""What the players of one mode saw: a sample a turn, and counts of everything else."""

from dataclasses import dataclass, field, replace

from agent_runtime.replay.load.script import AskedTurn
from agent_runtime.replay.samples import Samples, TurnSample, accounted, is_cold
from agent_runtime.server import server_messages as s2c
from agent_runtime.turn import Account, Outcome

# How long a turn took says something only if somebody worked on it: a turn that was turned away was fast for nothing.
_TIMED = (Outcome.OK, Outcome.TRUNCATED, Outcome.TIMEOUT)
DECIDED = (Outcome.OK, Outcome.TRUNCATED)


@dataclass(frozen=True, slots=True)
class AnsweredTurn:
    """A turn that was answered: its sample, and the server's result unless it was refused."""

    sample: TurnSample
    result: s2c.TurnResult | None


@dataclass(slots=True)
class Sums:
    """The server's own account of the turns that have one, in milliseconds, added up."""

    turns: int = 0
    client_ms: float = 0.0
    ttft_ms: float = 0.0
    queue_ms: float = 0.0
    engine_ms: float = 0.0
    overhead_ms: float = 0.0
    queue_ms_max: float = 0.0

    def add(self, client_ms: float, account: Account) -> None:
        """Take up a turn that took `client_ms` from the sending of its frame to the answer."""
        self.turns += 1
        self.client_ms += client_ms
        self.ttft_ms += account.ttft_ms
        self.queue_ms += account.queue_ms
        self.engine_ms += account.engine_ms
        self.overhead_ms += account.overhead_ms
        self.queue_ms_max = max(self.queue_ms_max, account.queue_ms)


@dataclass(slots=True)
class Tally:
    """One mode's books. `refused` counts the messages that the server answered with an error, `not_applied` what was
    recorded to have been done with turns that brought no decision now.

    `under_way` are turns that were asked and not answered yet; times are of `time.perf_counter()`.
    """

    samples: Samples = field(default_factory=Samples)
    sums: Sums = field(default_factory=Sums)
    refused: int = 0
    first_refusal: str | None = None
    not_applied: int = 0
    asked: int = 0
    answered: int = 0
    under_way: int = 0
    under_way_max: int = 0
    num_other_length: int = 0
    began: float | None = None
    ended: float | None = None

    @property
    def unanswered(self) -> int:
        """Return how many turns were asked and never answered."""
        return self.asked - self.answered

    @property
    def turns_per_s(self) -> float | None:
        """Return the answered turns a second, from the first question to the last answer."""
        if self.began is None or self.ended is None or self.ended <= self.began:
            return None
        return self.answered / (self.ended - self.began)

    def refuse(self, sentence: str) -> None:
        """The server answered a message with an error."""
        self.refused += 1
        self.first_refusal = self.first_refusal or sentence

    def ask(self, now: float) -> None:
        """A turn goes out."""
        self.began = now if self.began is None else self.began
        self.asked += 1
        self.under_way += 1
        self.under_way_max = max(self.under_way_max, self.under_way)

    def answer(self, now: float) -> None:
        """A turn was answered."""
        self.ended = now
        self.answered += 1
        self.under_way -= 1


@dataclass(frozen=True, slots=True)
class Measured:
    """When a turn's first piece and its answer came, counted from the time at which it was due, or in the closed loop
    from the sending of its frame. `due_ms` counts from the beginning of the run, `late_ms` is how much later the
    last byte was sent, and `replayer_ms` what sending, hearing the answer and making a sample of it took, each as long
    as it lasted: in the open loop the last waits for spare time, and keeps no other turn waiting.
    """

    first_ms: float
    answer_ms: float
    due_ms: float | None
    late_ms: float | None
    replayer_ms: float


def sample_turn(
    session: str, turn: AskedTurn, result: s2c.TurnResult | None, at: Measured, deadline_ms: float | None, copy: int
) -> TurnSample:
    """Make a sample of a turn that was answered; one that was refused has no `result` and counts as an error.

    A turn that timed out has the time until it was told so: leaving it out would leave out the slow ones.
    """
    outcome = Outcome.ERROR if result is None else result.outcome
    account = None if result is None else result.account
    ttft_ms = at.first_ms if outcome in _TIMED else None
    sample = TurnSample(
        session=session,
        turn_id=turn.turn_id,
        outcome=outcome,
        ttft_ms=ttft_ms,
        as_recorded=None if result is None or turn.action is None else result.action == turn.action,
        cold=account is not None and is_cold(account, turn.is_first),
        due_ms=at.due_ms,
        late_ms=at.late_ms,
        deadline_met=None if deadline_ms is None else outcome in DECIDED and at.answer_ms <= deadline_ms,
        copy=copy,
        legal_mass=None if result is None else result.legal_mass,
        replayer_ms=at.replayer_ms,
    )
    return sample if account is None else replace(accounted(sample, account), ttft_ms=ttft_ms)
