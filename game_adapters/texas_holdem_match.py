"""A match of no-limit hold'em for two as one PettingZoo AEC environment.

Each hand is a fresh hand of PettingZoo's texas_holdem_no_limit_v6; this environment carries the stacks and the button
from hand to hand, keeps the betting in readable form, and ends when the hands are played or a player is broke. A
hand's cards depend on the seed and the hand's number alone, never on how earlier hands were played.

As in rlcard underneath, the player without the button posts the small blind and acts first in every round.
"""

import warnings
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import pettingzoo
from gymnasium import spaces
from pettingzoo import AECEnv
from pettingzoo.utils import wrappers

FOLD, CHECK_CALL, RAISE_HALF_POT, RAISE_POT, ALL_IN = range(5)
NUM_ACTIONS = 5
ROUNDS = ("preflop", "flop", "turn", "river")
SMALL_BLIND, BIG_BLIND = 1, 2
NUM_CARDS_SEEN = 52
Observation = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bet:
    """One entry of a hand's betting: who did what in which round, and the chips that it moved."""

    round: str
    player: str
    action: str
    chips: int


@dataclass(frozen=True, slots=True)
class HandResult:
    """How a hand ended: chips won (or lost), the board, and the hole cards if it came to a showdown."""

    number: int
    won: dict[str, int]
    board: tuple[str, ...]
    shown: dict[str, tuple[str, ...]] | None
    last_bet: Bet


def env(hands: int = 20, chips: int = 100) -> AECEnv:
    """The match with PettingZoo's usual guards: an illegal action ends it, with -1 for whoever took it."""
    guarded = wrappers.TerminateIllegalWrapper(TexasHoldemMatch(hands=hands, chips=chips), illegal_reward=-1)
    return wrappers.OrderEnforcingWrapper(wrappers.AssertOutOfBoundsWrapper(guarded))


