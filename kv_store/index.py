"""The SQL index: which block lies in which pack, who uses it, and the documents."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, select

from kv_store.records import Contents, IndexedBlock, Pack, StoredDocument
from kv_store.schema import BlockRow, DocumentRow, LinkRow, MatchRow, PackRow, RemovalRow
from kv_store.transaction import Transaction


class Index:
    """The index of one store. Reading is safe from any thread; transactions are for one at a time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One durable change: committed when the body ends, undone when it raises."""
        with self.engine.begin() as connection:
            yield Transaction(connection)

    def contents(self) -> Contents:
        """Read all packs, blocks and (match, key) links."""
        with self.engine.begin() as connection:
            return Contents(
                tuple(
                    Pack(*row)
                    for row in connection.execute(
                        select(
                            PackRow.id,
                            MatchRow.name,
                            PackRow.file,
                            PackRow.fingerprint,
                            PackRow.size_bytes,
                            PackRow.num_blocks,
                        )
                        .join_from(PackRow, MatchRow)
                        .order_by(PackRow.id)
                    )
                ),
                tuple(
                    IndexedBlock(*row)
                    for row in connection.execute(
                        select(
                            BlockRow.key,
                            BlockRow.pack_id,
                            BlockRow.checksum,
                            BlockRow.size_bytes,
                            BlockRow.note,
                            BlockRow.last_used_s,
                        ).order_by(BlockRow.last_used_s, BlockRow.pack_id, BlockRow.key)
                    )
                ),
                tuple(
                    (row.name, row.key)
                    for row in connection.execute(select(MatchRow.name, LinkRow.key).join_from(LinkRow, MatchRow))
                ),
            )

    def matches(self) -> list[tuple[str, str]]:
        """(match, folder) of every match."""
        with self.engine.begin() as connection:
            rows = connection.execute(select(MatchRow.name, MatchRow.folder).order_by(MatchRow.name))
            return [(row.name, row.folder) for row in rows]

    def removals(self) -> list[str]:
        """Pack files that are to be deleted."""
        with self.engine.begin() as connection:
            return list(connection.scalars(select(RemovalRow.file)))

    def document(self, kind: str, id: str) -> StoredDocument | None:
        """One document, or None."""
        return next(iter(self._documents(kind, id)), None)

    def documents(self, kind: str) -> list[StoredDocument]:
        """All documents of a kind, by id."""
        return self._documents(kind, None)

    def document_versions(self) -> dict[tuple[str, str], int]:
        """The version of every document."""
        with self.engine.begin() as connection:
            rows = connection.execute(select(DocumentRow.kind, DocumentRow.id, DocumentRow.version))
            return {(row.kind, row.id): row.version for row in rows}

    def _documents(self, kind: str, id: str | None) -> list[StoredDocument]:
        query = select(
            DocumentRow.kind, DocumentRow.id, DocumentRow.body, DocumentRow.version, DocumentRow.updated_s
        ).where(DocumentRow.kind == kind)
        if id is not None:
            query = query.where(DocumentRow.id == id)
        with self.engine.begin() as connection:
            return [StoredDocument(*row) for row in connection.execute(query.order_by(DocumentRow.id))]
