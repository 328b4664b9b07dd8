"""Which adapter a model is to get, as it is said; what comes of it is decided by `engine.adapters.find_adapter`."""

from enum import Enum
from pathlib import Path


class AdapterChoice(Enum):
    """What may be said in place of an adapter's folder.

    DEFAULT is the package's own adapter for the embedded model, if the package brings one, and none for any other;
    PACKAGED is the package's own, and an error if there is none; NONE is the model's weights as they came.
    """

    DEFAULT = "default"
    PACKAGED = "packaged"
    NONE = "none"


Adapter = Path | AdapterChoice


def adapter_named(said: str | None) -> Adapter:
    """Return what a command line or a file of settings names: `none`, `packaged` or a folder; None: nothing was said.

    A folder that is called like one of the words is written with its path, as in `./none`.
    """
    if said is None:
        return AdapterChoice.DEFAULT
    return AdapterChoice(said) if said in _WORDS else Path(said)


def adapter_arguments(adapter: Adapter) -> list[str]:
    """Return the words that say the same to a command of its own process."""
    if adapter is AdapterChoice.DEFAULT:
        return []
    return ["--adapter", adapter.value if isinstance(adapter, AdapterChoice) else str(adapter.expanduser().absolute())]


_WORDS = (AdapterChoice.NONE.value, AdapterChoice.PACKAGED.value)
