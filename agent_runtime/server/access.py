"""Who may connect: loopback addresses, tokens, and the origins of web pages."""

import hmac
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

from agent_runtime.server.config import ServerConfig
from agent_runtime.server.errors import BadToken, TokenRequired

MIN_TOKEN_CHARS = 8


def is_loopback(host: str) -> bool:
    """True for an address that only this machine can reach."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_start(config: ServerConfig) -> None:
    """Raise TokenRequired for a server that strangers could reach and use, BadToken for one that guards nothing."""
    if config.token is None:
        if not is_loopback(config.host):
            raise TokenRequired(config.host)
    elif len(config.token) < MIN_TOKEN_CHARS or not config.token.isascii() or not config.token.isprintable():
        raise BadToken(MIN_TOKEN_CHARS)


def is_origin_allowed(origin: str | None, config: ServerConfig) -> bool:
    """Browsers send the origin of the page; without one it is a game or a tool, which the token is for.

    Any page in the user's browser can reach a server on loopback, so only pages that came from loopback may use it.
    """
    if origin is None or origin in config.allowed_origins:
        return True
    try:
        host = urlsplit(origin).hostname
    except ValueError:
        return False
    return is_loopback(config.host) and host is not None and is_loopback(host)


def shows_token(authorization: str | None, config: ServerConfig) -> bool:
    """True if the HTTP header shows the server's token, or none is needed."""
    if config.token is None:
        return True
    scheme, _, shown = (authorization or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), config.token.encode())


def refusal_of(
    path: str, origin: str | None, authorization: str | None, config: ServerConfig
) -> tuple[HTTPStatus, str] | None:
    """Why a connection is refused before it becomes a WebSocket: a status and a sentence; None if it may go on.

    Without an Authorization header the token is expected in hello: browsers cannot set headers.
    """
    if urlsplit(path).path != "/":
        return HTTPStatus.NOT_FOUND, "Hotseat's WebSocket is at the path '/'.\n"
    if not is_origin_allowed(origin, config):
        return HTTPStatus.FORBIDDEN, "Pages of this origin may not connect: name it in the server's allowed_origins.\n"
    if authorization is not None and not shows_token(authorization, config):
        return HTTPStatus.UNAUTHORIZED, "The token in the Authorization header is not this server's.\n"
    return None
