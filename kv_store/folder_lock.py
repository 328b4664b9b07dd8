"""One process per store: an advisory lock that the operating system releases when the process dies, however it dies.

The lock is SQLite's own EXCLUSIVE lock on an empty database: portable, and gone after SIGKILL. The holder introduces
itself in a file of its own, because opening and closing the locked file elsewhere in this process would drop POSIX
locks.
"""

import contextlib
import json
import os
import platform
import sqlite3
import time
from pathlib import Path

from kv_store.errors import Holder, StoreLocked, StoreUnusable

LOCK_FILE = "lock.sqlite"
HOLDER_FILE = "holder.json"
# Long enough to outlive somebody's look at who holds the lock (`holder_of`), short enough to be told at once.
_PATIENCE_S = 0.3


class FolderLock:
    """The held lock of one folder, taken by the constructor. Raises StoreLocked or StoreUnusable."""

    def __init__(self, folder: Path) -> None:
        self._holder_file = folder / HOLDER_FILE
        self._connection = _connect(folder, _PATIENCE_S)
        try:
            self._connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            self._connection.close()
            if _is_busy(error):
                raise StoreLocked(folder, _introduction(folder)) from error
            raise StoreUnusable(folder, str(error)) from error
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise StoreUnusable(folder, f"{LOCK_FILE} is not a lock ({error}); delete it") from error
        holder = {"pid": os.getpid(), "host": platform.node(), "since_s": int(time.time())}
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
            self._holder_file.write_text(json.dumps(holder), encoding="utf-8")

    def release(self) -> None:
        """Give the folder back; a second call does nothing."""
        with contextlib.suppress(OSError):
            self._holder_file.unlink(missing_ok=True)
        self._connection.close()


def holder_of(folder: Path) -> Holder | None:
    """Who holds the store now; None when nobody does. An unknown holder has pid 0."""
    if not (folder / LOCK_FILE).exists():
        return None
    connection = _connect(folder, 0.0)
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT * FROM sqlite_master").fetchall()
    except sqlite3.OperationalError as error:
        # Anything else than busy: on a disk that refuses the lock's file nobody can hold it.
        return (_introduction(folder) or Holder(0, "", 0)) if _is_busy(error) else None
    finally:
        connection.close()
    return None


def _connect(folder: Path, patience_s: float) -> sqlite3.Connection:
    try:
        # The thread that closes the store need not be the one that opened it.
        return sqlite3.connect(folder / LOCK_FILE, timeout=patience_s, isolation_level=None, check_same_thread=False)
    except sqlite3.OperationalError as error:
        raise StoreUnusable(folder, str(error)) from error


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _introduction(folder: Path) -> Holder | None:
    try:
        value = json.loads((folder / HOLDER_FILE).read_text(encoding="utf-8"))
        return Holder(int(value["pid"]), str(value["host"]), int(value["since_s"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
