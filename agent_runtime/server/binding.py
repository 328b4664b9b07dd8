"""The server's address, taken before anything slow: bound at once, and listening only when the server can answer."""

import errno
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from agent_runtime.server.config import ServerConfig
from agent_runtime.server.errors import CannotBind, PortInUse, StartError

# Windows frees a port at once, and there this option would let two servers have the same one.
_IS_REUSE_SAFE = os.name == "posix"
# `localhost` may stand for an IPv6 address on a machine without IPv6.
_NOT_OF_THIS_MACHINE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@contextmanager
def bound(config: ServerConfig) -> Iterator[tuple[socket.socket, ...]]:
    """Sockets that hold every address of `config.host` and refuse clients until they listen; closed at the end.

    Raises PortInUse or CannotBind.
    """
    with ExitStack() as held:
        try:
            sockets = tuple(held.enter_context(each) for each in _bind_all(config.host, config.port))
        except OSError as error:
            raise refusal(error, config) from error
        yield sockets


def allow_restart(sockets: Iterable[socket.socket]) -> None:
    """To be called right before listening: a server's old connections do not keep its port from the next one.

    Connections inherit it from the socket that listens. Set any earlier, two servers that are both still loading could
    hold the same port.
    """
    if _IS_REUSE_SAFE:
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def refusal(error: OSError, config: ServerConfig) -> StartError:
    """What the operating system's refusal of the address means."""
    if error.errno == errno.EADDRINUSE:
        return PortInUse(config.host, config.port)
    return CannotBind(config.host, config.port, error.strerror or str(error))


def _bind_all(host: str, port: int) -> Iterator[socket.socket]:
    """Of a name's addresses, those that this machine has, all with one port. Raises OSError."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    absent: OSError | None = None
    is_any_bound = False
    for family, _, _, _, (address, _, *rest) in dict.fromkeys(found):
        try:
            each = _bind(family, (address, port, *rest))
        except OSError as error:
            if error.errno not in _NOT_OF_THIS_MACHINE:
                raise
            absent = error
            continue
        port, is_any_bound = each.getsockname()[1], True
        yield each
    if absent is not None and not is_any_bound:
        raise absent


def _bind(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    # By its protocol's name asyncio knows that small messages are to be sent at once. Else the answer to a turn waits
    # behind that to its frame until the client has said that it got the latter: 40 ms.
    bound_to_be = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if family == socket.AF_INET6:  # which otherwise takes the port of IPv4 as well
            bound_to_be.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            bound_to_be.bind(address)
        except OSError:
            if not _IS_REUSE_SAFE:
                raise
            # Only connections of a server that has ended may hold the port; one that listens still refuses, and so
            # does one that is loading, as this one will.
            bound_to_be.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound_to_be.bind(address)
            bound_to_be.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except BaseException:
        bound_to_be.close()
        raise
    return bound_to_be
