"""Tables of an older nastool: brought up to today's schema at one go, or left as they were.

assets/schema_1.sqlite was written by nastool at the commit before the schema changed: one target with a finished run
of two parts in two rounds, and one with a run that was not finished.
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

from latency_db.errors import DatabaseUnwritable, NewerSchema, NotADatabase
from latency_db.migrate import SCRIPTS, VERSION_TABLE, revision_name, upgrade
from latency_db.schema import APPLICATION_ID, SCHEMA_VERSION, Base
from latency_db.store import open_store
from latency_db.target import Target

SCHEMA_1 = Path(__file__).parent / "assets" / "schema_1.sqlite"
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
    found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    connection.close()
    return found[0], found[1]


def test_the_asset_is_of_the_first_schema() -> None:
    assert pragmas(SCHEMA_1) == (APPLICATION_ID, 1)


def test_an_old_file_keeps_its_stacks_and_figures(old: Path) -> None:
    for _ in range(2):  # brought up to date, then opened
        with open_store(old) as store:
            assert set(store.targets()) == {(OLD, 2), (replace(OLD, batch=8), 0)}
            rows = store.table(OLD, [STEM, HEAD]).rows
            first, second = store.runs()
        assert {key: row.summary.latency_ms for key, row in rows.items()} == {STEM: 0.25, HEAD: 1.25}
        assert rows[STEM].summary.n == 2
        assert [(run.kind, run.origin, run.finished_at is None) for run in (first, second)] == [
            ("profile", "", False),
            ("profile", "", True),
        ]
        assert pragmas(old) == (APPLICATION_ID, SCHEMA_VERSION)
    assert store.name == str(old)


def test_an_old_unfinished_run_is_gone_on_with(old: Path) -> None:
    target = replace(OLD, batch=8)
    with open_store(old) as store:
        assert store.unfinished_run(target, {STEM: "hash-stem", HEAD: "hash-head"}, 3) == 2
        assert store.rounds_done(2) == 1
        (part, _) = store.parts(2)
        assert part.taken[0].sample.raw_ms == ()


def test_two_copies_of_a_file_name_their_runs_alike(old: Path, tmp_path: Path) -> None:
    copy = shutil.copy(SCHEMA_1, tmp_path / "copy.sqlite")
    with open_store(old) as one, open_store(copy) as other:
        names = [run.uid for run in one.runs()]
        assert names == [run.uid for run in other.runs()]
        assert len(set(names)) == 2


def test_migrations_make_what_the_models_say(where: str, new_database: Callable[[], URL]) -> None:
    open_store(where).close()
    engine = create_engine(where if "://" in where else f"sqlite:///{where}")
    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []
    engine.dispose()


def test_the_last_migration_is_the_schemas_version() -> None:
    assert ScriptDirectory(str(SCRIPTS)).get_current_head() == revision_name(SCHEMA_VERSION)


def test_a_table_on_a_server_is_brought_up_to_date_as_well(new_database: Callable[[], URL]) -> None:
    url = new_database()
    engine = create_engine(url)
    with engine.begin() as connection:
        upgrade(connection, None, version=1)
        names = [name for name in Target.__dataclass_fields__ if name not in NEW_IN_2]
        columns = ", ".join(names)
        connection.execute(
            text(f"INSERT INTO contexts (id, created_at, {columns}) VALUES ('old', 'then', :{', :'.join(names)})"),
            {name: getattr(OLD, name) for name in names},
        )
        connection.execute(
            text("INSERT INTO profile_runs VALUES (1, 'old', 'space', 'digest', 'host', '0.1.0', 1, 'then', 'later')")
        )
        connection.execute(text("INSERT INTO parts VALUES (1, 'stem', 'hash')"))
        connection.execute(text("INSERT INTO samples VALUES (1, 'stem', 0, 5, 0.5, 0.6, 0.25, 0.375, 'later')"))
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


def test_several_may_open_an_old_file_at_once(old: Path) -> None:
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


@pytest.mark.parametrize("statements", [0, 3, 9, 16])
def test_a_migration_that_was_killed_did_not_happen(old: Path, statements: int) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(old), str(statements)], check=False)
    assert done.returncode == -9
    assert pragmas(old) == (APPLICATION_ID, 1)
    test_an_old_file_keeps_its_stacks_and_figures(old)


def test_a_revision_of_a_newer_nastool_is_refused(where: str, tmp_path: Path) -> None:
    open_store(where).close()
    engine = create_engine(where if "://" in where else f"sqlite:///{where}")
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0007'"))
    engine.dispose()
    with pytest.raises(NewerSchema, match=r"has schema 7, and this nastool knows up to 4\. Type pip install --upgrade"):
        open_store(where)


@pytest.mark.parametrize("statement", [f"DROP TABLE {VERSION_TABLE}", f"DELETE FROM {VERSION_TABLE}"])
def test_a_table_that_does_not_say_its_schema_is_refused(where: str, statement: str) -> None:
    open_store(where).close()
    engine = create_engine(where if "://" in where else f"sqlite:///{where}")
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    with pytest.raises(NotADatabase, match=r"is damaged|did not make"):
        open_store(where)


AS_NOBODY = """
import os, sys
from latency_db.errors import LatencyDbError
from latency_db.store import open_store
if os.geteuid() == 0: os.setuid(65534)  # root may write anywhere
try:
    open_store(sys.argv[1])
except LatencyDbError as problem:
    print(type(problem).__name__, problem)
"""


def test_an_old_file_that_can_not_be_changed_says_what_to_do(read_only: Path) -> None:
    path = Path(shutil.copy(SCHEMA_1, read_only / "latency.sqlite"))
    path.chmod(0o444)
    read_only.chmod(0o555)
    command = [sys.executable, "-c", AS_NOBODY, str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.stderr == ""
    assert answer.stdout.startswith(f"{DatabaseUnwritable.__name__} {path} was written by an older nastool"), answer
    assert "copy the file and name the copy with --db" in answer.stdout
    assert path.read_bytes() == SCHEMA_1.read_bytes()
    assert [file.name for file in read_only.iterdir()] == ["latency.sqlite"]
