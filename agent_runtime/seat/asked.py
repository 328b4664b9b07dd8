"""What a seat is asked about, and how it looks when it is something else."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from agent_runtime.seat.errors import NotPairs
from game_adapters.environments import Environment

Asked = (
    tuple[Environment, str | None]
    | tuple[Environment, str | None, object]
    | tuple[Environment, str | None, object, Mapping[str, Any] | None]
)
"""An environment and an agent (None: the one on turn). For a parallel environment with an action mask, the agent's
observation too, and its info, as `reset` or `step` returned them."""


def checked(asked: object) -> list[Asked]:
    """Return what was asked about as a list. Raises NotPairs, as a bare environment is soon handed in."""
    if not isinstance(asked, Iterable):
        raise NotPairs(type(asked).__name__)
    found = list(asked)
    for place, each in enumerate(found):
        if not isinstance(each, (tuple, list)):
            raise NotPairs(type(each).__name__, place)
        if not 2 <= len(each) <= 4:
            raise NotPairs(f"{type(each).__name__} of length {len(each)}", place)
    return cast(list[Asked], found)
