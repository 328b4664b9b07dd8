"""Which game has which expert."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from game_adapters.environments import Environment
from game_adapters.errors import GamesExtraMissing, NoExpert
from game_adapters.registry import missing_extra

EXPERTS: Mapping[str, str] = MappingProxyType(
    {
        "texas_holdem": "game_adapters.experts.texas_holdem:TexasHoldemExpert",
        "connect_four": "game_adapters.experts.connect_four:ConnectFourExpert",
        "camp": "game_adapters.experts.camp:CampExpert",
        "leduc": "game_adapters.experts.leduc:LeducExpert",
        "tic_tac_toe": "game_adapters.experts.tic_tac_toe:TicTacToeExpert",
        "textworld": "game_adapters.experts.textworld:TextWorldExpert",
        "babyai": "game_adapters.experts.babyai:BabyAIExpert",
        "open_spiel": "game_adapters.experts.open_spiel:OpenSpielExpert",
    }
)


# Values that differ by less are the same numbers, added up in another order.
_ROUNDING = 1e-9


class Expert(Protocol):
    """A policy that plays a game well."""

    def choose(self, env: Environment, agent: str) -> int:
        """The number of the action that the agent on turn should take; changes nothing. Raises ExpertLost."""
        ...


@runtime_checkable
class Valuer(Protocol):
    """An expert that also says how good each action is."""

    def values(self, env: Environment, agent: str) -> Mapping[int, float]:
        """By the numbers of the legal actions; all that have the highest value are equally right."""
        ...


@runtime_checkable
class Mixer(Protocol):
    """An expert that draws its actions, and says with which shares."""

    def shares(self, env: Environment, agent: str) -> Mapping[int, float]:
        """By the numbers of actions, how often it takes each; together 1."""
        ...


def load_expert(game: str, seed: int = 0) -> Expert:
    """The expert of one of our games. Raises NoExpert, GamesExtraMissing."""
    if game not in EXPERTS:
        raise NoExpert(game, tuple(EXPERTS))
    module, _, name = EXPERTS[game].partition(":")
    try:
        made: Any = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if (lacking := missing_extra(error)) is None:
            raise
        raise GamesExtraMissing(game, *lacking) from error
    expert: Expert = made(seed)
    return expert


def best_actions(expert: Expert, env: Environment, agent: str) -> frozenset[int]:
    """The actions that an expert values most, all equally right; none where it does not say how good actions are."""
    if not isinstance(expert, Valuer):
        return frozenset()
    values = expert.values(env, agent)
    least = max(values.values()) - _ROUNDING
    return frozenset(number for number, value in values.items() if value >= least)
