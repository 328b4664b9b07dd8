"""JSON as text: one spelling for every value, so that equal values have equal bytes, and paths on one line."""

import json
import marshal
import re
from collections.abc import Sequence
from typing import Any

from prompts.errors import StateError

Json = Any

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# A backslash is escaped too, otherwise a newline and a spelled-out `\n` would be the same path.
_UNSAFE_IN_LABEL = re.compile("[~/\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode


def canonical(value: Json, labels: Sequence[str] = ()) -> str:
    """The compact JSON of the value at some path, members sorted; lossless, and on one line. Raises StateError."""
    try:
        # The encoder makes itself ready for all of JSON, whatever comes.
        text = int.__repr__(value) if type(value) is int else _encode(value)
    except ValueError as error:
        raise StateError(path_text(labels), f"{error}. Send null or a string in its place.") from None
    except TypeError as error:
        raise StateError(
            path_text(labels), f"{error}. Every member's name must be a string, every value a JSON value."
        ) from None
    except RecursionError:
        raise StateError(path_text(labels), "it is nested too deep. Send it flatter.") from None
    return text if text.isascii() else writable(text)


def fingerprint(value: Json) -> bytes | None:
    """Bytes for what `canonical` has written; no value of another JSON has them. A quarter of its time; None: no bytes.

    Members in another order have other bytes.
    """
    try:
        # Version 2 knows no references, by which equal values would differ that share other parts.
        return marshal.dumps(value, 2)
    except ValueError:  # what no parser makes: a subclass of a type, or no end of nesting
        return None


def lasting_fingerprint(value: Json) -> bytes | None:
    """The same, to be kept and held against those of other values; of what `canonical` has just written.

    None also for a number or text of a kind that keeps its bytes in memory of its own: something else may have those.
    """
    found = fingerprint(value)
    return found if found is not None and marshal.loads(found) == value else None


def writable(text: str) -> str:
    """The text with lone surrogates, which no file or socket can carry, spelled as JSON escapes."""
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def label_text(label: str) -> str:
    """A label as it stands in paths and names: JSON Pointer escapes, and nothing that could end the line."""
    return label if label.isalnum() else _UNSAFE_IN_LABEL.sub(_escape, label)


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    special = {"~": "~0", "/": "~1", "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return special.get(character) or f"\\u{ord(character):04x}"


def path_text(labels: Sequence[str]) -> str:
    """The path that heads a block: a JSON Pointer in which an identity stands for an index; the root is `(state)`."""
    return "".join(f"/{label_text(label)}" for label in labels) or "(state)"
