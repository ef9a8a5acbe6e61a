"""Several commands write at the same time: no row is lost, no command fails, and rounds stay complete."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from textwrap import indent
from threading import Timer

import pytest
from sqlalchemy import create_engine, text

from latency_db.runs import NewRun
from latency_db.store import open_store
from latency_db.target import Target

PROCESSES, ROUNDS, PARTS = 8, 40, 5  # 200 rows per process

# Imports once, and then forks all processes, which start together.
FORKED = """
import json, os, sys
from latency_db.target import Target
from latency_db.runs import NewRun
from latency_db.store import open_store
from latency_db.table import Sample

where, processes, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
target = Target.from_dict(json.loads(sys.argv[4]))

def work_as(number):
    try:
        write(number)
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)

def write(number):
    {write}

started = [os.fork() or work_as(number) for number in range(processes)]
sys.exit(max(os.waitpid(process, 0)[1] for process in started) > 0)
"""

# All processes open the table at the same time, and again for every tenth round.
WRITER = """
parts = {f"part {part} of {number}": "hash" for part in range(5)}
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


@pytest.mark.long
def test_eight_writers_lose_nothing(where: str, target: Target) -> None:
    run_together(WRITER, PROCESSES, where, target)

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


def test_new_file_that_another_command_writes_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "latency.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    end = Timer(0.3, other.rollback)
    end.start()
    open_store(path).close()
    end.join()
    other.close()


RIVAL = """
parts = {f"part {part}": "hash" for part in range(5)}
ms = number + 1.0
with open_store(where) as store:
    run = store.unfinished_run(target, parts, rounds)
    for done in range(rounds):
        store.add_round(run, done, {key: Sample(1, ms, ms, ms, ms) for key in parts})
"""


@pytest.mark.long
def test_commands_that_resume_one_run_never_mix_in_a_round(where: str, target: Target) -> None:
    """Three commands resume the same killed run: the round that is stored first stays, as a whole."""
    with open_store(where) as store:
        run = store.begin_run(target, {f"part {n}": "hash" for n in range(5)}, NewRun("space", "digest", "1", ROUNDS))
    run_together(RIVAL, 3, where, target)
    with open_store(where) as store:
        parts = store.records(run)
        assert len(store.samples(run)) == ROUNDS
    assert len(parts) == 5
    for number in range(ROUNDS):
        assert len({part.samples[number].sample.busy_ms_min for part in parts}) == 1


def run_together(write: str, processes: int, where: str, target: Target) -> None:
    """Run the text `write`, with `number`, in several processes that start together; none may fail or print."""
    program = FORKED.replace("{write}", indent(write.strip(), "    ").strip())
    words = [sys.executable, "-c", program, where, str(processes), str(ROUNDS), json.dumps(target.as_dict())]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
