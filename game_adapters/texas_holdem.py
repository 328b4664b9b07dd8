"""No-limit hold'em for two in words; the match itself is in `texas_holdem_match`."""

from random import Random
from typing import TYPE_CHECKING

from game_adapters.environments import Environment
from game_adapters.errors import BadOption, WrongEnvironment
from game_adapters.game_state import Json

if TYPE_CHECKING:
    from game_adapters.texas_holdem_match import Bet, HandResult, TexasHoldemMatch

PAST_HANDS = 5
LEAST_CHIPS = 2


class TexasHoldem:
    """Contract of `texas_holdem`. A state holds the hole cards of the agent it was made for and of nobody else."""

    plays_for_reward = True

    def make_env(self, seed: int, *, hands: int = 20, chips: int = 100) -> Environment:
        """A match of `hands` hands, `chips` chips a player, blinds 1 and 2, reset."""
        if hands < 1:
            raise BadOption("texas_holdem", "hands", f"{hands} hands cannot be played; at least 1.")
        if chips < LEAST_CHIPS:
            raise BadOption("texas_holdem", "chips", f"{chips} chips do not pay the big blind; at least {LEAST_CHIPS}.")
        from game_adapters import texas_holdem_match

        env = texas_holdem_match.env(hands=hands, chips=chips)
        env.reset(seed=seed)
        return env

    def describe(self, env: Environment, agent: str) -> Json:
        """The table as `agent` sees it: its own cards under /hands, nobody else's."""
        return _state(_match(env), (agent,))

    def describe_match(self, env: Environment) -> Json:
        """The table with both players' cards under /hands."""
        return _state(_match(env), tuple(env.possible_agents))

    def sight(self, agent: str) -> tuple[str, ...]:
        """Everything but the other player's cards."""
        return ("!/hands", f"/hands/{agent}")

    def action_names(self, env: Environment, agent: str) -> list[str]:
        """fold, check or call (whichever it is now), raise_half_pot, raise_pot, all_in."""
        passive = "call" if _match(env).to_call(agent) else "check"
        return ["fold", passive, "raise_half_pot", "raise_pot", "all_in"]

    def observation(self, env: Environment, agent: str) -> str:
        """Who the agent is and what the decision is about."""
        match = _match(env)
        to_call = match.to_call(agent)
        price = f"you must add {to_call} to call" if to_call else "there is nothing to call"
        board = f"on the {match.round}" if match.board else "before the flop"
        return f"You are {agent}. Hand {match.hand_number}, {board}: the pot is {_chips(match.pot)} and {price}."

    def action_texts(self, env: Environment, agent: str) -> list[str]:
        """The chips that each action puts in."""
        match = _match(env)
        added = [match.chips_added(agent, action) for action in range(5)]
        passive = f"add {_chips(added[1])} and stay in" if added[1] else "add nothing and stay in"
        return [
            "give up the hand",
            passive,
            f"add {_chips(added[2])}",
            f"add {_chips(added[3])}",
            f"add all {added[4]}",
        ]

    def vary_hidden(self, env: Environment, agent: str, random: Random) -> bool:
        """Deal the other player's cards, and the deck, anew."""
        _match(env).deal_hidden_anew(agent, random)
        return True


def _match(env: Environment) -> "TexasHoldemMatch":
    match = env.unwrapped
    if not hasattr(match, "hand_number"):  # isinstance would need the game's libraries
        raise WrongEnvironment("texas_holdem", str(match))
    return match  # type: ignore[no-any-return]


def _state(match: "TexasHoldemMatch", eyes: tuple[str, ...]) -> Json:
    players = match.possible_agents
    betting: dict[str, list[str]] = {}
    for bet in match.betting:
        betting.setdefault(bet.round, []).append(_bet_text(bet))
    state = {
        "match": {"chips_each": match.chips, "hands": match.hands, "players": ", ".join(players)},
        "hand": {
            "number": match.hand_number,
            "button": match.button,
            "small_blind": match.other(match.button),
            "big_blind": match.button,
            "stacks_before": dict(match.stacks_before),
        },
        "hands": {agent: " ".join(match.hole_cards(agent)) for agent in eyes},
        "board": " ".join(match.board) or "no cards yet",
        "betting": betting,
        "table": {
            "to_act": match.agent_selection,
            "round": match.round,
            "pot": match.pot,
            "to_call": match.to_call(match.agent_selection),
            "put_in": {player: match.put_in(player) for player in players},
            "stacks": {player: match.stack(player) for player in players},
        },
    }
    if match.results:
        state["past"] = {f"hand_{result.number:02}": _result(result) for result in match.results[-PAST_HANDS:]}
    return state


def _chips(number: int) -> str:
    return "1 chip" if number == 1 else f"{number} chips"


def _bet_text(bet: "Bet") -> str:
    return f"{bet.player} {bet.action}, {bet.chips}" if bet.chips else f"{bet.player} {bet.action}"


def _result(result: "HandResult") -> Json:
    winners = [player for player, chips in result.won.items() if chips > 0]
    outcome = f"{winners[0]} wins {result.won[winners[0]]}" if winners else "the pot is split"
    board = " ".join(result.board) or "none"
    if result.shown is None:
        return {
            "result": outcome,
            "how": f"{result.last_bet.player} folds {_when(result.last_bet.round)}",
            "board": board,
        }
    shown = {player: " ".join(cards) for player, cards in result.shown.items()}
    return {"result": outcome, "how": "showdown", "board": board, "shown": shown}


def _when(round_name: str) -> str:
    return "before the flop" if round_name == "preflop" else f"on the {round_name}"
