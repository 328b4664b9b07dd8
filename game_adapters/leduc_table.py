"""A hand of Leduc hold'em as a table sees it: PettingZoo's leduc_holdem_v4 with its betting kept in readable form."""

from dataclasses import dataclass
from random import Random
from typing import Any

from pettingzoo.utils.wrappers import BaseWrapper

CALL, RAISE, FOLD, CHECK = range(4)
ROUNDS = ("first", "second")
_SPOKEN = {CALL: "calls", RAISE: "raises", FOLD: "folds", CHECK: "checks"}


@dataclass(frozen=True, slots=True)
class Bet:
    """One entry of the betting: who did what in which round, and the chips that it moved."""

    round: str
    player: str
    action: str
    chips: int


class LeducTable(BaseWrapper):  # type: ignore[misc]  # PettingZoo ships no types
    """`leduc_bets` is the betting so far, the blinds included."""

    leduc_bets: tuple[Bet, ...] = ()

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Deal a hand; the blinds are put in."""
        super().reset(seed=seed, options=options)
        small = self.env.agent_selection
        big = next(agent for agent in self.env.possible_agents if agent != small)
        self.leduc_bets = (
            Bet(ROUNDS[0], small, "posts the small blind", chips_in(self, small)),
            Bet(ROUNDS[0], big, "posts the big blind", chips_in(self, big)),
        )

    def step(self, action: Any) -> None:
        """Note what is done, and do it."""
        agent, is_alive = self.env.agent_selection, action is not None
        before, round_name = chips_in(self, agent), round_of(self)
        super().step(action)
        if is_alive:
            bet = Bet(round_name, agent, _SPOKEN[int(action)], chips_in(self, agent) - before)
            self.leduc_bets = (*self.leduc_bets, bet)


def game_of(env: Any) -> Any:
    """The hand itself, rlcard's."""
    return env.unwrapped.env.game


def chips_in(env: Any, agent: str) -> int:
    """The chips that a player has put in."""
    return int(_player(env, agent).in_chips)


def card_of(env: Any, agent: str) -> str:
    """A player's own card: private until a showdown."""
    return _card(_player(env, agent).hand)


def board_card(env: Any) -> str | None:
    """The card on the board, None in the first round."""
    card = game_of(env).public_card
    return None if card is None else _card(card)


def round_of(env: Any) -> str:
    """The round of betting, by the card on the board."""
    return ROUNDS[0] if game_of(env).public_card is None else ROUNDS[1]


def raise_adds(env: Any, agent: str) -> int:
    """The chips that a raise would put in."""
    return to_call(env, agent) + int(game_of(env).round.raise_amount)


def to_call(env: Any, agent: str) -> int:
    """The chips that the player must add to stay in."""
    raised = game_of(env).round.raised
    return int(max(raised) - raised[env.possible_agents.index(agent)])


def deal_hidden_anew(env: Any, agent: str, random: Random) -> None:
    """Exchange what the player cannot know, the other's card and the deck, for another possible deal."""
    game = game_of(env)
    other = next(player for name, player in zip(env.possible_agents, game.players, strict=True) if name != agent)
    cards = [other.hand, *game.dealer.deck]
    random.shuffle(cards)
    other.hand, game.dealer.deck[:] = cards[0], cards[1:]


def _player(env: Any, agent: str) -> Any:
    return game_of(env).players[env.possible_agents.index(agent)]


def _card(card: Any) -> str:
    """Rlcard's "HA" as "Ah"."""
    return str(card.rank + card.suit.lower())
