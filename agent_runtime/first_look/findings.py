"""What a check of this machine found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """How bad it is: with `FAIL` a server would not start, or not with what was asked for."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: a sentence with what to do unless all is well, and the facts for programs."""

    name: str
    verdict: Verdict
    sentence: str
    facts: Mapping[str, Any] = field(default_factory=dict)
