"""Hold'em by the strength of one's hand over drawn deals, the price of a call, and what the other's raises tell.

From which strength on it raises, and by how much, stands in a table, a line a round of betting. The figures were found
by play: hill climbing over 6,000 deals (either hand, from both sides of the table, 100 chips) against chance, every
constant answer, itself with mistakes, and players who were made to beat it.
"""

import hashlib
from dataclasses import dataclass

from game_adapters.adapter import legal_indices
from game_adapters.environments import Environment
from game_adapters.errors import WrongEnvironment
from game_adapters.experts.poker_hands import RANKS, SUITS, equity
from game_adapters.texas_holdem_match import ALL_IN, CHECK_CALL, FOLD, RAISE_HALF_POT, RAISE_POT

# Deals that are drawn: before the flop, where there are 169 different hands in all, and later.
DRAWS_BEFORE_FLOP, DRAWS = 20_000, 4_000
# What each raise of the other in this hand takes off one's strength: who raises holds more than any two cards.
_RAISE_TELLS = {"raises half the pot": 0.0, "raises the pot": 0.01, "goes all in": 0.1}
_MOST_TOLD = 0.14
_MOST_KNOWN = 100_000
Cards = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """The strength from which on one does something in a round: with nothing to call, and with something.

    One calls from the price on, more or less `above_price`; the price is the share of the final pot that a call costs.
    """

    all_in: float
    pot: float
    half_pot: float
    all_in_again: float
    pot_again: float
    above_price: float


LINES = {
    "preflop": Lines(0.72, 0.66, 0.53, 0.85, 0.48, -0.09),
    "flop": Lines(0.88, 0.43, 0.43, 0.90, 0.54, -0.02),
    "turn": Lines(0.84, 0.60, 0.50, 0.89, 0.79, -0.01),
    "river": Lines(0.60, 0.60, 0.51, 0.81, 0.51, 0.18),
}


class TexasHoldemExpert:
    """Raises what is strong, calls what is worth the price, folds the rest. It sees its own cards and the board."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._known: dict[tuple[Cards, Cards], float] = {}

    def choose(self, env: Environment, agent: str) -> int:
        """The best of the legal actions."""
        match = env.unwrapped
        if not hasattr(match, "hand_number"):
            raise WrongEnvironment("texas_holdem", str(match))
        legal = legal_indices("texas_holdem", agent, 5, env.observe(agent), {})
        told = sum(_RAISE_TELLS.get(bet.action, 0.0) for bet in match.betting if bet.player != agent)
        strength = self.strength(tuple(match.hole_cards(agent)), tuple(match.board)) - min(_MOST_TOLD, told)
        to_call = match.to_call(agent)
        # What the other has put in beyond one's own last chip is no part of the pot.
        beyond = max(0, match.put_in(match.other(agent)) - match.put_in(agent) - to_call)
        price = to_call / (match.pot - beyond + to_call)
        wish = _wish(LINES[match.round], strength, price)
        if wish == RAISE_HALF_POT and wish not in legal:
            wish = RAISE_POT
        if wish == RAISE_POT and wish not in legal:
            wish = ALL_IN
        return wish if wish in legal else CHECK_CALL

    def strength(self, hole: Cards, board: Cards) -> float:
        """One's share of the pot against any two cards; the same for the same cards, whenever it is asked."""
        cards = (tuple(sorted(hole)) if board else _same_suits(hole), tuple(sorted(board)))
        if cards not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            seed = hashlib.blake2b(f"hold'em/{self._seed}/{cards}".encode(), digest_size=8).digest()
            draws = DRAWS if board else DRAWS_BEFORE_FLOP
            self._known[cards] = equity(*cards, int.from_bytes(seed), draws)
        return self._known[cards]


def _wish(lines: Lines, strength: float, price: float) -> int:
    """What to do, were it legal."""
    if price:
        if strength > lines.all_in_again:
            return ALL_IN
        if strength > lines.pot_again:
            return RAISE_POT
        return CHECK_CALL if strength > price + lines.above_price else FOLD
    if strength > lines.all_in:
        return ALL_IN
    if strength > lines.pot:
        return RAISE_POT
    return RAISE_HALF_POT if strength > lines.half_pot else CHECK_CALL


def _same_suits(hole: Cards) -> Cards:
    """Two cards that are worth the same before the flop, and the same two for all of that worth."""
    low, high = sorted((card[0] for card in hole), key=RANKS.index)
    return low + SUITS[0], high + SUITS[hole[0][1] != hole[1][1]]
