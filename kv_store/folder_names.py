"""How a match's id, which may be any text, becomes the name of a folder that every file system takes."""

import hashlib
import re

_READABLE_LENGTH = 40


def folder_name(match: str) -> str:
    """A readable rest of the id and a hash of all of it: two ids never share a folder, whatever the file system folds.

    The index and every pack header hold the id itself, so the way back is a look-up.
    """
    readable = re.sub(r"[^a-z0-9_-]+", "-", match.lower())[:_READABLE_LENGTH].strip("-")
    digest = hashlib.blake2b(match.encode(), digest_size=8).hexdigest()
    return f"{readable or 'match'}-{digest}"
