"""Documents: JSON records beside the blocks (sessions, manifests), written behind like them; the latest put wins.

A body becomes JSON text on the writer's thread, once for all the puts that came together: a match's state is put every
frame, and its caller's time must not grow with the state. So a body belongs to the store from the put on.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kv_store.errors import BadDocument
from kv_store.index import Index
from kv_store.pack import is_storable_text
from kv_store.records import StoredDocument
from kv_store.transaction import Transaction

Json = Any


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON record. `version` grows with every put (the disk may see only some of them); `updated_s` is Unix time."""

    kind: str
    id: str
    body: Json
    version: int
    updated_s: int


@dataclass(frozen=True, slots=True)
class QueuedDocument:
    """A document on its way to the index; a `deleted` one leaves it."""

    kind: str
    id: str
    body: Json
    deleted: bool
    version: int
    updated_s: int


class Documents:
    """The documents of one store. Queued ones are here, the others are read from the index.

    Every method but `get` and `all_of` wants the store's lock held; these two read the queue in one atomic step.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._versions = index.document_versions()
        self._queued: dict[tuple[str, str], QueuedDocument] = {}
        self._untaken: set[tuple[str, str]] = set()
        self.refused = 0

    def __len__(self) -> int:
        return len(self._queued)

    def queue(self, kind: str, id: str, body: Json, *, deleted: bool, now_s: int) -> bool:
        """Keep this version. True when the writer must be told; otherwise it comes across it anyway."""
        name = (kind, id)
        version = self._versions.get(name, 0) + 1
        self._versions[name] = version
        self._queued[name] = QueuedDocument(kind, id, body, deleted, version, now_s)
        if name in self._untaken:
            return False
        self._untaken.add(name)
        return True

    def take(self, names: Iterable[tuple[str, str]]) -> None:
        """The writer begins with these; a put from now on is another operation."""
        self._untaken.difference_update(names)

    def queued(self, names: Iterable[tuple[str, str]]) -> list[QueuedDocument]:
        """The latest queued version of each."""
        return [self._queued[name] for name in dict.fromkeys(names) if name in self._queued]

    def settle(self, written: Iterable[QueuedDocument], refused: int) -> None:
        """These versions are durable, but for some that were refused."""
        self.refused += refused
        for document in written:
            if self._queued.get((document.kind, document.id)) is document:
                del self._queued[document.kind, document.id]

    def get(self, kind: str, id: str) -> Document | None:
        """The latest version, durable or not."""
        # A queued document leaves the queue only when it is committed: looked up in this order, none can be missed.
        found = self._queued.get((kind, id)) or self._index.document(kind, id)
        return None if found is None else _as_document(found)

    def all_of(self, kind: str) -> list[Document]:
        """The latest version of every document of a kind, by id."""
        found: dict[str, StoredDocument | QueuedDocument] = {}
        queued = [document for document in list(self._queued.values()) if document.kind == kind]
        candidates: list[StoredDocument | QueuedDocument] = [*self._index.documents(kind), *queued]
        for document in candidates:
            if document.id not in found or found[document.id].version < document.version:
                found[document.id] = document
        documents = (_as_document(found[id]) for id in sorted(found))
        return [document for document in documents if document is not None]


def check_name(kind: str, id: str) -> None:
    """Raise BadDocument when no database can hold this name."""
    if not is_storable_text(kind + id):
        raise BadDocument(kind, id, "its kind and id must be text without NUL or half surrogate pairs")


def write(transaction: Transaction, documents: Iterable[QueuedDocument]) -> list[BadDocument]:
    """Make documents part of a commit. Returns why some cannot be: whatever was stored of them stays."""
    refused: list[BadDocument] = []
    for queued in documents:
        if queued.deleted:
            transaction.delete_document(queued.kind, queued.id)
            continue
        try:
            text = _encode(queued)
        except BadDocument as error:
            refused.append(error)
        else:
            transaction.put_document(StoredDocument(queued.kind, queued.id, text, queued.version, queued.updated_s))
    return refused


def _encode(queued: QueuedDocument) -> str:
    """The body as ASCII JSON text. Raises BadDocument."""
    try:
        return json.dumps(queued.body, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError, RuntimeError) as error:
        raise BadDocument(queued.kind, queued.id, f"its body is not JSON ({error})") from error


def _as_document(found: StoredDocument | QueuedDocument) -> Document | None:
    if isinstance(found, StoredDocument):
        return Document(found.kind, found.id, json.loads(found.body), found.version, found.updated_s)
    if found.deleted:
        return None
    # By way of JSON, so that it reads now as it will after a restart, and nobody shares the body with the writer.
    return Document(found.kind, found.id, json.loads(_encode(found)), found.version, found.updated_s)
