"""The kernels neither read nor write where nothing of theirs is, and no thread of theirs overtakes another."""

import pytest

from tests.gpu.sanitized import NONE, TOOLS, sanitizer, shapes_command, watched

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("tool", TOOLS)
def test_a_sanitizer_finds_nothing(tool: str) -> None:
    found = sanitizer()
    if found is None:
        pytest.skip(NONE)
    verdict = watched(found, tool, shapes_command())
    assert verdict.is_clean, verdict.said[-8000:]
