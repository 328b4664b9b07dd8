"""A process that plays matches on a store until it is killed, and says on its output what the store has promised.

Its lines are written so that a kill in between makes none of them a lie: `durable MATCH KEY` and `document N` after the
fact, `forgetting MATCH` before it (from then on nothing of that match is promised).
"""

import random
import sys
from pathlib import Path

from kv_store.limits import StoreLimits
from kv_store.store import Store
from tests.kv_store.worlds import FINGERPRINT, tensors_of

LENGTH = 2_000
LIMITS = StoreLimits(pack_bytes=20 * LENGTH, linger_s=0.001)


def say(line: str) -> None:
    """Hand a line to the parent, whatever happens next."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(folder: Path, seed: int) -> None:
    """Play for ever."""
    chance = random.Random(seed)
    store = Store(folder, fingerprint=FINGERPRINT, limits=LIMITS)
    played: dict[str, set[str]] = {}
    said: set[str] = set()
    turn = 0
    while True:
        turn += 1
        match = f"match{chance.randrange(4)}"
        for _ in range(chance.randrange(1, 6)):
            key = f"{seed}-{turn}-{chance.randrange(1_000)}"
            store.put(match, key, tensors_of(key, LENGTH))
            played.setdefault(match, set()).add(key)
        store.put_document("session", "guard", turn)
        if chance.random() < 0.1:
            say(f"forgetting {match}")
            store.forget_match(match)
            played.pop(match, None)
        if chance.random() < 0.2:
            store.flush(10)
            say(f"document {turn}")
        for match, keys in played.items():
            for key in sorted(store.durable(keys) - said):
                said.add(key)
                say(f"durable {match} {key}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
