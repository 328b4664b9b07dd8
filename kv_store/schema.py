"""The index's tables. They change only by a migration (`migrations/versions`); a test holds the two against each other.

Tensor names, dtypes, shapes and offsets are not repeated here: they stand in the pack's own header, which every read
verifies.
"""

from sqlalchemy import BigInteger, ForeignKey, MetaData, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Base of the index's tables; constraints are named so that later migrations can address them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
        }
    )


class MatchRow(Base):
    """A match: the client's id, and the folder that its packs lie in."""

    __tablename__ = "matches"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    folder: Mapped[str] = mapped_column(Text, unique=True)


class PackRow(Base):
    """A pack file, by its path below the store's folder; `num_blocks` counts the dead ones too."""

    __tablename__ = "packs"
    id: Mapped[int] = mapped_column(primary_key=True)
    match_id: Mapped[int] = mapped_column(ForeignKey("matches.id"), index=True)
    file: Mapped[str] = mapped_column(Text, unique=True)
    fingerprint: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    num_blocks: Mapped[int]
    created_s: Mapped[int] = mapped_column(BigInteger)


class BlockRow(Base):
    """A block that can be read from a pack."""

    __tablename__ = "blocks"
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    pack_id: Mapped[int] = mapped_column(ForeignKey("packs.id"), index=True)
    checksum: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    note: Mapped[str] = mapped_column(Text)
    last_used_s: Mapped[int] = mapped_column(BigInteger)


class LinkRow(Base):
    """A match uses a block. One that turned out bad keeps its links, so that they hold again when it is put anew."""

    __tablename__ = "links"
    match_id: Mapped[int] = mapped_column(ForeignKey("matches.id"), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True, index=True)


class RemovalRow(Base):
    """A pack file that has no rows any more and is to be deleted: written with the rows' removal, so that a crash
    between
    row and file brings nothing back."""

    __tablename__ = "removals"
    file: Mapped[str] = mapped_column(Text, primary_key=True)


class DocumentRow(Base):
    """A JSON record; the body is ASCII JSON text, which every database holds unchanged."""

    __tablename__ = "documents"
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    body: Mapped[str] = mapped_column(Text)
    version: Mapped[int]
    updated_s: Mapped[int] = mapped_column(BigInteger)
