"""Who may connect."""

import pytest

from agent_runtime.server.access import check_start, is_loopback, is_origin_allowed, refusal_of, shows_token
from agent_runtime.server.config import ServerConfig
from agent_runtime.server.errors import BadToken, TokenRequired


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST", "::1", "[::1]"])
def test_loopback_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    check_start(ServerConfig(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "example.org", "127.0.0.1.example.org"])
def test_any_other_bind_needs_one(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(TokenRequired, match="set a token"):
        check_start(ServerConfig(host=host))
    check_start(ServerConfig(host=host, token="open-sesame"))


@pytest.mark.parametrize("token", ["", "short", "öpen-sesame", "open\nsesame"])
def test_a_token_that_guards_nothing_is_refused_even_on_loopback(token: str) -> None:
    with pytest.raises(BadToken, match="at least 8") as refused:
        check_start(ServerConfig(token=token))
    assert not token or token not in str(refused.value)


def test_a_token_is_not_shown_by_its_config() -> None:
    assert "sesame" not in repr(ServerConfig(token="open-sesame"))


@pytest.mark.parametrize(
    "authorization, shows",
    [
        ("Bearer open-sesame", True),
        ("bearer  open-sesame", True),
        ("Bearer close-sesame", False),
        ("Basic open-sesame", False),
        ("open-sesame", False),
        ("Bearer", False),
        ("Bearer öpen-sesame", False),
        ("", False),
        (None, False),
    ],
)
def test_the_header_shows_the_token_or_not(authorization: str | None, shows: bool) -> None:
    assert shows_token(authorization, ServerConfig(token="open-sesame")) is shows


def test_without_a_token_nothing_is_asked_for() -> None:
    assert shows_token(None, ServerConfig())


@pytest.mark.parametrize(
    "origin, host, allowed",
    [
        (None, "127.0.0.1", True),
        ("http://localhost:3000", "127.0.0.1", True),
        ("http://127.0.0.1", "localhost", True),
        ("http://[::1]:5", "127.0.0.1", True),
        ("https://evil.example", "127.0.0.1", False),
        ("http://localhost.evil.example", "127.0.0.1", False),
        ("http://evil.example#localhost", "127.0.0.1", False),
        ("null", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("http://[", "127.0.0.1", False),
        ("http://localhost:3000", "0.0.0.0", False),
        ("https://game.example", "0.0.0.0", True),
        ("https://game.example, https://evil.example", "0.0.0.0", False),
    ],
)
def test_pages_connect_by_their_origin(origin: str | None, host: str, allowed: bool) -> None:
    config = ServerConfig(host=host, token="open-sesame", allowed_origins=("https://game.example",))
    assert is_origin_allowed(origin, config) is allowed


def test_the_path_may_carry_a_query_and_nothing_else() -> None:
    config = ServerConfig()
    assert refusal_of("/", None, None, config) is None
    assert refusal_of("/?game=camp", None, None, config) is None
    refused = refusal_of("/metrics", None, None, config)
    assert refused is not None and refused[0] == 404


def test_a_header_with_a_wrong_token_is_refused_even_on_loopback() -> None:
    refused = refusal_of("/", None, "Bearer nonsense", ServerConfig(token="open-sesame"))
    assert refused is not None and refused[0] == 401 and "sesame" not in refused[1]
