import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from kv_store import database
from kv_store.database import INDEX_FILE, open_database, open_for_reading, verify_database
from kv_store.errors import IndexDamaged, SchemaTooNew, StoreUnusable
from kv_store.schema import Base


def test_the_migrations_make_exactly_the_tables_that_the_code_describes(tmp_path: Path) -> None:
    engine = open_database(tmp_path, None)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        assert MigrationContext.configure(connection).get_current_revision() == "0001"
    engine.dispose()


def test_an_index_is_durable_by_its_settings(tmp_path: Path) -> None:
    engine = open_database(tmp_path, None)
    with engine.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    engine.dispose()
    assert settings == ["wal", 2, 1, 5000]


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    open_database(tmp_path, None).dispose()
    before = (tmp_path / INDEX_FILE).read_bytes()
    open_database(tmp_path, None).dispose()
    assert (tmp_path / INDEX_FILE).read_bytes() == before


def test_a_migration_that_is_cut_off_leaves_nothing_and_is_done_at_the_next_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = database.command.upgrade

    def cut_off(*arguments: object) -> None:
        upgrade(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(database.command, "upgrade", cut_off)
    with pytest.raises(KeyboardInterrupt):
        open_database(tmp_path, None)
    connection = sqlite3.connect(tmp_path / INDEX_FILE)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
    monkeypatch.undo()
    engine = open_database(tmp_path, None)
    with engine.connect() as open_connection:
        assert open_connection.execute(text("SELECT count(*) FROM blocks")).scalar() == 0
    engine.dispose()


def test_an_index_of_a_newer_hotseat_is_refused_by_name(tmp_path: Path) -> None:
    engine = open_database(tmp_path, None)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(SchemaTooNew, match="'9999'.*Upgrade Hotseat"):
        open_database(tmp_path, None)


def test_a_file_that_is_no_database_is_a_damaged_index(tmp_path: Path) -> None:
    (tmp_path / INDEX_FILE).write_text("this is not a database" * 100)
    with pytest.raises(IndexDamaged, match="hotseat store check --repair"):
        open_database(tmp_path, None)


def test_damage_within_the_database_is_found(tmp_path: Path) -> None:
    engine = open_database(tmp_path, None)
    verify_database(tmp_path, engine)
    engine.dispose()
    content = bytearray((tmp_path / INDEX_FILE).read_bytes())
    content[4096 * 3 : 4096 * 4] = b"\xff" * 4096
    (tmp_path / INDEX_FILE).write_bytes(content)
    with pytest.raises(IndexDamaged):
        engine = open_database(tmp_path, None)
        try:
            verify_database(tmp_path, engine)
        finally:
            engine.dispose()


def test_a_folder_where_no_database_can_be_made_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="unable to open"):
        open_database(tmp_path / "missing", None)
    with pytest.raises(IndexDamaged, match="index.sqlite is missing.*--repair"):
        open_for_reading(tmp_path, None)


def test_another_database_can_be_named_by_url(tmp_path: Path) -> None:
    open_database(tmp_path, f"sqlite:///{tmp_path}/other.sqlite").dispose()
    assert (tmp_path / "other.sqlite").exists() and not (tmp_path / INDEX_FILE).exists()
