"""Which Hotseat this is."""

from importlib.metadata import PackageNotFoundError, version


def hotseat_version() -> str:
    """Return the version that is installed, "unknown" in a source tree that was not."""
    try:
        return version("hotseat")
    except PackageNotFoundError:
        return "unknown"
