"""The first tables: matches, packs, blocks, links, removals, documents."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "matches",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.UniqueConstraint("name", name="uq_matches_name"),
        sa.UniqueConstraint("folder", name="uq_matches_folder"),
    )
    op.create_table(
        "packs",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("match_id", sa.Integer(), sa.ForeignKey("matches.id", name="fk_packs_match_id"), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("num_blocks", sa.Integer(), nullable=False),
        sa.Column("created_s", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("file", name="uq_packs_file"),
    )
    op.create_index("ix_packs_match_id", "packs", ["match_id"])
    op.create_table(
        "blocks",
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("pack_id", sa.Integer(), sa.ForeignKey("packs.id", name="fk_blocks_pack_id"), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("last_used_s", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_blocks_pack_id", "blocks", ["pack_id"])
    op.create_table(
        "links",
        sa.Column("match_id", sa.Integer(), sa.ForeignKey("matches.id", name="fk_links_match_id"), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
    )
    op.create_index("ix_links_key", "links", ["key"])
    op.create_table("removals", sa.Column("file", sa.Text(), primary_key=True))
    op.create_table(
        "documents",
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_s", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """There is nothing older."""
