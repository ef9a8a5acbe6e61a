"""Tables of an older nastool are upgraded to the current schema in one transaction, or stay unchanged.

assets/schema_1.sqlite and schema_3.sqlite were written by nastool before the schema changed (schema 3: commit 04b878e).
Each has one target with a finished run of two records in two rounds, and one with an unfinished run.
"""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, create_engine, text

from latency_db.errors import DatabaseDamaged, DatabaseUnwritable, NewerSchema, NotADatabase
from latency_db.migrate import SCRIPTS, VERSION_TABLE, revision_name, upgrade
from latency_db.schema import APPLICATION_ID, SCHEMA_VERSION, Base
from latency_db.store import open_store
from latency_db.target import Target

SCHEMA_1 = Path(__file__).parent / "assets" / "schema_1.sqlite"
SCHEMA_3 = Path(__file__).parent / "assets" / "schema_3.sqlite"
STEM, HEAD = "shufflenet_v2/stem:1x28px->16k3s2->16", "shufflenet_v2/head:96x4px->128->10"
OLD = Target(
    device_model="Some CPU @ 2 GHz",
    device_cores=2,
    backend="onnxruntime",
    backend_version="1.31.1",
    provider="CPUExecutionProvider",
    precision="fp32",
    batch=32,
    threads=1,
    affinity="0,1",
    os="Linux-6.1-x86_64",
    exporter="torch 2.14.1 dynamo",
    protocol_version=1,
    device_kind="cpu",
    capability="",
    driver="",
    compute_precision="fp32",
    clocks="",
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copy(SCHEMA_1, tmp_path / "latency.sqlite"))


def pragmas(path: Path) -> tuple[int, int]:
    connection = sqlite3.connect(path)
    result = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    connection.close()
    return result[0], result[1]


def test_assets_have_their_schemas() -> None:
    assert pragmas(SCHEMA_1) == (APPLICATION_ID, 1)
    assert pragmas(SCHEMA_3) == (APPLICATION_ID, 3)


def test_old_file_keeps_its_targets_and_latencies(old: Path) -> None:
    for _ in range(2):  # upgraded, then opened
        with open_store(old) as store:
            assert set(store.targets()) == {(OLD, 2), (replace(OLD, batch=8), 0)}
            records = store.table(OLD, [STEM, HEAD]).records
            first, second = store.runs()
        assert {key: record.summary.latency_ms for key, record in records.items()} == {STEM: 0.25, HEAD: 1.25}
        assert records[STEM].summary.n == 2
        assert [(run.kind, run.origin, run.finished_at is None) for run in (first, second)] == [
            ("profile", "", False),
            ("profile", "", True),
        ]
        assert pragmas(old) == (APPLICATION_ID, SCHEMA_VERSION)
    assert store.name == str(old)


def test_schema_3_keeps_its_samples(tmp_path: Path) -> None:
    """Anchor times of 0 become unknown; noise reasons and places stay."""
    path = Path(shutil.copy(SCHEMA_3, tmp_path / "latency.sqlite"))
    target = replace(OLD, protocol_version=2, clocks="governor performance, turbo on")
    with open_store(path) as store:
        assert set(store.targets()) == {(target, 2), (replace(target, batch=8), 0)}
        head, stem = store.networks(target, "")
        assert (head.summary.latency_ms, head.summary.unstable) == (1.25, "interrupted in 1 of 2 rounds")
        assert (stem.summary.latency_ms, stem.summary.median_ms) == (0.25, 0.3825)
        record, _ = store.records(1)
        samples = [timed.sample for timed in record.samples]
        assert [sample.noise_reason for sample in samples] == ["", "interrupted"]
        assert [(sample.anchor_ms, sample.place) for sample in samples] == [(0.5, 1), (None, 0)]
        assert samples[0].raw_ms == (1.25, 1.875, 2.5)
        assert store.unfinished_run(replace(target, batch=8), {STEM: "hash-stem", HEAD: "hash-head"}, 3) == 2


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE samples SET busy_ms_min = -1 WHERE round = 1", r"samples, row 1, .*, 1: busy_ms_min >= 0"),
        ("UPDATE samples SET wall_ms_median = 9e999", r"samples, row 1, .*: wall_ms_median >= 0 AND"),
        ("UPDATE samples SET calls = 'many'", r"is damaged"),
        ("UPDATE contexts SET batch = 0", r"targets, row [0-9a-f]{16}: batch > 0"),
        ("UPDATE profile_runs SET kind = 'guess'", r"profile_runs, row 1: kind IN"),
    ],
)
def test_old_file_with_impossible_values_is_refused_and_unchanged(tmp_path: Path, statement: str, message: str) -> None:
    path = Path(shutil.copy(SCHEMA_3, tmp_path / "latency.sqlite"))
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseDamaged, match=message), open_store(path) as store:
        store.records(1)
    if "many" not in statement:
        assert path.read_bytes() == before


def test_old_unfinished_run_is_resumed(old: Path) -> None:
    target = replace(OLD, batch=8)
    with open_store(old) as store:
        assert store.unfinished_run(target, {STEM: "hash-stem", HEAD: "hash-head"}, 3) == 2
        assert len(store.samples(2)) == 1
        (record, _) = store.records(2)
        assert record.samples[0].sample.raw_ms == ()