class TexasHoldemMatch(AECEnv):  # type: ignore[misc]  # PettingZoo ships no types
    """`hands` hands between player_0 and player_1, who start with `chips` each. Rewards: chips won, at each hand's end.

    The observation is texas_holdem_no_limit_v6's: the 52 cards the agent sees (its own and the board's), the chips it
    has put in, and the most that anyone has; and the action mask.
    """

    metadata = {"name": "texas_holdem_match_v0", "render_modes": [], "is_parallelizable": False}

    def __init__(self, hands: int = 20, chips: int = 100) -> None:
        super().__init__()
        assert hands >= 1 and chips >= BIG_BLIND
        self.hands = hands
        self.chips = chips
        self.render_mode = None
        self.possible_agents = ["player_0", "player_1"]
        self.agent_selection = self.possible_agents[0]
        high = np.append(np.ones(NUM_CARDS_SEEN), [2 * chips, 2 * chips]).astype(np.float32)
        self.observation_spaces = {
            agent: spaces.Dict(
                {
                    "observation": spaces.Box(low=np.zeros_like(high), high=high, dtype=np.float32),
                    "action_mask": spaces.Box(low=0, high=1, shape=(NUM_ACTIONS,), dtype=np.int8),
                }
            )
            for agent in self.possible_agents
        }
        self.action_spaces = {agent: spaces.Discrete(NUM_ACTIONS) for agent in self.possible_agents}
        with warnings.catch_warnings():
            # PettingZoo declares the bounds of its own observation in float64; who plays cannot change that.
            warnings.filterwarnings("ignore", message=".*precision lowered by casting", category=UserWarning)
            hand = pettingzoo.make("aec", "classic/texas_holdem_no_limit-v6", num_players=2, render_mode=None)
        # Without its guards: they would end the match with the hand.
        self._hand_env = hand.unwrapped

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The same object each time."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """The same object each time."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Starts a new match; without a seed the deck goes on from where it was."""
        if seed is not None:
            self._hand_env.reset(seed=int(seed))
        self.agents = self.possible_agents[:]
        self.rewards = dict.fromkeys(self.agents, 0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self._skip_agent_selection = None
        self.stacks_before = dict.fromkeys(self.agents, self.chips)
        self.results: tuple[HandResult, ...] = ()
        self.hand_number = 0
        self._deal()

    def observe(self, agent: str) -> Observation:
        """What the hand shows the agent. Only the agent on turn has legal actions."""
        observation: Observation = self._hand_env.observe(agent)
        mask = observation["action_mask"]
        if agent != self.agent_selection or self._is_over():
            mask[:] = 0
        elif self.stack(agent) == 0:
            # rlcard offers "all in" to a player whom the blind took the last chip: it would be a check by another name.
            mask[ALL_IN] = 0
        return observation

    def step(self, action: int | None) -> None:
        """Plays an action of the agent on turn; the next hand is dealt at once when one ends."""
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        assert action is not None
        round_name, board, to_call, stack = self.round, self.board, self.to_call(agent), self.stack(agent)
        self._hand_env.step(int(action))
        bet = Bet(round_name, agent, _spoken(int(action), to_call), stack - self.stack(agent))
        self.betting += (bet,)
        self._cumulative_rewards[agent] = 0
        self.rewards = dict.fromkeys(self.agents, 0)
        if self._game.is_over():
            self._finish_hand(bet, board)
        else:
            self.agent_selection = self._hand_env.agent_selection
        self._accumulate_rewards()
        self._deads_step_first()

    def close(self) -> None:
        """Nothing to close: no window is ever opened."""

    # What the table shows.

    @property
    def round(self) -> str:
        """preflop, flop, turn or river, by the cards on the board."""
        return {0: "preflop", 3: "flop", 4: "turn", 5: "river"}[len(self._game.public_cards)]

    @property
    def board(self) -> tuple[str, ...]:
        """The cards on the board, as "Ah"."""
        return _cards(self._game.public_cards)

    @property
    def pot(self) -> int:
        """All chips put in during this hand."""
        return sum(int(player.in_chips) for player in self._game.players)

    def stack(self, agent: str) -> int:
        """The chips the player still has."""
        return int(self._player(agent).remained_chips)

    def put_in(self, agent: str) -> int:
        """The chips the player has put in during this hand."""
        return int(self._player(agent).in_chips)

    def to_call(self, agent: str) -> int:
        """The chips the player must add to stay in, at most the stack."""
        most = max(int(player.in_chips) for player in self._game.players)
        return min(most - self.put_in(agent), self.stack(agent))

    def chips_added(self, agent: str, action: int) -> int:
        """The chips that an action would put in."""
        pot = self.pot
        return {
            FOLD: 0,
            CHECK_CALL: self.to_call(agent),
            RAISE_HALF_POT: pot // 2,
            RAISE_POT: pot,
            ALL_IN: self.stack(agent),
        }[action]

    def hole_cards(self, agent: str) -> tuple[str, ...]:
        """The player's own two cards: private until a showdown."""
        return _cards(self._player(agent).hand)

    def other(self, agent: str) -> str:
        """The player on the other side of the table."""
        return self.possible_agents[1 - self.possible_agents.index(agent)]

    def deal_hidden_anew(self, agent: str, random: Random) -> None:
        """Exchange what the player cannot know, the other player's cards and the deck, for another possible deal."""
        other, deck = self._player(self.other(agent)), self._game.dealer.deck
        cards = [*other.hand, *deck]
        random.shuffle(cards)
        other.hand[:], deck[:] = cards[: len(other.hand)], cards[len(other.hand) :]

    @property
    def _game(self) -> Any:
        return self._hand_env.env.game

    def _player(self, agent: str) -> Any:
        return self._game.players[self.possible_agents.index(agent)]

    def _is_over(self) -> bool:
        return any(self.terminations.values())

    def _deal(self) -> None:
        self.hand_number += 1
        self.button = self.possible_agents[(self.hand_number - 1) % 2]
        self._game.init_chips = [self.stacks_before[agent] for agent in self.possible_agents]
        self._game.dealer_id = self.possible_agents.index(self.button)
        self._hand_env.reset(seed=None)
        small, big = self.other(self.button), self.button
        self.betting: tuple[Bet, ...] = (
            Bet("preflop", small, "posts the small blind", self.put_in(small)),
            Bet("preflop", big, "posts the big blind", self.put_in(big)),
        )
        self.agent_selection = self._hand_env.agent_selection

    def _finish_hand(self, last_bet: Bet, board_before: tuple[str, ...]) -> None:
        payoffs = self._game.get_payoffs()
        won = {agent: int(payoff) for agent, payoff in zip(self.possible_agents, payoffs, strict=True)}
        folded = last_bet.action == "folds"
        shown = None if folded else {agent: self.hole_cards(agent) for agent in self.possible_agents}
        # Even when somebody folds, rlcard deals the rest of the board, which at a table nobody would see.
        board = board_before if folded else self.board
        self.results += (HandResult(self.hand_number, won, board, shown, last_bet),)
        self.rewards = dict(won)
        self.stacks_before = {agent: self.stacks_before[agent] + won[agent] for agent in self.possible_agents}
        if self.hand_number == self.hands or min(self.stacks_before.values()) == 0:
            self.terminations = dict.fromkeys(self.agents, True)
        else:
            self._deal()


def _spoken(action: int, to_call: int) -> str:
    if action == CHECK_CALL:
        return "calls" if to_call else "checks"
    return {FOLD: "folds", RAISE_HALF_POT: "raises half the pot", RAISE_POT: "raises the pot", ALL_IN: "goes all in"}[
        action
    ]


def _cards(cards: Any) -> tuple[str, ...]:
    """Rlcard's "HA" as "Ah"."""
    return tuple(card.rank + card.suit.lower() for card in cards)
