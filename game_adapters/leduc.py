"""Leduc hold'em (PettingZoo's leduc_holdem_v4) in words: one hand with six cards; the betting is in `leduc_table`."""

from random import Random

from game_adapters.environments import Environment
from game_adapters.errors import WrongEnvironment
from game_adapters.game_state import Json


class Leduc:
    """Contract of `leduc`. A state holds the card of the agent it was made for and of nobody else."""

    plays_for_reward = True

    def make_env(self, seed: int) -> Environment:
        """A hand for two, dealt."""
        import pettingzoo

        from game_adapters.leduc_table import LeducTable

        env = LeducTable(pettingzoo.make("aec", "classic/leduc_holdem-v4", render_mode=None))
        env.reset(seed=seed)
        return env

    def describe(self, env: Environment, agent: str) -> Json:
        """The table as `agent` sees it: its own card under /hands, nobody else's."""
        return _state(env, (agent,))

    def describe_match(self, env: Environment) -> Json:
        """The table with both players' cards under /hands."""
        return _state(env, tuple(env.possible_agents))

    def sight(self, agent: str) -> tuple[str, ...]:
        """Everything but the other player's card."""
        return ("!/hands", f"/hands/{agent}")

    def action_names(self, env: Environment, agent: str) -> list[str]:
        """call, raise, fold, check."""
        return ["call", "raise", "fold", "check"]

    def observation(self, env: Environment, agent: str) -> str:
        """Who the agent is and what the decision is about."""
        from game_adapters import leduc_table as table

        price = table.to_call(env, agent)
        asked = f"you must add {_chips(price)} to call" if price else "there is nothing to call"
        pot = sum(table.chips_in(env, player) for player in env.possible_agents)
        return f"You are {agent}. In the {table.round_of(env)} round the pot is {_chips(pot)} and {asked}."

    def action_texts(self, env: Environment, agent: str) -> list[str]:
        """The chips that each action puts in."""
        from game_adapters import leduc_table as table

        return [
            f"add {_chips(table.to_call(env, agent))} and stay in",
            f"add {_chips(table.raise_adds(env, agent))}",
            "give up the hand",
            "add nothing and stay in",
        ]

    def vary_hidden(self, env: Environment, agent: str, random: Random) -> bool:
        """Deal the other player's card, and the deck, anew."""
        from game_adapters import leduc_table as table

        table.deal_hidden_anew(env, agent, random)
        return True


def _state(env: Environment, eyes: tuple[str, ...]) -> Json:
    if not hasattr(env, "leduc_bets"):
        raise WrongEnvironment("leduc", str(env.unwrapped))
    from game_adapters import leduc_table as table

    betting: dict[str, list[str]] = {}
    for bet in env.leduc_bets:
        chips = f", {bet.chips}" if bet.chips else ""
        betting.setdefault(bet.round, []).append(f"{bet.player} {bet.action}{chips}")
    players = env.possible_agents
    return {
        "hands": {agent: table.card_of(env, agent) for agent in eyes},
        "board": table.board_card(env) or "no card yet",
        "betting": betting,
        "table": {
            "to_act": env.agent_selection if env.agents else None,
            "put_in": {player: table.chips_in(env, player) for player in players},
        },
    }


def _chips(number: int) -> str:
    return "1 chip" if number == 1 else f"{number} chips"
