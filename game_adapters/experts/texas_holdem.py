"""Hold'em by the strength of one's hand over drawn deals, the price of a call, and what the other's raises tell."""

from random import Random

from game_adapters.adapter import legal_indices
from game_adapters.environments import Environment
from game_adapters.errors import WrongEnvironment
from game_adapters.experts.poker_hands import equity
from game_adapters.texas_holdem_match import ALL_IN, CHECK_CALL, FOLD, RAISE_HALF_POT, RAISE_POT

DRAWS = 150
# What each raise of the other in this hand takes off one's chances: who raises holds more than any two cards.
_RAISE_TELLS = 0.06
_MOST_TOLD = 0.15
_MARGIN = 0.02
_RAISES = ("raises half the pot", "raises the pot", "goes all in")


class TexasHoldemExpert:
    """Raises what is strong, calls what is worth the price, folds the rest. It sees its own cards and the board."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._known: dict[tuple[tuple[str, ...], tuple[str, ...]], float] = {}

    def choose(self, env: Environment, agent: str) -> int:
        """The best of the legal actions."""
        match = env.unwrapped
        if not hasattr(match, "hand_number"):
            raise WrongEnvironment("texas_holdem", str(match))
        legal = legal_indices("texas_holdem", agent, 5, env.observe(agent), {})
        chance = self._chance(tuple(match.hole_cards(agent)), tuple(match.board))
        raises = sum(bet.player != agent and bet.action in _RAISES for bet in match.betting)
        to_call = match.to_call(agent)
        if to_call:
            chance -= min(_MOST_TOLD, _RAISE_TELLS * raises)
        price = to_call / (match.pot + to_call)
        for action in self._wishes(chance, to_call, match.pot, match.stack(agent)):
            if action in legal:
                return action
        return CHECK_CALL if CHECK_CALL in legal and (not to_call or chance >= price + _MARGIN) else FOLD

    def _wishes(self, chance: float, to_call: int, pot: int, stack: int) -> tuple[int, ...]:
        """What to try before a call, the best first."""
        if chance > 0.8:
            return (ALL_IN,) if stack <= 1.5 * pot or (chance > 0.92 and to_call) else (RAISE_POT, RAISE_HALF_POT)
        if chance > 0.65:
            return (RAISE_HALF_POT,) if to_call <= pot / 3 else ()
        if chance > 0.57 and not to_call:
            return (RAISE_HALF_POT,)
        return ()

    def _chance(self, hole: tuple[str, ...], board: tuple[str, ...]) -> float:
        """One's share of the pot against any two cards; the same for the same cards, whenever it is asked."""
        cards = (tuple(sorted(hole)), tuple(sorted(board)))
        if cards not in self._known:
            if len(self._known) > 100_000:
                self._known.clear()
            self._known[cards] = equity(*cards, Random(f"hold'em/{self._seed}/{cards}"), DRAWS)
        return self._known[cards]
