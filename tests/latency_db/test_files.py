"""Which files are opened as a latency table, that other files stay unchanged, and the errors of the disk."""

import hashlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from latency_db.errors import DatabaseDamaged, DatabaseUnwritable, NewerSchema, NotADatabase
from latency_db.runs import NewRun
from latency_db.schema import APPLICATION_ID, SCHEMA_VERSION
from latency_db.store import open_store
from latency_db.target import Target


def contents(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def run_sql(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_new_file_has_application_id_and_schema(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "latency.sqlite"
    open_store(path).close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    connection.close()


def test_empty_file_becomes_a_table(tmp_path: Path, target: Target) -> None:
    path = tmp_path / "empty.sqlite"
    path.touch()
    with open_store(path) as store:
        assert store.table(target, ["stem"]).records == {}


@pytest.mark.parametrize("name", ["what?.sqlite", "50%25 #1.sqlite", "söme file.sqlite"])
def test_special_characters_in_file_names(tmp_path: Path, name: str) -> None:
    for _ in range(2):  # created, then opened
        open_store(tmp_path / name).close()
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "newer.sqlite"
    open_store(path).close()
    run_sql(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = contents(tmp_path)
    with pytest.raises(NewerSchema, match=r"newer\.sqlite has schema 5, and this nastool knows up to 4\. Run pip"):
        open_store(path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE bookmarks (url TEXT)",),
        ("CREATE TABLE targets (id TEXT)", "PRAGMA user_version = 1"),  # a table of ours without our application id
        ("PRAGMA application_id = 77",),  # of another program, still empty
        ("PRAGMA application_id = 77", "CREATE TABLE t (x)", "PRAGMA user_version = 9"),
        ("PRAGMA journal_mode = WAL", "CREATE TABLE bookmarks (url TEXT)"),
    ],
)
def test_database_of_another_program_is_refused(tmp_path: Path, statements: tuple[str, ...]) -> None:
    path = tmp_path / "theirs.sqlite"
    run_sql(path, *statements)
    before = contents(tmp_path)
    with pytest.raises(NotADatabase, match=r"theirs\.sqlite is a database of another program\. Name another .* --db"):
        open_store(path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("content", [b"not a database, and longer than the header of one" * 9, b"SQLite format 3\0x"])
def test_other_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    before = contents(tmp_path)
    with pytest.raises(NotADatabase, match=r"notes\.txt is not a latency table"):
        open_store(path)
    assert contents(tmp_path) == before


def test_newer_schema_in_the_write_ahead_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "newer.sqlite"
    open_store(path).close()
    writer = sqlite3.connect(path)  # while it is open, its changes may stay in the log
    writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(NewerSchema):
        open_store(path)
    assert writer.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION + 1,)
    writer.close()


def test_damaged_file_is_named(tmp_path: Path, target: Target) -> None:
    path = tmp_path / "latency.sqlite"
    with open_store(path) as store:
        store.begin_run(target, {f"part {n}": "hash" for n in range(500)}, NewRun("space", "digest", "1", 1))
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    with (
        pytest.raises(DatabaseDamaged, match=r"latency\.sqlite is damaged: .*\. Restore a copy"),
        open_store(path) as s,
    ):
        s.targets()


def test_reading_a_damaged_file_leaves_no_file_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "latency.sqlite"
    open_store(path).close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(DatabaseDamaged, match=r"latency\.sqlite is damaged"):
        open_store(path)
    assert [file.name for file in tmp_path.iterdir()] == ["latency.sqlite"]


def test_path_below_a_file_names_operation_and_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        DatabaseUnwritable, match=r"cannot (open|create) .*file.*: (Not a directory|File exists)\. Name an"
    ):
        open_store(tmp_path / "file" / "latency.sqlite")


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotADatabase, match=r"cannot open the latency table .*: it is a folder\. Name a file with --db"):
        open_store(tmp_path)


def test_device_file_is_refused() -> None:
    with pytest.raises(NotADatabase, match="cannot open the latency table /dev/null: it is not a regular file"):
        open_store("/dev/null")


OPEN = """
import json, os, resource, signal, sys
from pathlib import Path
from latency_db.target import Target
from latency_db.errors import LatencyDbError
from latency_db.runs import NewRun
from latency_db.store import open_store
{before}
try:
    store = open_store(Path(sys.argv[1]))
    store.targets()  # an existing one can be read
    store.begin_run(Target.from_dict(json.loads(sys.argv[2])), {{}}, NewRun("space", "digest", "1", 1))
except LatencyDbError as problem:
    print(type(problem).__name__, problem)
"""
AS_NOBODY = "if os.geteuid() == 0: os.setuid(65534)"  # root may write anywhere
DISK_FULL = "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))"


def opened(path: Path, before: str, target: Target) -> str:
    code, values = OPEN.format(before=before), json.dumps(target.as_dict())
    done = subprocess.run([sys.executable, "-c", code, str(path), values], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("exists", [False, True])
def test_read_only_folder_is_named(read_only: Path, exists: bool, target: Target) -> None:
    path = read_only / "latency.sqlite"
    if exists:
        open_store(path).close()
        path.chmod(0o444)
    read_only.chmod(0o555)
    before = contents(read_only)
    answer = opened(path, AS_NOBODY, target)
    assert answer.startswith(f"DatabaseUnwritable cannot open the latency table {path}: "), answer
    assert "Check the permissions of the file and its folder" in answer
    assert contents(read_only) == before


def test_full_disk_is_named(tmp_path: Path, target: Target) -> None:
    answer = opened(tmp_path / "latency.sqlite", DISK_FULL, target)
    assert answer.startswith("DatabaseUnwritable cannot write the latency table"), answer
    assert "Free disk space" in answer
