"""A table as a file: all of it arrives, once, and what is damaged or foreign is refused before anything is written."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from latency_db.errors import BadTransfer
from latency_db.store import Store, open_store
from latency_db.table import Sample
from latency_db.target import Target
from latency_db.transfer import _digest, pack, read_export, take_in

STEM = Sample(5, 0.5, 0.625, 0.1, 1 / 3, (0.1, 1 / 3, 0.7), "throttled")


@pytest.fixture
def store(tmp_path: Path, target: Target) -> Iterator[Store]:
    """Two targets: one with a run of each kind that is finished and one that is not, one with nothing finished."""
    with open_store(tmp_path / "there.sqlite") as there:
        for kind, origin in (("profile", ""), ("fit", "nets.csv")):
            run = there.begin_run(
                target, "space", "digest", {"stem": "hash-s", "head": "hash-h"}, 2, "1.2.3", kind, origin
            )
            for number in range(2):
                there.add_round(run, number, {"stem": STEM, "head": replace(STEM, busy_ms_min=2.0 + number)})
            there.finish_run(run)
        there.begin_run(target, "space", "digest", {"stem": "hash-s"}, 2, "1.2.3")
        there.begin_run(replace(target, batch=99), "space", "digest", {"stem": "hash-s"}, 2, "1.2.3")
        yield there


@pytest.fixture
def file(store: Store, tmp_path: Path) -> Path:
    path = tmp_path / "table.json"
    path.write_text(json.dumps(pack(store, [target for target, _ in store.targets()])))
    return path


def test_all_that_was_finished_arrives_as_it_was(store: Store, file: Path, where: str, target: Target) -> None:
    with open_store(where) as here:
        done = take_in(here, file)
        assert (done.added, done.here_already) == (2, 0)
        assert here.targets() == [(target, 2)]
        assert here.table(target, ["stem", "head"]).rows.keys() == {"stem", "head"}
        sent, arrived = store.runs(target)[:2], here.runs()
        for before, after in zip(sent, arrived, strict=True):
            assert replace(after, id=before.id, kind=before.kind, origin=before.origin) == before
            assert after.kind == "import"
            assert after.origin.startswith(f"{before.kind} on {before.host}, from table.json (")
            assert here.parts(after.id) == store.parts(before.id)
        assert arrived[1].origin.endswith(": nets.csv")


def test_a_file_is_taken_in_once(file: Path, where: str) -> None:
    with open_store(where) as here:
        take_in(here, file)
    with open_store(where) as here:
        again = take_in(here, file)
        assert (again.added, again.here_already) == (0, 2)
        assert len(here.runs()) == 2


def test_a_table_takes_its_own_export_as_known(store: Store, file: Path) -> None:
    assert take_in(store, file).added == 0
    assert [run.kind for run in store.runs()] == ["profile", "fit", "profile", "profile"]


def test_it_can_be_passed_on(file: Path, tmp_path: Path, target: Target) -> None:
    with open_store(tmp_path / "b.sqlite") as second, open_store(tmp_path / "c.sqlite") as third:
        take_in(second, file)
        passed_on = tmp_path / "again.json"
        passed_on.write_text(json.dumps(pack(second, [target])))
        take_in(third, passed_on)
        assert third.table(target, ["stem"]).rows["stem"].summary == second.table(target, ["stem"]).rows["stem"].summary
        assert "import on" in third.runs()[0].origin


def rewritten(file: Path, change: Callable[[dict[str, Any]], object], honest: bool = True) -> Path:
    """The file with `change` made to it; its digest is made anew, as by a program that knows how."""
    content = json.loads(file.read_text())
    change(content)
    del content["sha256"]
    digest = _digest(content) if honest else "0" * 64
    file.write_text(json.dumps(content | {"sha256": digest}))
    return file


def sample_of(content: dict[str, Any]) -> dict[str, Any]:
    sample: dict[str, Any] = content["runs"][0]["parts"][0]["samples"][0]
    return sample


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another version": (lambda c: c.update(version=7), "has version 7 of the format"),
    "another program's": (lambda c: c.update(format="flame graph"), "is no exported latency table"),
    "a field more": (lambda c: next(iter(c["targets"].values())).update(humidity=3), "humidity"),
    "a field less": (lambda c: next(iter(c["targets"].values())).pop("clocks"), "clocks"),
    "another target": (lambda c: next(iter(c["targets"].values())).update(batch=64), "has another id"),
    "no target": (lambda c: c.update(targets={}), "KeyError"),
    "runs of another shape": (lambda c: c.update(runs=[3]), "holds what this nastool does not know"),
    "an unknown kind": (lambda c: c["runs"][0].update(kind="guess"), "'guess'"),
    "an unfinished run": (lambda c: c["runs"][0].update(finished_at=None), "holds what"),
    "a latency in words": (lambda c: sample_of(c).update(busy_ms_min="fast"), "holds what"),
    "a latency below zero": (lambda c: sample_of(c).update(busy_ms_min=-1.0), "a latency that is none"),
    "a latency that is none": (lambda c: sample_of(c).update(raw_ms=[float("nan")]), "a latency that is none"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_foreign_is_refused(file: Path, store: Store, where: str, name: str) -> None:
    change, expected = CHANGES[name]
    rewritten(file, change)
    with open_store(where) as here:
        with pytest.raises(BadTransfer, match=expected):
            take_in(here, file)
        assert here.runs() == ()
        assert here.targets() == []


def test_a_changed_figure_is_found_by_the_digest(file: Path) -> None:
    rewritten(file, lambda content: sample_of(content).update(busy_ms_min=0.05), honest=False)
    with pytest.raises(BadTransfer, match=r"table\.json is damaged"):
        read_export(file)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"SQLite format 3\0", b"\xff\xfe"])
def test_what_is_no_export_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(BadTransfer, match=r"notes\.txt is no exported latency table.*nastool db export"):
        read_export(path)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_a_cut_file_is_refused(file: Path, keep: float) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(BadTransfer, match="is damaged"):
        read_export(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadTransfer, match=r"can't read .*none\.json: No such file"):
        read_export(tmp_path / "none.json")
