"""The database, opened in one place. ORM objects never leave this file."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from platform import node
from types import TracebackType
from typing import Any, Self

from sqlalchemy import URL, Engine, create_engine, event, func, select
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import Session

from latency_db.context import Context
from latency_db.errors import DatabaseUnwritable, NewerSchema, NotADatabase
from latency_db.schema import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    Base,
    ContextRow,
    PartRow,
    ProfileRun,
    SampleRow,
    utc_now,
)
from latency_db.table import LatencyTable, Row, Sample, summarise

BUSY_TIMEOUT_S = 60


def open_store(path: Path) -> "Store":
    """The latency table at `path`, made if it isn't there. One on a read-only or full disk can still be read.

    Raises:
        NotADatabase, NewerSchema: the file is not ours, or of a newer nastool; it is left as it is.
        DatabaseUnwritable: it can't be made.
    """
    complete = _is_ours(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise _unwritable(path, problem) from None
    if complete and not _takes_a_lock(path):
        return Store(path, _reading_engine(path))
    store = Store(path, _engine(path))
    if not complete:  # a table that is only read stays byte for byte as it is
        store.create_tables()
    return store


class Store:
    """Writes runs, reads tables. Close it, or use it in a `with`."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self._path = path
        self._engine = engine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._engine.dispose()

    def create_tables(self) -> None:
        """Make the tables of schema 1 where there are none."""
        with self._session() as session:
            connection = session.connection()
            Base.metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")

    def begin_run(
        self,
        context: Context,
        space: str,
        space_digest: str,
        parts: Mapping[str, str],
        rounds: int,
        code_version: str,
    ) -> int:
        """Note that `parts` (key -> graph hash) are to be measured `rounds` times; returns the run's id."""
        with self._session() as session:
            if session.get(ContextRow, context.id) is None:
                session.add(ContextRow(id=context.id, **context.as_dict()))
            run = ProfileRun(
                context_id=context.id,
                space=space,
                space_digest=space_digest,
                host=node(),
                code_version=code_version,
                planned_rounds=rounds,
            )
            session.add(run)
            session.flush()
            session.add_all(PartRow(run_id=run.id, key=key, graph_hash=graph) for key, graph in parts.items())
            return run.id

    def unfinished_run(self, context: Context, parts: Mapping[str, str], rounds: int) -> int | None:
        """The newest run that was begun for just these parts and rounds on this stack, and not finished."""
        with self._session() as session:
            runs = select(ProfileRun.id).where(
                ProfileRun.context_id == context.id,
                ProfileRun.finished_at.is_(None),
                ProfileRun.planned_rounds == rounds,
            )
            for run_id in session.scalars(runs.order_by(ProfileRun.id.desc())):
                rows = session.scalars(select(PartRow).where(PartRow.run_id == run_id))
                if {row.key: row.graph_hash for row in rows} == dict(parts):
                    return run_id
        return None

    def rounds_done(self, run_id: int) -> int:
        """How many rounds of a run are stored; a round is stored as a whole."""
        with self._session() as session:
            rounds = select(func.count(func.distinct(SampleRow.round))).where(SampleRow.run_id == run_id)
            return session.scalar(rounds) or 0

    def samples(self, run_id: int) -> dict[int, dict[str, Sample]]:
        """What is stored of a run: by round, then by part."""
        rounds: dict[int, dict[str, Sample]] = defaultdict(dict)
        with self._session() as session:
            rows = select(SampleRow).where(SampleRow.run_id == run_id).order_by(SampleRow.round, SampleRow.key)
            for row in session.scalars(rows):
                rounds[row.round][row.key] = _sample(row)
        return dict(rounds)

    def add_round(self, run_id: int, number: int, samples: Mapping[str, Sample]) -> None:
        """Store one round of a run, from 0, in one transaction.

        A round that is there stays: two commands with the same work may have gone on with the same run.
        """
        with self._session() as session:
            there = select(SampleRow.key).where(SampleRow.run_id == run_id, SampleRow.round == number)
            if session.scalars(there.limit(1)).first() is not None:
                return
            session.add_all(
                SampleRow(run_id=run_id, key=key, round=number, **vars(sample)) for key, sample in samples.items()
            )

    def finish_run(self, run_id: int) -> None:
        """From now on the run's figures are read."""
        with self._session() as session:
            session.get_one(ProfileRun, run_id).finished_at = utc_now()

    def table(self, context: Context, keys: Iterable[str]) -> LatencyTable:
        """The parts `keys` as far as they were measured on this stack, each from its newest finished run."""
        wanted = set(keys)
        newest: dict[str, PartRow] = {}
        samples: dict[tuple[int, str], list[Sample]] = defaultdict(list)
        finished = (
            select(ProfileRun.id)
            .where(ProfileRun.context_id == context.id, ProfileRun.finished_at.is_not(None))
            .order_by(ProfileRun.id)
        )
        with self._session() as session:
            run_ids = session.scalars(finished).all()
            for part in session.scalars(select(PartRow).where(PartRow.run_id.in_(run_ids)).order_by(PartRow.run_id)):
                if part.key in wanted:
                    newest[part.key] = part
            for row in session.scalars(select(SampleRow).where(SampleRow.run_id.in_(run_ids))):
                samples[row.run_id, row.key].append(_sample(row))
            rows = {}
            for key, part in newest.items():
                summary = summarise(samples[part.run_id, key], context.threads, context.device_kind)
                rows[key] = Row(key, summary, part.graph_hash, part.run_id)
        return LatencyTable(context, rows)

    def contexts(self) -> list[tuple[Context, int]]:
        """Every stack with the number of its parts that were measured to the end."""
        with self._session() as session:
            found = []
            for row in session.scalars(select(ContextRow).order_by(ContextRow.created_at)):
                measured = (
                    select(func.count(func.distinct(PartRow.key)))
                    .join(ProfileRun, ProfileRun.id == PartRow.run_id)
                    .where(ProfileRun.context_id == row.id, ProfileRun.finished_at.is_not(None))
                )
                values = {name: getattr(row, name) for name in Context.__dataclass_fields__}
                found.append((Context.from_dict(values), session.scalar(measured) or 0))
            return found

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """One transaction; a failure of the disk becomes an error that says what to do."""
        try:
            with Session(self._engine) as session, session.begin():
                yield session
        except OperationalError as problem:
            raise _unwritable(self._path, problem.orig or problem) from None
        except sqlite3.OperationalError as problem:  # from the PRAGMAs of a new connection, which come unwrapped
            raise _unwritable(self._path, problem) from None
        except DatabaseError as problem:
            raise NotADatabase(
                f"{self._path} is damaged ({problem.orig}). Put a copy back, or remove it and type nastool profile"
            ) from None


