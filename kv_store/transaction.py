"""The statements that change the index: plain SQL through SQLAlchemy, so that another database can take its place."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import Connection, Insert, bindparam, delete, insert, select, update

from kv_store.folder_names import folder_name
from kv_store.pack import WrittenBlock
from kv_store.records import NewPack, Pack, StoredDocument
from kv_store.schema import BlockRow, DocumentRow, LinkRow, MatchRow, PackRow, RemovalRow

_Item = TypeVar("_Item")
_MOST_PARAMETERS = 500  # SQLite allowed 999 a statement before 3.32


class Transaction:
    """The changes that one durable commit makes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_pack(self, pack: NewPack, used_s: int, indexed: Iterable[WrittenBlock] | None = None) -> Pack:
        """Index a pack and its blocks (or only those given); a block that was known elsewhere is now here."""
        blocks = pack.blocks if indexed is None else tuple(indexed)
        row = {
            "match_id": self._match_id(pack.match),
            "file": pack.file,
            "fingerprint": pack.fingerprint,
            "size_bytes": pack.size_bytes,
            "num_blocks": len(pack.blocks),
            "created_s": used_s,
        }
        pack_id = _inserted_id(self._connection, insert(PackRow).values(row))
        self._delete_blocks(block.key for block in blocks)
        rows = [
            {
                "key": block.key,
                "pack_id": pack_id,
                "checksum": block.checksum,
                "size_bytes": block.size_bytes,
                "note": block.note,
                "last_used_s": used_s,
            }
            for block in blocks
        ]
        if rows:
            self._connection.execute(insert(BlockRow), rows)
        return Pack(pack_id, pack.match, pack.file, pack.fingerprint, pack.size_bytes, len(pack.blocks))

    def move_blocks(self, keys: Iterable[str], old: Sequence[Pack], new: Pack) -> None:
        """Blocks of old packs now lie in a new one; their last use stays."""
        old_ids = [pack.id for pack in old]
        for some in chunks(keys):
            for ids in chunks(old_ids):
                self._connection.execute(
                    update(BlockRow).where(BlockRow.key.in_(some), BlockRow.pack_id.in_(ids)).values(pack_id=new.id)
                )

    def remove_packs(self, packs: Sequence[Pack]) -> None:
        """Forget packs and every block that still lies in them, and note their files for deletion."""
        for some in chunks(packs):
            ids = [pack.id for pack in some]
            files = [pack.file for pack in some]
            self._connection.execute(delete(BlockRow).where(BlockRow.pack_id.in_(ids)))
            self._connection.execute(delete(PackRow).where(PackRow.id.in_(ids)))
            self.note_removals(files)

    def note_removals(self, files: Sequence[str]) -> None:
        """Note files for deletion."""
        for some in chunks(files):
            self._connection.execute(delete(RemovalRow).where(RemovalRow.file.in_(some)))
            self._connection.execute(insert(RemovalRow), [{"file": file} for file in some])

    def clear_removals(self, files: Iterable[str]) -> None:
        """These files are gone."""
        for some in chunks(files):
            self._connection.execute(delete(RemovalRow).where(RemovalRow.file.in_(some)))

    def drop_blocks(self, places: Iterable[tuple[str, int]]) -> None:
        """Forget blocks (key, pack id), each only if it still lies in that pack; their links stay."""
        by_pack: dict[int, list[str]] = {}
        for key, pack_id in places:
            by_pack.setdefault(pack_id, []).append(key)
        for pack_id, keys in by_pack.items():
            for some in chunks(keys):
                self._connection.execute(delete(BlockRow).where(BlockRow.key.in_(some), BlockRow.pack_id == pack_id))

    def link(self, match: str, keys: Iterable[str]) -> None:
        """The match uses these blocks; those that the index does not know are passed over."""
        match_id = self._match_id(match)
        for some in chunks(keys):
            known = set(self._connection.scalars(select(BlockRow.key).where(BlockRow.key.in_(some))))
            linked = select(LinkRow.key).where(LinkRow.match_id == match_id, LinkRow.key.in_(some))
            rows = [{"match_id": match_id, "key": key} for key in sorted(known - set(self._connection.scalars(linked)))]
            if rows:
                self._connection.execute(insert(LinkRow), rows)

    def unlink(self, keys: Iterable[str]) -> None:
        """No match uses these blocks any more."""
        for some in chunks(keys):
            self._connection.execute(delete(LinkRow).where(LinkRow.key.in_(some)))

    def remove_match(self, match: str, used_again: Collection[str] = ()) -> None:
        """Forget what only this match used, but for `used_again`; and the match, if that leaves nothing."""
        match_id = self._connection.scalar(select(MatchRow.id).where(MatchRow.name == match))
        if match_id is None:
            return
        mine = self._connection.scalars(select(LinkRow.key).where(LinkRow.match_id == match_id))
        for some in chunks(key for key in list(mine) if key not in used_again):
            self._connection.execute(delete(LinkRow).where(LinkRow.match_id == match_id, LinkRow.key.in_(some)))
            others = set(self._connection.scalars(select(LinkRow.key).where(LinkRow.key.in_(some))))
            self._delete_blocks(set(some) - others)
        self._remove_idle_matches()

    def remove_loose_ends(self) -> None:
        """Forget links to blocks that do not exist, and matches with neither packs nor links."""
        self._connection.execute(delete(LinkRow).where(LinkRow.key.not_in(select(BlockRow.key))))
        self._remove_idle_matches()

    def touch(self, used_s: Mapping[str, int]) -> None:
        """Record when blocks were last used."""
        rows = [{"the_key": key, "used_s": seconds} for key, seconds in used_s.items()]
        if rows:
            self._connection.execute(
                update(BlockRow).where(BlockRow.key == bindparam("the_key")).values(last_used_s=bindparam("used_s")),
                rows,
            )

    def put_document(self, document: StoredDocument) -> None:
        """Keep this version of a document, instead of any other."""
        self.delete_document(document.kind, document.id)
        self._connection.execute(
            insert(DocumentRow).values(
                kind=document.kind,
                id=document.id,
                body=document.body,
                version=document.version,
                updated_s=document.updated_s,
            )
        )

    def delete_document(self, kind: str, id: str) -> None:
        """Forget a document."""
        self._connection.execute(delete(DocumentRow).where(DocumentRow.kind == kind, DocumentRow.id == id))

    def _match_id(self, match: str) -> int:
        found = self._connection.scalar(select(MatchRow.id).where(MatchRow.name == match))
        if found is not None:
            return found
        return _inserted_id(self._connection, insert(MatchRow).values(name=match, folder=folder_name(match)))

    def _remove_idle_matches(self) -> None:
        self._connection.execute(
            delete(MatchRow).where(
                MatchRow.id.not_in(select(PackRow.match_id)), MatchRow.id.not_in(select(LinkRow.match_id))
            )
        )

    def _delete_blocks(self, keys: Iterable[str]) -> None:
        for some in chunks(keys):
            self._connection.execute(delete(BlockRow).where(BlockRow.key.in_(some)))


def _inserted_id(connection: Connection, statement: Insert) -> int:
    key = connection.execute(statement).inserted_primary_key
    assert key is not None
    return int(key[0])


def chunks(items: Iterable[_Item], size: int = _MOST_PARAMETERS) -> Iterator[list[_Item]]:
    """The items in lists of at most `size`."""
    some: list[_Item] = []
    for item in items:
        some.append(item)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
