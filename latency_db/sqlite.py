"""A latency table in an SQLite file: recognizing, opening and upgrading it, and explaining SQLite's errors."""

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError, StatementError

from latency_db.errors import DatabaseDamaged, DatabaseUnwritable, LatencyDbError, NotADatabase
from latency_db.migrate import VERSION_TABLE, InvalidRows, newer_schema, revision_name, upgrade
from latency_db.schema import APPLICATION_ID, SCHEMA_VERSION

BUSY_TIMEOUT_S = 60
FIRST = revision_name(1)  # the schema before there were migrations
CURRENT = revision_name(SCHEMA_VERSION)
RESTORE = "Restore a copy, or remove it and run nastool profile"


def open_file(path: Path) -> Engine:
    """An engine for the table at `path`, which is created or upgraded if needed.

    A file of the current schema stays unchanged until something is written. A file on a read-only or full disk can
    still be read.

    Raises:
        NotADatabase, DatabaseDamaged, NewerSchema: the file is not a table that this nastool can use; it is unchanged.
        DatabaseUnwritable: it cannot be created, or it is old and cannot be upgraded.
    """
    revision = _inspect(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DatabaseUnwritable(
            f"cannot create the folder {path.parent} for the latency table: {problem.strerror}. "
            f"Name another file with --db"
        ) from None
    if revision is not None and not _can_lock(path):
        if revision != CURRENT:
            raise DatabaseUnwritable(
                f"cannot upgrade {path}, which was written by an older nastool: the file or its folder is read-only, "
                f"or the disk is full. Make them writable, or copy the file and name the copy with --db"
            )
        return _reading_engine(path)
    if revision != CURRENT:
        _upgrade(path)
    return _engine(path)


def explain(path: Path, problem: BaseException) -> LatencyDbError:
    """The error for a failure of SQLite, or for a value that cannot be read."""
    reason = getattr(problem, "orig", None) or problem
    code = getattr(reason, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DatabaseUnwritable(f"cannot write {path}: another command is writing to it. Run the command again")
    if primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_TOOBIG):
        return DatabaseUnwritable(
            f"cannot write the latency table {path}: {reason}. Free disk space, or name another file with --db"
        )
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return DatabaseUnwritable(
            f"cannot open the latency table {path}: {reason}. Check the permissions of the file and its folder, "
            f"or name another file with --db"
        )
    return DatabaseDamaged(f"{path} is damaged: {_damage(path) or ' '.join(str(reason).split())}. {RESTORE}")


def _damage(path: Path) -> str:
    """What SQLite's own check of the file reports first; empty if it finds nothing."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{_reading_mode(path)}", uri=True)
        try:
            (report,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except (sqlite3.Error, OSError, ValueError):
        return ""
    return "" if report == "ok" else " ".join(str(report).split())


def _upgrade(path: Path) -> None:
    """Create or change the tables in one transaction: if it is killed, the file is unchanged."""
    engine = _engine(path, foreign_keys=False)  # a target gets a new id before its runs do
    try:
        with engine.begin() as connection:  # waits here for other commands that do the same
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            revision = _revision(path, driver)
            if revision == CURRENT:
                return
            upgrade(connection, revision)
            if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                raise DatabaseDamaged(f"{path} is damaged: some of its rows belong to no run. {RESTORE}")
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
    except InvalidRows as problem:
        raise DatabaseDamaged(f"{path} is damaged: {problem}. {RESTORE}") from None
    except (DatabaseError, StatementError, sqlite3.Error, ValueError, TypeError) as problem:
        raise explain(path, problem) from None
    finally:
        engine.dispose()


def _engine(path: Path, foreign_keys: bool = True) -> Engine:
    url = URL.create("sqlite", database=str(path.absolute()))
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come too late and too weak
        _use_log(connection)
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # A transaction that reads first and then writes fails at once if another one writes in between;
        # one that locks for writing from the start waits.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _use_log(connection: Any) -> None:
    """Turn on the write-ahead log. SQLite's own waiting does not apply here: two commands that open a new file
    would wait for each other, so it fails at once, and the waiting is done here."""
    last = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > last:
                raise
            time.sleep(0.01)


def _can_lock(path: Path) -> bool:
    """Whether SQLite can create the files beside `path` that coordinate readers and writers."""
    engine = _engine(path)
    try:
        with engine.begin():
            return True
    except (OperationalError, sqlite3.OperationalError):
        return _has_log(path)  # somebody writes: the disk is fine, and the log must be read
    except (DatabaseError, sqlite3.DatabaseError) as problem:
        raise explain(path, problem) from None
    finally:
        engine.dispose()


def _reading_engine(path: Path) -> Engine:
    """Open a read-only file, without locks. Writes fail with SQLite's error."""
    query = {"immutable": "1", "uri": "true"}
    return create_engine(URL.create("sqlite", database=path.absolute().as_uri(), query=query))


def _has_log(path: Path) -> bool:
    """Whether a write-ahead log holds changes: while somebody writes, or after a kill."""
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def _reading_mode(path: Path) -> str:
    """Reading a WAL file creates two files beside it unless it is opened as immutable, which is safe without a log."""
    return "mode=ro" if _has_log(path) else "immutable=1"


def _inspect(path: Path) -> str | None:
    """The revision of the file's tables, None if there are none yet. The file is not changed.

    Raises:
        NotADatabase, DatabaseDamaged, NewerSchema, DatabaseUnwritable: as `open_file`.
    """
    try:
        if not path.exists():
            return None
        if not path.is_file():
            what = "a folder" if path.is_dir() else "not a regular file"
            raise NotADatabase(f"cannot open the latency table {path}: it is {what}. Name a file with --db")
        if path.stat().st_size == 0:
            return None
        mode = _reading_mode(path)
    except OSError as problem:
        raise DatabaseUnwritable(
            f"cannot open the latency table {path}: {problem.strerror}. Name another file with --db"
        ) from None
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)
        try:
            return _revision(path, connection)
        finally:
            connection.close()
    except sqlite3.Error as problem:
        if getattr(problem, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise NotADatabase(f"{path} is not a latency table ({problem}). Name another file with --db") from None
        raise explain(path, problem) from None


def _revision(path: Path, connection: sqlite3.Connection) -> str | None:
    """The migration that made the tables.

    Raises:
        NotADatabase, DatabaseDamaged, NewerSchema: the tables are not ours, or of a newer nastool.
    """
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if application != APPLICATION_ID and (tables or application):
        raise NotADatabase(f"{path} is a database of another program. Name another file with --db")
    if version > SCHEMA_VERSION:
        raise newer_schema(str(path), version)
    if not tables:
        return None
    if VERSION_TABLE in tables:
        revisions = [str(name) for (name,) in connection.execute(f"SELECT version_num FROM {VERSION_TABLE}")]
        if len(revisions) == 1 and revisions[0] in map(revision_name, range(1, SCHEMA_VERSION + 1)):
            return revisions[0]
        if len(revisions) == 1 and revisions[0].isdecimal() and revisions[0] > CURRENT:
            raise newer_schema(str(path), int(revisions[0]))
    elif version == 1:
        return FIRST
    raise DatabaseDamaged(f"{path} is damaged: it does not name its schema. {RESTORE}")