def _engine(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come too late and too weak
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")

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


def _is_ours(path: Path) -> bool:
    """Whether `path` has our tables; looks into an existing file without changing a byte of it.

    Raises:
        NotADatabase, NewerSchema, DatabaseUnwritable: as `open_store`.
    """
    if not path.exists() or path.stat().st_size == 0:
        return False
    # A reader of a WAL file leaves two files beside it, unless it is told that nobody writes. Nobody has written
    # more than the file holds where there is no log.
    mode = "mode=ro" if _has_log(path) else "immutable=1"
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)
        try:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.OperationalError as problem:
        raise _unwritable(path, problem) from None
    except sqlite3.DatabaseError as problem:
        raise NotADatabase(f"{path} is no latency table ({problem}). Name another file with --db") from None
    if application != APPLICATION_ID and (tables or application):
        raise NotADatabase(f"{path} is another program's database. Name another file with --db")
    if version > SCHEMA_VERSION:
        raise NewerSchema(
            f"{path} has schema {version}, and this nastool knows up to {SCHEMA_VERSION}. "
            f"Type pip install --upgrade nastool, or name another file with --db"
        )
    return bool(application == APPLICATION_ID and version == SCHEMA_VERSION)


def _sample(row: SampleRow) -> Sample:
    return Sample(
        row.calls,
        row.wall_ms_min,
        row.wall_ms_median,
        row.busy_ms_min,
        row.busy_ms_median,
        tuple(row.raw_ms),
        row.disturbed,
        row.reference_ms,
    )


def _unwritable(path: Path, problem: BaseException) -> DatabaseUnwritable:
    reason = getattr(problem, "strerror", None) or problem
    return DatabaseUnwritable(
        f"can't write the latency table {path}: {reason}. Free some space or make the folder writable, "
        f"or name another file with --db"
    )