def test_copies_of_a_file_get_the_same_run_names(old: Path, tmp_path: Path) -> None:
    copy = shutil.copy(SCHEMA_1, tmp_path / "copy.sqlite")
    with open_store(old) as one, open_store(copy) as other:
        names = [run.uid for run in one.runs()]
        assert names == [run.uid for run in other.runs()]
        assert len(set(names)) == 2


def test_migrations_make_the_tables_of_the_models(where: str, new_database: Callable[[], URL]) -> None:
    open_store(where).close()
    engine = create_engine(where if "://" in where else f"sqlite:///{where}")
    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []
    engine.dispose()


def test_last_migration_has_the_schema_version() -> None:
    assert ScriptDirectory(str(SCRIPTS)).get_current_head() == revision_name(SCHEMA_VERSION)


def test_table_on_a_server_is_upgraded(new_database: Callable[[], URL]) -> None:
    url = new_database()
    engine = create_engine(url)
    with engine.begin() as connection:
        upgrade(connection, None, version=1)
        names = [name for name in Target.__dataclass_fields__ if name not in NEW_IN_2]
        columns = ", ".join(names)
        connection.execute(
            text(f"INSERT INTO contexts (id, created_at, {columns}) VALUES ('old', :at, :{', :'.join(names)})"),
            {name: getattr(OLD, name) for name in names} | {"at": "2026-01-02T03:04:05+00:00"},
        )
        connection.execute(
            text("INSERT INTO profile_runs VALUES (1, 'old', 'space', 'digest', 'host', '0.1.0', 1, :at, :at)"),
            {"at": "2026-01-02T03:04:05+00:00"},
        )
        connection.execute(text("INSERT INTO parts VALUES (1, 'stem', 'hash')"))
        connection.execute(
            text("INSERT INTO samples VALUES (1, 'stem', 0, 5, 0.5, 0.6, 0.25, 0.375, :at)"),
            {"at": "2026-01-02T03:04:05+00:00"},
        )
    engine.dispose()
    with open_store(url.render_as_string(hide_password=False)) as store:
        assert store.targets() == [(OLD, 1)]
        assert store.table(OLD, ["stem"]).latency_ms("stem") == 0.25


NEW_IN_2 = ("device_kind", "capability", "driver", "compute_precision", "clocks")


OPENER = """
import sys
from latency_db.store import open_store
sys.stdin.read(1)
with open_store(sys.argv[1]) as store:
    print(len(store.targets()), len(store.runs()))
"""


@pytest.mark.long
def test_several_commands_may_open_an_old_file_at_the_same_time(old: Path) -> None:
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(old)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("g")
        opener.stdin.flush()
    assert [opener.communicate() for opener in openers] == [("2 2\n", "")] * 4


KILLED = """
import os, signal, sys
from sqlalchemy import Engine, event
from latency_db.store import open_store

left = int(sys.argv[2])

@event.listens_for(Engine, "before_cursor_execute")
def count(connection, cursor, statement, *rest):
    global left
    if statement.startswith(("ALTER", "UPDATE", "INSERT", "CREATE", "PRAGMA user")):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

open_store(sys.argv[1])
"""


@pytest.mark.long
@pytest.mark.parametrize("statements", [0, 3, 9, 16, 40])
def test_killed_migration_leaves_the_file_unchanged(old: Path, statements: int) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(old), str(statements)], check=False)
    assert done.returncode == -9
    assert pragmas(old) == (APPLICATION_ID, 1)
    test_old_file_keeps_its_targets_and_latencies(old)


def test_revision_of_a_newer_nastool_is_refused(where: str, tmp_path: Path) -> None:
    open_store(where).close()
    engine = create_engine(where if "://" in where else f"sqlite:///{where}")
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0007'"))
    engine.dispose()
    with pytest.raises(NewerSchema, match=r"has schema 7, and this nastool knows up to 4\. Run pip install --upgrade"):
        open_store(where)


@pytest.mark.parametrize("statement", [f"DROP TABLE {VERSION_TABLE}", f"DELETE FROM {VERSION_TABLE}"])
def test_table_without_a_schema_version_is_refused(where: str, statement: str) -> None:
    open_store(where).close()
    engine = create_engine(where if "://" in where else f"sqlite:///{where}")
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    with pytest.raises((NotADatabase, DatabaseDamaged), match=r"is damaged|did not make"):
        open_store(where)


AS_NOBODY = """
import os, sys
from latency_db.errors import LatencyDbError
from latency_db.store import open_store
if os.geteuid() == 0: os.setuid(65534)  # root can write anywhere
try:
    open_store(sys.argv[1])
except LatencyDbError as problem:
    print(type(problem).__name__, problem)
"""


def test_old_file_that_cannot_be_upgraded_is_named(read_only: Path) -> None:
    path = Path(shutil.copy(SCHEMA_1, read_only / "latency.sqlite"))
    path.chmod(0o444)
    read_only.chmod(0o555)
    command = [sys.executable, "-c", AS_NOBODY, str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.stderr == ""
    assert answer.stdout.startswith(
        f"{DatabaseUnwritable.__name__} cannot upgrade {path}, which was written by an older"
    ), answer
    assert "copy the file and name the copy with --db" in answer.stdout
    assert path.read_bytes() == SCHEMA_1.read_bytes()
    assert [file.name for file in read_only.iterdir()] == ["latency.sqlite"]
