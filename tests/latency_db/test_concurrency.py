"""Several commands write at the same time: no row is lost, no command fails, and rounds stay complete."""

import json
import subprocess
import sys

from sqlalchemy import create_engine, text

from latency_db.runs import NewRun
from latency_db.store import open_store
from latency_db.target import Target

PROCESSES, ROUNDS, PARTS = 8, 40, 5  # 200 rows per process

# All processes open the table at the same time, and again for every tenth round.
WRITER = """
import json, sys
from latency_db.target import Target
from latency_db.runs import NewRun
from latency_db.store import open_store
from latency_db.table import Sample

where, rounds, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
target = Target.from_dict(json.loads(sys.argv[4]))
parts = {f"part {part} of {number}": "hash" for part in range(5)}
sys.stdin.read(1)
store = open_store(where)
run = store.begin_run(target, parts, NewRun("space", "digest", "1", rounds))
for done in range(rounds):
    if done % 10 == 9:
        store.close()
        store = open_store(where)
    assert len(store.samples(run)) == done
    store.add_round(run, done, {key: Sample(1, 1.0 + done, 2.0 + done, 1.0 + done, 2.0 + done) for key in parts})
store.finish_run(run)
store.close()
"""


def test_eight_writers_lose_nothing(where: str, target: Target) -> None:
    values = json.dumps(target.as_dict())
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, where, str(ROUNDS), str(number), values],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    errors = [writer.communicate()[1].decode() for writer in start_all(writers)]
    assert errors == [""] * PROCESSES
    assert [writer.returncode for writer in writers] == [0] * PROCESSES

    keys = [f"part {part} of {number}" for number in range(PROCESSES) for part in range(PARTS)]
    with open_store(where) as store:
        table = store.table(target, keys)
        assert store.targets() == [(target, len(keys))]
    assert {(row.summary.n, row.summary.latency_ms) for row in table.records.values()} == {(ROUNDS, 1.0)}
    assert set(table.records) == set(keys)
    engine = create_engine(where if "://" in where else f"sqlite:///{where}")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM samples")) == PROCESSES * ROUNDS * PARTS
        assert connection.scalar(text("SELECT count(*) FROM profile_runs")) == PROCESSES
    engine.dispose()


RIVAL = """
import json, sys
from latency_db.target import Target
from latency_db.store import open_store
from latency_db.table import Sample

where, number, target = sys.argv[1], float(sys.argv[2]), Target.from_dict(json.loads(sys.argv[3]))
parts = {f"part {part}": "hash" for part in range(5)}
sys.stdin.read(1)
with open_store(where) as store:
    run = store.unfinished_run(target, parts, 30)
    for done in range(30):
        store.add_round(run, done, {key: Sample(1, number, number, number, number) for key in parts})
"""


def test_commands_that_resume_one_run_never_mix_in_a_round(where: str, target: Target) -> None:
    """Three commands resume the same killed run: the round that is stored first stays, as a whole."""
    values = json.dumps(target.as_dict())
    with open_store(where) as store:
        run = store.begin_run(target, {f"part {n}": "hash" for n in range(5)}, NewRun("space", "digest", "1", 30))
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", RIVAL, where, str(number), values], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for number in (1, 2, 3)
    ]
    assert [rival.communicate()[1].decode() for rival in start_all(rivals)] == ["", "", ""]
    with open_store(where) as store:
        parts = store.records(run)
        assert len(store.samples(run)) == 30
    assert len(parts) == 5
    for number in range(30):
        assert len({part.samples[number].sample.busy_ms_min for part in parts}) == 1


def start_all(writers: list[subprocess.Popen[bytes]]) -> list[subprocess.Popen[bytes]]:
    """Start all writers once their imports are done."""
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"g")
        writer.stdin.flush()
    return writers
