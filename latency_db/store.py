"""The store: opens the database, writes runs, reads tables. ORM objects never leave this file and `queries.py`."""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from platform import node
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Engine, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.orm import InstrumentedAttribute, Session

from latency_db import locks, queries
from latency_db.errors import LatencyDbError, UnknownTarget
from latency_db.fields import first_problem
from latency_db.postgres import explain as explain_server
from latency_db.postgres import open_server
from latency_db.runs import NewRun, ProfileRun, RunRecord, RunSamples, TimedSample
from latency_db.schema import RecordRow, RunRow, SampleRow, TargetRow, new_uid, utc_now
from latency_db.sqlite import explain as explain_file
from latency_db.sqlite import open_file
from latency_db.summaries import newest_records, records_of
from latency_db.table import LatencyTable, Record, Sample
from latency_db.target import Target
from latency_db.where import parse, without_password

KEYS_PER_QUERY = 500  # both databases limit the number of values in one query to some tens of thousands

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
            self._add_target(session, target)
            run = RunRow(
                uid=new_uid(),
                target_id=target.id,
                kind=new.kind,
                origin=new.origin,
                space=new.space,
                space_digest=new.space_digest,
                host=node(),
                code_version=new.code_version,
                conditions=dict(new.conditions),
                planned_rounds=new.rounds,
            )
            session.add(run)
            session.flush()
            session.add_all(RecordRow(run_id=run.id, key=key, graph_hash=graph) for key, graph in graph_hashes.items())
            return run.id

    def add_round(self, run_id: int, number: int, samples: Mapping[str, Sample]) -> None:
        """Store one round of a run, from 0, in one transaction.

        A round that is stored already stays: two commands may have resumed the same run.

        Raises:
            UnknownTarget: there is no such run; `prune` removed it.
        """
        with self._session() as session:
            self._locked_run(session, run_id)
            stored = select(SampleRow.key).where(SampleRow.run_id == run_id, SampleRow.round == number)
            if session.scalars(stored.limit(1)).first() is not None:
                return
            session.add_all(
                SampleRow(run_id=run_id, key=key, round=number, **queries.sample_columns(sample))
                for key, sample in samples.items()
            )

    def finish_run(self, run_id: int) -> None:
        """Mark a run as complete; tables contain finished runs only."""
        with self._session() as session:
            self._locked_run(session, run_id).finished_at = utc_now()

    def add_copy(self, run: ProfileRun, target: Target, records: Sequence[RunRecord]) -> bool:
        """Store a run of another database unchanged; returns False if it is stored already."""
        with self._session() as session:
            self._add_target(session, target)
            values = {name: getattr(run, name) for name in queries.RUN_FIELDS if name != "id"}
            row = self._insert(RunRow).values(**values | {"conditions": dict(run.conditions)})
            added = session.execute(row.on_conflict_do_nothing(index_elements=["uid"]).returning(RunRow.id))
            run_id = added.scalar()
            if run_id is None:
                return False
            session.add_all(RecordRow(run_id=run_id, key=r.key, graph_hash=r.graph_hash) for r in records)
            session.flush()
            session.add_all(
                SampleRow(
                    run_id=run_id,
                    key=record.key,
                    round=timed.round,
                    taken_at=timed.taken_at,
                    **queries.sample_columns(timed.sample),
                )
                for record in records
                for timed in record.samples
            )
            return True

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

    def table(self, target: Target, keys: Iterable[str]) -> LatencyTable:
        """The records of these keys on this target, each from its newest finished run.

        A key without a record is paired with the nearest target that has one, for error messages.
        """
        names = sorted(set(keys))
        with self._session(reading=True) as session:
            runs = _finished_samples(session, target, names)
            present = {key for run in runs for key in run.samples}
            elsewhere = self._elsewhere(session, target, [key for key in names if key not in present])
        return LatencyTable(target, newest_records(runs, target), elsewhere)

    def networks(self, target: Target, prefix: str, without: str = "") -> tuple[Record, ...]:
        """The records whose keys begin with `prefix`, by key, each from its newest finished run.

        Args:
            without: a kind of run that is left out.
        """
        with self._session(reading=True) as session:
            runs = queries.finished_samples(session, target, _begins(RecordRow.key, prefix), without)
        records = newest_records(runs, target)
        return tuple(records[key] for key in sorted(records))

    def history(self, target: Target, keys: Iterable[str]) -> dict[str, tuple[Record, ...]]:
        """All finished records of these keys on this target, oldest first, each with its run and anchor time."""
        names = sorted(set(keys))
        with self._session(reading=True) as session:
            runs = _finished_samples(session, target, names, newest_only=False)
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
            rows = select(TargetRow).where(_begins(TargetRow.id, beginning)).order_by(TargetRow.id)
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
        self, device: str, waiting: Callable[[str], None], wait_s: float = locks.LONGEST_WAIT_S
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

    def _elsewhere(self, session: Session, target: Target, keys: Sequence[str]) -> dict[str, Target]:
        """For each key the target that has it and differs in the fewest fields, those of the same device first."""
        targets: dict[str, list[Target]] = defaultdict(list)
        for chunk in _chunks(keys):
            for key, row in session.execute(queries.targets_with(chunk)):
                targets[key].append(queries.target_of(row))
        return {key: min(of_key, key=lambda other: _distance(target, other)) for key, of_key in targets.items()}

    def _add_target(self, session: Session, target: Target) -> None:
        row = self._insert(TargetRow).values(id=target.id, **target.as_dict())
        session.execute(row.on_conflict_do_nothing(index_elements=["id"]))

    def _insert(self, table: type[Any]) -> Any:
        """An INSERT that can skip existing rows: two commands may begin their first runs at the same time."""
        return (postgresql if self._engine.dialect.name == "postgresql" else sqlite).insert(table)

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


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys in pieces that fit into one query."""
    for start in range(0, len(keys), KEYS_PER_QUERY):
        yield keys[start : start + KEYS_PER_QUERY]


def _finished_samples(
    session: Session, target: Target, keys: Sequence[str], newest_only: bool = True
) -> list[RunSamples]:
    """`queries.finished_samples` of any number of keys."""
    return [
        run
        for chunk in _chunks(keys)
        for run in queries.finished_samples(session, target, RecordRow.key.in_(chunk), newest_only=newest_only)
    ]


def _begins(column: InstrumentedAttribute[str], prefix: str) -> ColumnElement[bool]:
    return func.substr(column, 1, len(prefix)) == prefix


def _distance(one: Target, other: Target) -> tuple[bool, int, str]:
    return one.device_model != other.device_model, len(one.differences(other)), other.id
