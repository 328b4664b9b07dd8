"""What a client is told about an exception that came out of the runtime."""

import logging

from agent_runtime.errors import HotseatError
from agent_runtime.server.errors import BadGame, ServerFault
from prompts import PromptsError

log = logging.getLogger(__name__)


def as_answer(error: Exception) -> HotseatError:
    """The error itself if it was made for clients; of anything else they hear the kind, and the log has the rest."""
    if isinstance(error, HotseatError):
        return error
    if isinstance(error, PromptsError):
        return BadGame(str(error))
    log.error("the runtime failed", exc_info=error)
    return ServerFault(type(error).__name__)
