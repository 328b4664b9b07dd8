"""The kernels neither read nor write where nothing of theirs is, and no thread of theirs overtakes another."""

import pytest

from tests.gpu.sanitized import TOOLS, sanitizer, shapes_command, watched, why_not

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("tool", TOOLS)
def test_a_sanitizer_finds_nothing(tool: str) -> None:
    found = sanitizer()
    why = why_not(found)
    if found is None or why is not None:
        pytest.skip(str(why))
    verdict = watched(found, tool, shapes_command())
    assert verdict.is_clean, verdict.said[-8000:]
