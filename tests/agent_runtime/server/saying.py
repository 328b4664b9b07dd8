"""What the tests of the protocol machine look at in its answers."""

from typing import Any


def only(messages: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(messages) == 1, messages
    return messages[0]


def code_of(messages: list[dict[str, Any]]) -> str:
    message = only(messages)
    assert message["type"] == "error", message
    return str(message["code"])
