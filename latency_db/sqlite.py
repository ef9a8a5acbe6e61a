"""A latency table in an SQLite file: which files are ours, how they are opened, and what their errors mean."""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError

from latency_db.errors import DatabaseUnwritable, LatencyDbError, NotADatabase
from latency_db.migrate import VERSION_TABLE, newer_schema, revision_name, upgrade
from latency_db.schema import APPLICATION_ID, SCHEMA_VERSION

BUSY_TIMEOUT_S = 60
FIRST = revision_name(1)  # the schema that was made before there were migrations
TODAY = revision_name(SCHEMA_VERSION)


def open_file(path: Path) -> Engine:
    """An engine for the table at `path`, made or brought up to date where it must be.

    A file of today's schema stays byte for byte as it is until something is written, and one on a read-only or
    full disk can still be read.

    Raises:
        NotADatabase, NewerSchema: the file is not ours, or of a newer nastool; it is left as it is.
        DatabaseUnwritable: it can't be made, or it is old and can't be brought up to date.
    """
    found = _looked_into(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise _unwritable(path, problem) from None
    if found is not None and not _takes_a_lock(path):
        if found != TODAY:
            raise DatabaseUnwritable(
                f"{path} was written by an older nastool, and can't be brought up to date: the file or its folder is "
                f"read-only, or the disk is full. Make them writable, or copy the file and name the copy with --db"
            )
        return _reading_engine(path)
    if found != TODAY:
        _bring_up_to_date(path)
    return _engine(path)


def explain(path: Path, problem: BaseException) -> LatencyDbError:
    """What a failure of SQLite means, and what to do."""
    reason = getattr(problem, "orig", None) or problem
    if isinstance(reason, sqlite3.OperationalError):
        return _unwritable(path, reason)
    return NotADatabase(f"{path} is damaged ({reason}). Put a copy back, or remove it and type nastool profile")


def _bring_up_to_date(path: Path) -> None:
    """Make the tables or change them, in one transaction: killed in the middle, the file is as it was."""
    engine = _engine(path, foreign_keys=False)  # a target gets a new id before its runs do
    try:
        with engine.begin() as connection:  # waits here for others who do the same
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            stands_at = _standing(path, driver)
            if stands_at == TODAY:
                return
            upgrade(connection, stands_at)
            if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                raise NotADatabase(f"{path} is damaged: some of its rows belong to no run. Put a copy back")
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
    except (DatabaseError, sqlite3.DatabaseError) as problem:
        raise explain(path, problem) from None
    finally:
        engine.dispose()


def _engine(path: Path, foreign_keys: bool = True) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come too late and too weak
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # A transaction that reads first and then writes fails at once when another one writes in between;
        # one that asks to write from the start waits for its turn.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _takes_a_lock(path: Path) -> bool:
    """Whether SQLite can make the files beside `path` by which readers and writers know of each other."""
    engine = _engine(path)
    try:
        with engine.begin():
            return True
    except (OperationalError, sqlite3.OperationalError):
        return _has_log(path)  # somebody writes: it is no matter of the disk, and must not be read past them
    finally:
        engine.dispose()


def _reading_engine(path: Path) -> Engine:
    """For a file that nobody can write: without locks. Whoever writes all the same gets SQLite's refusal."""
    query = {"immutable": "1", "uri": "true"}
    return create_engine(URL.create("sqlite", database=path.absolute().as_uri(), query=query))


def _has_log(path: Path) -> bool:
    """Whether a write-ahead log holds more than the file: while somebody writes, or after a kill."""
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def _looked_into(path: Path) -> str | None:
    """The migration that the file stands at, None for one to be made; not a byte of it is changed.

    Raises:
        NotADatabase, NewerSchema, DatabaseUnwritable: as `open_file`.
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    # A reader of a WAL file leaves two files beside it, unless it is told that nobody writes. Nobody has written
    # more than the file holds where there is no log.
    mode = "mode=ro" if _has_log(path) else "immutable=1"
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)
        try:
            return _standing(path, connection)
        finally:
            connection.close()
    except sqlite3.OperationalError as problem:
        raise _unwritable(path, problem) from None
    except sqlite3.DatabaseError as problem:
        if problem.sqlite_errorcode == sqlite3.SQLITE_CORRUPT:  # it is a database, and might be ours
            raise explain(path, problem) from None
        raise NotADatabase(f"{path} is no latency table ({problem}). Name another file with --db") from None


def _standing(path: Path, connection: sqlite3.Connection) -> str | None:
    """The migration that made the tables.

    Raises:
        NotADatabase, NewerSchema: the tables are not ours, or of a newer nastool.
    """
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if application != APPLICATION_ID and (tables or application):
        raise NotADatabase(f"{path} is another program's database. Name another file with --db")
    if version > SCHEMA_VERSION:
        raise newer_schema(str(path), version)
    if not tables:
        return None
    if VERSION_TABLE in tables:
        found: list[str] = [name for (name,) in connection.execute(f"SELECT version_num FROM {VERSION_TABLE}")]
        if len(found) == 1 and FIRST <= found[0] <= TODAY:
            return found[0]
        if len(found) == 1 and found[0].isdigit():
            raise newer_schema(str(path), int(found[0]))
    elif version == 1:
        return FIRST
    raise NotADatabase(f"{path} is damaged: it does not say which schema it has. Put a copy back, or remove it")


def _unwritable(path: Path, problem: BaseException) -> DatabaseUnwritable:
    reason = getattr(problem, "strerror", None) or problem
    return DatabaseUnwritable(
        f"can't write the latency table {path}: {reason}. Free some space or make the folder writable, "
        f"or name another file with --db"
    )
