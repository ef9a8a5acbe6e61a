"""The store: opens the database, writes runs, reads tables.

ORM objects never leave this file, `queries.py` and `inserts.py`.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError
from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.orm import Session

from latency_db import inserts, locks, queries
from latency_db.errors import LatencyDbError, UnknownTarget
from latency_db.fields import first_problem
from latency_db.postgres import explain as explain_server
from latency_db.postgres import open_server
from latency_db.runs import NewRun, ProfileRun, RunRecord, TimedSample
from latency_db.schema import RecordRow, RunRow, SampleRow, TargetRow, utc_now
from latency_db.sqlite import explain as explain_file
from latency_db.sqlite import open_file
from latency_db.summaries import newest_records, records_of
from latency_db.table import LatencyTable, Record, Sample
from latency_db.target import Target
from latency_db.where import parse, without_password

# Raised for a stored value that cannot be read: a wrong type, broken or deeply nested JSON.
UNREADABLE = (ValueError, TypeError, RecursionError, StatementError)


def open_store(where: str | Path) -> "Store":
    """The latency table in a file or behind a PostgreSQL URL, created if there is none.

    A file of an older schema is upgraded; one on a read-only or full disk can still be read.

    Raises:
        BadAddress: `where` is neither a file name nor a URL.
        NotADatabase, DatabaseDamaged, NewerSchema: the file is not a table that this nastool can use; it is unchanged.
        DatabaseUnwritable: it cannot be created or upgraded.
        DatabaseUnreachable: the server does not answer or refuses access.
    """
    place = parse(where)
    if isinstance(place, Path):
        return Store(str(place), open_file(place), partial(explain_file, place))
    return Store(without_password(place), open_server(place), partial(explain_server, place))


class Store:
    """Writes runs and reads tables. Use it in a `with`, or close it. `name` is its place without a password."""

    def __init__(self, name: str, engine: Engine, explain: Callable[[BaseException], LatencyDbError]) -> None:
        self.name = name
        self._engine = engine
        self._explain = explain

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._engine.dispose()

    # Writing

    def begin_run(self, target: Target, graph_hashes: Mapping[str, str], new: NewRun) -> int:
        """Create a run; returns its id.

        Args:
            graph_hashes: the hash of each record's graph, by key.
        """
        with self._session() as session:
            return inserts.add_run(session, target, graph_hashes, new)

    def add_round(self, run_id: int, number: int, samples: Mapping[str, Sample]) -> None:
        """Store one round of a run, from 0, in one transaction.

        A round that is stored already stays: two commands may have resumed the same run.

        Raises:
            UnknownTarget: there is no such run; `prune` removed it.
        """
        with self._session() as session:
            self._locked_run(session, run_id)
            inserts.add_samples(session, run_id, number, samples)

    def finish_run(self, run_id: int) -> None:
        """Mark a run as complete; tables contain finished runs only."""
        with self._session() as session:
            self._locked_run(session, run_id).finished_at = utc_now()

    def add_copy(self, run: ProfileRun, target: Target, records: Sequence[RunRecord]) -> bool:
        """Store a run of another database unchanged; returns False if it is stored already."""
        with self._session() as session:
            return inserts.add_copy(session, run, target, records)

    def remove_runs(self, run_ids: Iterable[int]) -> None:
        """Remove runs with their samples, and targets without any run."""
        with self._session() as session:
            for run_id in run_ids:
                self._locked_run(session, run_id)
                session.execute(delete(SampleRow).where(SampleRow.run_id == run_id))
                session.execute(delete(RecordRow).where(RecordRow.run_id == run_id))
                session.execute(delete(RunRow).where(RunRow.id == run_id))
            session.execute(delete(TargetRow).where(TargetRow.id.not_in(select(RunRow.target_id))))

    # Reading

    def unfinished_run(self, target: Target, graph_hashes: Mapping[str, str], rounds: int) -> int | None:
        """The newest unfinished run of exactly these records and rounds on this target, if any."""
        with self._session(reading=True) as session:
            runs = select(RunRow.id).where(
                RunRow.target_id == target.id,
                RunRow.finished_at.is_(None),
                RunRow.planned_rounds == rounds,
            )
            for run_id in session.scalars(runs.order_by(RunRow.id.desc())):
                rows = session.scalars(select(RecordRow).where(RecordRow.run_id == run_id))
                if {row.key: row.graph_hash for row in rows} == dict(graph_hashes):
                    return run_id
        return None

    def samples(self, run_id: int) -> dict[int, dict[str, Sample]]:
        """The stored samples of a run, by round and key.

        Raises:
            DatabaseDamaged: a round is missing before the last one.
        """
        rounds: dict[int, dict[str, Sample]] = defaultdict(dict)
        with self._session(reading=True) as session:
            rows = select(SampleRow).where(SampleRow.run_id == run_id).order_by(SampleRow.round, SampleRow.key)
            for row in session.scalars(rows):
                rounds[row.round][row.key] = queries.sample_of(row)
            if list(rounds) != list(range(len(rounds))):
                raise ValueError(f"rounds of run {run_id} are missing")
        return dict(rounds)

    def table(self, target: Target, keys: Iterable[str], among: Collection[str] | None = None) -> LatencyTable:
        """The records of these keys on this target, each from its newest finished run.

        A key without a record is paired with the nearest target that has one, for error messages.

        Args:
            among: uids of the runs to read; default: all.
        """
        names = sorted(set(keys))
        with self._session(reading=True) as session:
            runs = queries.finished_samples_of(session, target, names, queries.RunChoice(among=among))
            present = {key for run in runs for key in run.samples}
            elsewhere = queries.elsewhere(session, target, [key for key in names if key not in present])
        return LatencyTable(target, newest_records(runs, target), elsewhere)

    def networks(
        self, target: Target, prefix: str, without: str = "", among: Collection[str] | None = None
    ) -> tuple[Record, ...]:
        """The records whose keys begin with `prefix`, by key, each from its newest finished run.

        Args:
            without: a kind of run that is left out.
            among: as in `table`.
        """
        choice = queries.RunChoice(without, among=among)
        with self._session(reading=True) as session:
            runs = queries.finished_samples(session, target, queries.begins(RecordRow.key, prefix), choice)
        records = newest_records(runs, target)
        return tuple(records[key] for key in sorted(records))

    def history(
        self, target: Target, keys: Iterable[str], among: Collection[str] | None = None
    ) -> dict[str, tuple[Record, ...]]:
        """All finished records of these keys on this target, oldest first, each with its run and anchor time.

        Args:
            among: as in `table`.
        """
        names = sorted(set(keys))
        with self._session(reading=True) as session:
            choice = queries.RunChoice(newest_only=False, among=among)
            runs = queries.finished_samples_of(session, target, names, choice)
            rows = session.scalars(select(RunRow).where(RunRow.target_id == target.id))
            order = {row.id: queries.run_of(row).precedence for row in rows}
        records: dict[str, list[Record]] = defaultdict(list)
        for run in sorted(runs, key=lambda run: order[run.run_id]):
            for key, record in records_of(run, target).items():
                records[key].append(record)
        return {key: tuple(of_key) for key, of_key in records.items()}

    def targets(self) -> list[tuple[Target, int]]:
        """Every target with its number of finished records."""
        with self._session(reading=True) as session:
            return [(queries.target_of(row), count) for row, count in session.execute(queries.targets_with_records())]

    def target(self, beginning: str) -> Target:
        """The target whose id begins with `beginning`.

        Raises:
            UnknownTarget: there is none, or several.
        """
        with self._session(reading=True) as session:
            rows = select(TargetRow).where(queries.begins(TargetRow.id, beginning)).order_by(TargetRow.id)
            targets = [queries.target_of(row) for row in session.scalars(rows)]
        if len(targets) == 1:
            return targets[0]
        count = f"{len(targets)} targets begin with" if targets else "no target begins with"
        raise UnknownTarget(f"{count} {beginning!r} in {self.name}. Run nastool db list to see the ids of all targets")

    def runs(self, target: Target | None = None) -> tuple[ProfileRun, ...]:
        """All runs, or those of one target, in the order in which they were inserted."""
        query = select(RunRow).order_by(RunRow.id)
        if target is not None:
            query = query.where(RunRow.target_id == target.id)
        with self._session(reading=True) as session:
            return tuple(queries.run_of(row) for row in session.scalars(query))

    def run(self, run_id: int) -> ProfileRun:
        """One run.

        Raises:
            UnknownTarget: there is none with this id.
        """
        with self._session(reading=True) as session:
            return queries.run_of(self._run_row(session, run_id))

    def records(self, run_id: int) -> tuple[RunRecord, ...]:
        """The records of one run with their raw samples, by key."""
        samples: dict[str, list[TimedSample]] = defaultdict(list)
        with self._session(reading=True) as session:
            rows = select(SampleRow).where(SampleRow.run_id == run_id).order_by(SampleRow.key, SampleRow.round)
            for row in session.scalars(rows):
                samples[row.key].append(queries.timed_sample_of(row))
            records = session.scalars(select(RecordRow).where(RecordRow.run_id == run_id).order_by(RecordRow.key))
            return tuple(RunRecord(record.key, record.graph_hash, tuple(samples[record.key])) for record in records)

    def keys_by_run(self) -> dict[int, frozenset[str]]:
        """The keys of the records of every run."""
        keys: dict[int, set[str]] = defaultdict(set)
        with self._session(reading=True) as session:
            for run_id in session.scalars(select(RunRow.id)):
                keys[run_id] = set()
            for run_id, key in session.execute(select(RecordRow.run_id, RecordRow.key)):
                keys[run_id].add(key)
        return {run_id: frozenset(of_run) for run_id, of_run in keys.items()}

    # The device

    @contextmanager
    def device_lock(
        self, device: str, waiting: Callable[[str], None], wait_s: float = locks.MAX_WAIT_S
    ) -> Iterator[None]:
        """Hold the lock of a device, on this machine and for all commands that share the server.

        Args:
            device: its name on every machine (`Device.uid`).
            waiting: is called with the holder's name while another command holds the lock.

        Raises:
            DeviceBusy: another command held it for `wait_s` seconds.
        """
        with ExitStack() as held:
            held.enter_context(locks.on_this_machine(device, waiting, wait_s))
            if self._engine.dialect.name == "postgresql":
                try:
                    held.enter_context(locks.on_the_server(self._engine, device, waiting, wait_s))
                except DBAPIError as problem:
                    raise self._explain(problem) from None
            yield

    # Inside

    def _locked_run(self, session: Session, run_id: int) -> RunRow:
        """On a server, other writers to the same run wait here; SQLite has one writer at a time anyway."""
        return self._run_row(session, run_id, lock=True)

    def _run_row(self, session: Session, run_id: int, lock: bool = False) -> RunRow:
        row = session.get(RunRow, run_id, with_for_update=lock or None)
        if row is None:
            raise UnknownTarget(f"there is no run {run_id} in {self.name}. Run nastool db list to see all runs")
        return row

    @contextmanager
    def _session(self, reading: bool = False) -> Iterator[Session]:
        """One transaction. Failures of the disk or server, and values that cannot be read, become `LatencyDbError`s.

        All queries of one reading session see the same state; SQLite's transactions guarantee it by themselves.
        """
        try:
            with Session(self._engine) as session, session.begin():
                if reading and self._engine.dialect.name == "postgresql":
                    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
                yield session
        except ValidationError as problem:
            raise self._explain(ValueError(first_problem(problem))) from None
        except (*UNREADABLE, DBAPIError, sqlite3.DatabaseError) as problem:  # PRAGMAs raise the driver's own errors
            raise self._explain(problem) from None
