"""The database, opened in one place. ORM objects never leave this file and `queries.py`."""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from platform import node
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from latency_db import locks, queries
from latency_db.errors import LatencyDbError, UnknownTarget
from latency_db.postgres import explain as explain_server
from latency_db.postgres import open_server
from latency_db.records import Part, RecordedRun, Taken
from latency_db.schema import RecordRow, RunRow, SampleRow, TargetRow, new_uid, utc_now
from latency_db.sqlite import explain as explain_file
from latency_db.sqlite import open_file
from latency_db.table import LatencyTable, Row, Sample
from latency_db.target import Target
from latency_db.where import parse, without_password

KEYS_A_QUERY = 500  # both databases take some tens of thousands of values in one question, and no more


def open_store(where: str | Path) -> "Store":
    """The latency table at a path or behind a PostgreSQL URL, made if it isn't there.

    A file of an older schema is brought up to date; one on a read-only or full disk can still be read.

    Raises:
        NotADatabase, NewerSchema: the file is not ours, or of a newer nastool; it is left as it is.
        DatabaseUnwritable: it can't be made or brought up to date.
        DatabaseUnreachable: the server does not answer or let us in, or the URL can't be read.
    """
    place = parse(where)
    if isinstance(place, Path):
        return Store(str(place), open_file(place), partial(explain_file, place))
    return Store(without_password(place), open_server(place), partial(explain_server, place))


