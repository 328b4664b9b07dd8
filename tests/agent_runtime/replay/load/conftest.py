"""What the tests of this room share."""

from pathlib import Path

import pytest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test writes its recording."""
    return tmp_path / "m.jsonl"
