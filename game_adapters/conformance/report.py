"""What a check of a game found."""

from dataclasses import dataclass
from typing import Literal

from game_adapters.errors import GameNonconforming

Outcome = Literal["ok", "failed", "not checked", "advice"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was seen (ok), why it was not checked, or what is wrong, where, and what to do (failed).

    `advice` is what could be better and keeps nobody from playing.
    """

    check: str
    outcome: Outcome
    what: str


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of a game, in their order, and how much was played for them."""

    game: str
    num_games: int
    num_turns: int
    findings: tuple[Finding, ...]

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The checks that failed."""
        return tuple(finding for finding in self.findings if finding.outcome == "failed")

    @property
    def passed(self) -> bool:
        """Whether no check failed; those that were not checked do not count."""
        return not self.failures

    def raise_if_failed(self) -> None:
        """Raise GameNonconforming with a sentence for each failure."""
        if self.failures:
            raise GameNonconforming(self.game, tuple(f"{each.check}: {each.what}" for each in self.failures))

    def __str__(self) -> str:
        lines = [f"{self.game}: {self.num_turns} turns of {self.num_games} games"]
        lines += [f"  {each.outcome:<11}  {each.check:<8}  {each.what}" for each in self.findings]
        return "\n".join(lines)
