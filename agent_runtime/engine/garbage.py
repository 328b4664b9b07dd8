"""Python's looks for garbage, spared a process that loads a model.

A look through everything passes several hundred thousand objects of torch and transformers, none of which is garbage,
and all threads wait for it: 160 ms on two cores, in the middle of somebody's turn.
"""

import atexit
import gc
import sys
import threading

# Objects made before a first look for garbage among them; Python's own number is 700 or 2,000.
_MANY_OBJECTS = 10_000
# Set in a process that is a command's own: where others' code runs, too, they have garbage of theirs.
_IS_OURS = threading.Event()


def look_seldom() -> None:
    """Spare a process, which is a command's own, the looks through what it imports.

    They took a quarter of the time until a command could begin (1.3 s of 5). The last thing that Python does is to look
    for cycles in all of it once more: 1.6 s.
    """
    _IS_OURS.set()
    gc.set_threshold(_MANY_OBJECTS, *gc.get_threshold()[1:])
    atexit.register(_end_at_once)


def leave_out_what_is_there() -> None:
    """Look once, and then never again at what is there now: call it when all is loaded, before the first turn.

    Does nothing but in a process that was told to look seldom.
    """
    if _IS_OURS.is_set():
        gc.collect()
        gc.freeze()


def _end_at_once() -> None:
    if "triton" in sys.modules:  # whose bindings call whatever is still there at the end a leak, on many lines
        gc.unfreeze()
    else:
        gc.freeze()
