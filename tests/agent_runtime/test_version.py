"""agent_runtime.version: what is installed, or that nothing is."""

import importlib.metadata

import pytest

from agent_runtime import version


def test_the_version_is_that_of_what_is_installed() -> None:
    assert version.hotseat_version() == importlib.metadata.version("hotseat")


def test_a_source_tree_that_was_not_installed_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(version, "version", missing)
    assert version.hotseat_version() == "unknown"
