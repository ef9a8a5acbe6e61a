"""Several commands write at once: no round is lost and nobody is told that the file is locked."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

from latency_db.context import Context
from latency_db.store import open_store

PROCESSES, ROUNDS = 8, 50

# Each process opens the table itself, at first all at once, and anew for every tenth round.
WRITER = """
import json, sys
from pathlib import Path
from latency_db.context import Context
from latency_db.store import open_store
from latency_db.table import Sample

path, rounds, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
context = Context.from_dict(json.loads(sys.argv[4]))
parts = {f"part {part} of {number}": "hash" for part in range(5)}
sys.stdin.read(1)
store = open_store(path)
run = store.begin_run(context, "space", "digest", parts, rounds, "1")
for done in range(rounds):
    if done % 10 == 9:
        store.close()
        store = open_store(path)
    assert store.rounds_done(run) == done
    store.add_round(run, done, {key: Sample(1, 1.0 + done, 2.0 + done, 1.0 + done, 2.0 + done) for key in parts})
store.finish_run(run)
store.close()
"""


def test_eight_writers_lose_nothing(tmp_path: Path, context: Context) -> None:
    path = tmp_path / "latency.sqlite"
    values = json.dumps(context.as_dict())
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(ROUNDS), str(number), values],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    errors = [writer.communicate()[1].decode() for writer in start_all(writers)]
    assert errors == [""] * PROCESSES
    assert [writer.returncode for writer in writers] == [0] * PROCESSES

    keys = [f"part {part} of {number}" for number in range(PROCESSES) for part in range(5)]
    with open_store(path) as store:
        table = store.table(context, keys)
        assert store.contexts() == [(context, len(keys))]
    assert {(row.summary.n, row.summary.latency_ms) for row in table.rows.values()} == {(ROUNDS, 1.0)}
    assert set(table.rows) == set(keys)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM samples").fetchone() == (PROCESSES * ROUNDS * 5,)
    assert connection.execute("SELECT count(*) FROM profile_runs").fetchone() == (PROCESSES,)
    connection.close()


def start_all(writers: list[subprocess.Popen[bytes]]) -> list[subprocess.Popen[bytes]]:
    """They wait for a byte, so that the imports, which differ in time, come before the race."""
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"g")
        writer.stdin.flush()
    return writers