class Store:
    """Writes runs, reads tables. Close it, or use it in a `with`. `name` says where it is, without a password."""

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

    def begin_run(
        self,
        target: Target,
        space: str,
        space_digest: str,
        parts: Mapping[str, str],
        rounds: int,
        code_version: str,
        kind: str = "profile",
        origin: str = "",
        state: Mapping[str, Any] | None = None,
    ) -> int:
        """Note that `parts` (key -> graph hash) are to be measured `rounds` times; returns the run's id.

        `kind` is one of `schema.KINDS`; `origin` says where figures come from that are not measured here; `state` is
        the machine's, and looked up if it isn't given.
        """
        with self._session() as session:
            self._add_target(session, target)
            run = RunRow(
                uid=new_uid(),
                target_id=target.id,
                kind=kind,
                origin=origin,
                space=space,
                space_digest=space_digest,
                host=node(),
                code_version=code_version,
                conditions=dict(state or {}),
                planned_rounds=rounds,
            )
            session.add(run)
            session.flush()
            session.add_all(RecordRow(run_id=run.id, key=key, graph_hash=graph) for key, graph in parts.items())
            return run.id

    def add_round(self, run_id: int, number: int, samples: Mapping[str, Sample]) -> None:
        """Store one round of a run, from 0, in one transaction.

        A round that is there stays: two commands with the same work may have gone on with the same run.

        Raises:
            UnknownTarget: there is no such run; `prune` took it away.
        """
        with self._session() as session:
            self._locked_run(session, run_id)
            there = select(SampleRow.key).where(SampleRow.run_id == run_id, SampleRow.round == number)
            if session.scalars(there.limit(1)).first() is not None:
                return
            session.add_all(
                SampleRow(run_id=run_id, key=key, round=number, **queries.sample_columns(sample))
                for key, sample in samples.items()
            )

    def finish_run(self, run_id: int) -> None:
        """From now on the run's figures are read."""
        with self._session() as session:
            self._locked_run(session, run_id).finished_at = utc_now()

    def add_copy(self, run: RecordedRun, target: Target, parts: Sequence[Part]) -> bool:
        """Store a run of another database, as it is there; False, and nothing done, if it is here already."""
        with self._session() as session:
            self._add_target(session, target)
            values = {name: getattr(run, name) for name in queries.RUN_FIELDS if name != "id"}
            row = self._insert(RunRow).values(**values | {"conditions": dict(run.conditions)})
            added = session.execute(row.on_conflict_do_nothing(index_elements=["uid"]).returning(RunRow.id))
            run_id = added.scalar()
            if run_id is None:
                return False
            session.add_all(RecordRow(run_id=run_id, key=part.key, graph_hash=part.graph_hash) for part in parts)
            session.flush()
            for part in parts:
                session.add_all(
                    SampleRow(
                        run_id=run_id,
                        key=part.key,
                        round=t.round,
                        taken_at=t.taken_at,
                        **queries.sample_columns(t.sample),
                    )
                    for t in part.taken
                )
            return True

    def remove_runs(self, run_ids: Iterable[int]) -> None:
        """Take runs away with all that was measured in them, and the targets that are left without any."""
        with self._session() as session:
            for run_id in run_ids:
                self._locked_run(session, run_id)
                session.execute(delete(SampleRow).where(SampleRow.run_id == run_id))
                session.execute(delete(RecordRow).where(RecordRow.run_id == run_id))
                session.execute(delete(RunRow).where(RunRow.id == run_id))
            session.execute(delete(TargetRow).where(TargetRow.id.not_in(select(RunRow.target_id))))

    # Reading

    def unfinished_run(self, target: Target, parts: Mapping[str, str], rounds: int) -> int | None:
        """The newest run that was begun for just these parts and rounds on this target, and not finished."""
        with self._session(reading=True) as session:
            runs = select(RunRow.id).where(
                RunRow.target_id == target.id,
                RunRow.finished_at.is_(None),
                RunRow.planned_rounds == rounds,
            )
            for run_id in session.scalars(runs.order_by(RunRow.id.desc())):
                rows = session.scalars(select(RecordRow).where(RecordRow.run_id == run_id))
                if {row.key: row.graph_hash for row in rows} == dict(parts):
                    return run_id
        return None

    def rounds_done(self, run_id: int) -> int:
        """How many rounds of a run are stored; a round is stored as a whole."""
        with self._session(reading=True) as session:
            rounds = select(func.count(func.distinct(SampleRow.round))).where(SampleRow.run_id == run_id)
            return session.scalar(rounds) or 0

    def samples(self, run_id: int) -> dict[int, dict[str, Sample]]:
        """What is stored of a run: by round, then by part."""
        rounds: dict[int, dict[str, Sample]] = defaultdict(dict)
        with self._session(reading=True) as session:
            rows = select(SampleRow).where(SampleRow.run_id == run_id).order_by(SampleRow.round, SampleRow.key)
            for row in session.scalars(rows):
                rounds[row.round][row.key] = queries.sample_of(row)
        return dict(rounds)

    def table(self, target: Target, keys: Iterable[str]) -> LatencyTable:
        """The parts `keys` as far as they were measured on this target, each from its newest finished run.

        Of the others, the nearest target that has them is named.
        """
        wanted = sorted(set(keys))
        rows: dict[str, Row] = {}
        with self._session(reading=True) as session:
            for start in range(0, len(wanted), KEYS_A_QUERY):
                some = RecordRow.key.in_(wanted[start : start + KEYS_A_QUERY])
                rows |= queries.newest_rows(session, target, some)
            elsewhere = self._elsewhere(session, target, [key for key in wanted if key not in rows])
        return LatencyTable(target, rows, elsewhere)

    def networks(self, target: Target, prefix: str, without: str = "") -> tuple[Row, ...]:
        """The rows whose keys begin with `prefix`, each from its newest finished run: whole networks of a space.

        Runs of the kind `without` are left out.
        """
        with self._session(reading=True) as session:
            rows = queries.newest_rows(session, target, func.substr(RecordRow.key, 1, len(prefix)) == prefix, without)
        return tuple(rows[key] for key in sorted(rows))

    def targets(self) -> list[tuple[Target, int]]:
        """Every target with the number of its parts that were measured to the end."""
        with self._session(reading=True) as session:
            return [(queries.target_of(row), parts) for row, parts in session.execute(queries.targets_with_records())]

    def target(self, beginning: str) -> Target:
        """The target whose id begins so.

        Raises:
            UnknownTarget: there is none, or several.
        """
        with self._session(reading=True) as session:
            begins = func.substr(TargetRow.id, 1, len(beginning)) == beginning
            found = [
                queries.target_of(row)
                for row in session.scalars(select(TargetRow).where(begins).order_by(TargetRow.id))
            ]
        if len(found) == 1:
            return found[0]
        what = f"{len(found)} targets begin with" if found else "no target begins with"
        raise UnknownTarget(f"{what} {beginning!r} in {self.name}. Type nastool db list, which shows their ids")

    def runs(self, target: Target | None = None) -> tuple[RecordedRun, ...]:
        """All runs, or those of one target, in the order in which they were begun."""
        query = select(RunRow).order_by(RunRow.id)
        if target is not None:
            query = query.where(RunRow.target_id == target.id)
        with self._session(reading=True) as session:
            return tuple(queries.run_of(row) for row in session.scalars(query))

    def run(self, run_id: int) -> RecordedRun:
        """One run.

        Raises:
            UnknownTarget: there is none of that number.
        """
        with self._session(reading=True) as session:
            return queries.run_of(self._run_row(session, run_id))

    def parts(self, run_id: int) -> tuple[Part, ...]:
        """What one run measured, in full, by key."""
        taken: dict[str, list[Taken]] = defaultdict(list)
        with self._session(reading=True) as session:
            samples = select(SampleRow).where(SampleRow.run_id == run_id).order_by(SampleRow.key, SampleRow.round)
            for row in session.scalars(samples):
                taken[row.key].append(Taken(row.round, row.taken_at, queries.sample_of(row)))
            parts = session.scalars(select(RecordRow).where(RecordRow.run_id == run_id).order_by(RecordRow.key))
            return tuple(Part(part.key, part.graph_hash, tuple(taken[part.key])) for part in parts)

    def keys_by_run(self) -> dict[int, frozenset[str]]:
        """The parts of every run."""
        keys: dict[int, set[str]] = defaultdict(set)
        with self._session(reading=True) as session:
            for run_id in session.scalars(select(RunRow.id)):
                keys[run_id] = set()
            for run_id, key in session.execute(select(RecordRow.run_id, RecordRow.key)):
                keys[run_id].add(key)
        return {run_id: frozenset(found) for run_id, found in keys.items()}

    # The device

    @contextmanager
    def device_lock(
        self, device: str, waiting: Callable[[str], None], wait_s: float = locks.LONGEST_WAIT_S
    ) -> Iterator[None]:
        """Be the only one who measures on a device: on this machine, and for all that share a server.

        `device` names it everywhere (`Device.uid`). While another one measures, `waiting` is told who, once.

        Raises:
            DeviceBusy: it was not let go of in `wait_s` seconds.
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
        """Of each part, the target that has it and differs in the fewest fields; of the same device before others."""
        found: dict[str, list[Target]] = defaultdict(list)
        for start in range(0, len(keys), KEYS_A_QUERY):
            for key, row in session.execute(queries.targets_with(keys[start : start + KEYS_A_QUERY])):
                found[key].append(queries.target_of(row))
        return {key: min(targets, key=lambda other: _distance(target, other)) for key, targets in found.items()}

    def _add_target(self, session: Session, target: Target) -> None:
        row = self._insert(TargetRow).values(id=target.id, **target.as_dict())
        session.execute(row.on_conflict_do_nothing(index_elements=["id"]))

    def _insert(self, table: type[Any]) -> Any:
        """An INSERT that can do nothing where the row is there: two may begin their first runs at the same time."""
        return (postgresql if self._engine.dialect.name == "postgresql" else sqlite).insert(table)

    def _locked_run(self, session: Session, run_id: int) -> RunRow:
        """On a server, others who write to the same run wait here; SQLite has one writer at a time anyway."""
        return self._run_row(session, run_id, lock=True)

    def _run_row(self, session: Session, run_id: int, lock: bool = False) -> RunRow:
        row = session.get(RunRow, run_id, with_for_update=lock or None)
        if row is None:
            raise UnknownTarget(f"there is no run {run_id} in {self.name}. Type nastool db list, which shows them")
        return row

    @contextmanager
    def _session(self, reading: bool = False) -> Iterator[Session]:
        """One transaction; a failure of the disk or server becomes an error that says what to do.

        Several questions of one reading see the same state: SQLite's transactions do so by themselves.
        """
        try:
            with Session(self._engine) as session, session.begin():
                if reading and self._engine.dialect.name == "postgresql":
                    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
                yield session
        except IntegrityError:
            raise  # a mistake of ours, and no matter of the disk
        except (DBAPIError, sqlite3.DatabaseError) as problem:  # a new connection's PRAGMAs come unwrapped
            raise self._explain(problem) from None


def _distance(one: Target, other: Target) -> tuple[bool, int, str]:
    return one.device_model != other.device_model, len(one.differences(other)), other.id
