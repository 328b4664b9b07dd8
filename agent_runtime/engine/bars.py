"""transformers draws a bar while it loads weights: into notebooks and logs of people who never asked for one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging


@contextmanager
def no_bars() -> Iterator[None]:
    """Let transformers draw no bars of its own; those of downloads and of unpacking, which take long, stay.

    What was set before is set again at the end. It is the process's: where several threads load at once, bars are back
    when the first of them is done.
    """
    before = logging.set_tqdm_hook(_without_a_bar)
    try:
        yield
    finally:
        now = logging.set_tqdm_hook(before)
        if now is not _without_a_bar:  # another thread has put back what was there before both
            logging.set_tqdm_hook(now)


def _without_a_bar(make: Callable[..., Any], positional: Sequence[Any], named: Mapping[str, Any]) -> Any:
    return make(*positional, **{**named, "disable": True})
