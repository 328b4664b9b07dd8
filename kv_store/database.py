"""The index's database: how it is opened, and brought to the schema that this Hotseat knows."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from kv_store.errors import IndexDamaged, SchemaTooNew, StoreUnusable

INDEX_FILE = "index.sqlite"
_BUSY_TIMEOUT_MS = 5_000


def open_database(folder: Path, url: str | None) -> Engine:
    """An engine for the store's index, at the newest schema. Raises StoreUnusable, IndexDamaged or SchemaTooNew."""
    engine = create_engine(url or URL.create("sqlite", database=str(folder / INDEX_FILE)))
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    try:
        with translated(folder):
            _migrate(folder, engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def open_for_reading(folder: Path, url: str | None) -> Engine:
    """An engine that cannot write, for looking into a store that another process may be using. Raises IndexDamaged."""
    if url is not None:
        return create_engine(url)
    file = folder / INDEX_FILE
    if not file.exists():
        raise IndexDamaged(folder, f"{INDEX_FILE} is missing")
    return create_engine("sqlite://", creator=lambda: _connect_for_reading(file), poolclass=NullPool)


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turn a database's refusal while a store is being opened into one of the store's errors."""
    try:
        yield
    except (OperationalError, sqlite3.OperationalError) as error:
        raise StoreUnusable(folder, describe(error)) from error
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise IndexDamaged(folder, describe(error)) from error


def describe(error: BaseException) -> str:
    """One sentence about an error, without SQL."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(cause).__name__}: {cause}"


def verify_database(folder: Path, engine: Engine) -> None:
    """Let the database look for damage in itself, where it can. Raises IndexDamaged."""
    if engine.dialect.name == "sqlite":
        with translated(folder), engine.connect() as connection:
            said = list(connection.exec_driver_sql("PRAGMA integrity_check").scalars())
        if said != ["ok"]:
            raise IndexDamaged(folder, "; ".join(map(str, said[:3])))


def _connect_for_reading(file: Path) -> sqlite3.Connection:
    uri = f"{file.absolute().as_uri()}?mode=ro"
    try:
        return _connect_and_look(uri)
    except sqlite3.OperationalError:
        # WAL wants to share memory through a file beside the index. Where none can be made (a read-only disk), nobody
        # else can write either, and the index can be read as it stands, unless part of it stands in the log.
        log = file.with_name(file.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise
        return _connect_and_look(f"{uri}&immutable=1")


def _connect_and_look(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True)
    try:
        connection.execute("SELECT name FROM sqlite_master").close()
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, record: Any) -> None:
        # The driver must not begin transactions by itself: it would leave DDL outside of them, and a kill during a
        # migration would leave half a schema.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # WAL's NORMAL may lose the last commits to a power cut
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")


def _migrate(folder: Path, engine: Engine) -> None:
    with engine.begin() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        config = _config()
        scripts = ScriptDirectory.from_config(config)
        if current == scripts.get_current_head():
            return
        if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
            raise SchemaTooNew(folder, current)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
