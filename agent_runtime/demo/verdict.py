"""Where prefix reuse suffices and where it does not, from what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent_runtime.replay.report import ReplayReport

# A mode that everyone has is good enough while it takes at most this much of star's time.
SUFFICES_UP_TO = 1.5


@dataclass(frozen=True, slots=True)
class PrefixFinding:
    """One game. `again`: the unchanged tokens a turn that `prefix` computed again, since they stand behind a change;
    `over_star` and `full_over_star`: the times of `prefix` and `full` over star's, on the same turns; `differs`:
    whether the first was told apart from 1; `same_best`: the share of turns in which star's likeliest action was
    full's.
    """

    game: str
    again: float
    over_star: float
    full_over_star: float
    same_best: float
    differs: bool = True

    @property
    def suffices(self) -> bool | None:
        """Return whether `prefix` is about as fast as `star`; None if it looks slower and was not told apart."""
        if self.over_star <= SUFFICES_UP_TO:
            return True
        return False if self.differs else None


_OPENINGS = {True: "suffices", False: "does not suffice", None: "is not told apart from star"}


def find(report: ReplayReport) -> PrefixFinding | None:
    """Return the finding of a replay, None if a mode or its figures are missing."""
    star, prefix = report.mode("star"), report.mode("prefix")
    if star is None or prefix is None or not star.ratios.keys() >= {"prefix", "full"}:
        return None
    if star.tokens_computed is None or prefix.tokens_computed is None or star.same_best is None:
        return None
    return PrefixFinding(
        game=report.game or "the game",
        again=prefix.tokens_computed - star.tokens_computed,
        over_star=1 / star.ratios["prefix"].value,
        full_over_star=1 / star.ratios["full"].value,
        same_best=star.same_best,
        differs=not star.ratios["prefix"].holds_one,
    )


def verdict(findings: Sequence[PrefixFinding]) -> str:
    """Return where prefix reuse suffices, and where not."""
    told = []
    for suffices, opening in _OPENINGS.items():
        games = [finding for finding in findings if finding.suffices is suffices]
        if games:
            told.append(f"Prefix reuse {opening} in {' and in '.join(map(_measured, games))}.")
    return " ".join(told)


def _measured(finding: PrefixFinding) -> str:
    again = f"{finding.again:,.0f} unchanged tokens a turn stand" if finding.again >= 1 else "nothing unchanged stands"
    return (
        f"{finding.game}: there {again} behind a change, to be computed again, and it takes {finding.over_star:.1f} x "
        f"star's time (full attention {finding.full_over_star:.1f} x)"
    )


def caveat(findings: Sequence[PrefixFinding], model: str) -> str:
    """Return what star's speed costs on weights that were not tuned for it."""
    games = " and ".join(f"{100 * finding.same_best:.0f} % of {finding.game}'s" for finding in findings)
    return f"What it costs: {model} is not block-tuned, and star's likeliest action was full's in {games} turns."
