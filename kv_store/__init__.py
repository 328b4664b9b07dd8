"""Persistent named tensors under opaque keys, and JSON documents beside them.

    matches/<match-folder>/pack-*.safetensors   many blocks each, self-describing (`pack`)
    index.sqlite                                which block lies where, who uses it; documents (`index`, `schema`)
    lock.sqlite, holder.json                    one process per store (`folder_lock`)

`Store` is what others use. Its memory (`books`) says what exists; one thread (`write_behind`, `scribe`, `upkeep`)
makes the disk (`archive`) follow, in order; whatever a crash cuts off is finished when the store is opened.
"""

from kv_store.check import CheckReport, check_store
from kv_store.documents import Document
from kv_store.errors import StoreError, StoreLocked, StoreWriteError
from kv_store.limits import StoreLimits
from kv_store.listing import list_store
from kv_store.reports import FlushCount
from kv_store.store import Store

__all__ = [
    "CheckReport",
    "Document",
    "FlushCount",
    "Store",
    "StoreError",
    "StoreLimits",
    "StoreLocked",
    "StoreWriteError",
    "check_store",
    "list_store",
]
