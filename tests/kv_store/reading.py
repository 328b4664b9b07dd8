"""What of a store can be read."""

from kv_store.store import Store
from tests.kv_store.worlds import same, tensors_of


def reads(store: Store, *keys: str) -> list[str]:
    """The keys that can be read, each verified."""
    found = store.get_many(keys)
    assert all(same(found[key], tensors_of(key)) for key in found)
    return sorted(found)
