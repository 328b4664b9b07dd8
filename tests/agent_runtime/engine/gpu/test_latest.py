"""What was asked for last is kept, and no more of it than there is room for."""

from agent_runtime.engine.gpu.latest import Latest


def test_the_least_recently_asked_for_goes_first() -> None:
    made: list[str] = []
    latest: Latest[str] = Latest(2)

    def of(name: str) -> str:
        return latest.of(name, lambda: made.append(name) or name * 2)

    assert [of(name) for name in ("a", "b", "a", "c", "a", "b")] == ["aa", "bb", "aa", "cc", "aa", "bb"]
    assert made == ["a", "b", "c", "b"] and len(latest) == 2
