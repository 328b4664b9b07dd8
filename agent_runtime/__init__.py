"""Hotseat's agent runtime: a turn comes in, the missing blocks and the observation are computed, an action goes out.

    from agent_runtime import Seat

is the way in for PettingZoo environments, in this process. It is imported when it is named: it brings torch.
`AdapterChoice` says which adapter its model gets, where that is no folder.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agent_runtime.adapter_choice import AdapterChoice

if TYPE_CHECKING:
    from agent_runtime.seat import Seat

__all__ = ["AdapterChoice", "Seat"]


def __getattr__(name: str) -> Any:
    if name == "Seat":
        return import_module("agent_runtime.seat").Seat
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
