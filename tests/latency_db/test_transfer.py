"""Export and import: every finished run arrives once, and invalid files are refused before anything is written."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from latency_db.errors import BadTransfer
from latency_db.runs import NewRun
from latency_db.store import Store, open_store
from latency_db.table import Sample
from latency_db.target import Target
from latency_db.transfer import _digest, import_file, pack, read_export

STEM = Sample(5, 0.5, 0.625, 0.1, 1 / 3, (0.1, 1 / 3, 0.7), "throttled")
VERSION_1 = Path(__file__).parent / "assets" / "export_1.json"  # written by nastool at commit 04b878e


@pytest.fixture
def store(tmp_path: Path, target: Target) -> Iterator[Store]:
    """Two targets: one with two finished runs and an unfinished one, one with an unfinished run only."""
    with open_store(tmp_path / "source.sqlite") as source:
        for kind, origin in (("profile", ""), ("fit", "nets.csv")):
            graph_hashes = {"stem": "hash-s", "head": "hash-h"}
            run = source.begin_run(target, graph_hashes, NewRun("space", "digest", "1.2.3", 2, kind, origin))
            for number in range(2):
                head = Sample(5, 2.0 + number, 4.0, 2.0 + number, 4.0)
                source.add_round(run, number, {"stem": STEM, "head": head})
            source.finish_run(run)
        source.begin_run(target, {"stem": "hash-s"}, NewRun("space", "digest", "1.2.3", 2))
        source.begin_run(replace(target, batch=99), {"stem": "hash-s"}, NewRun("space", "digest", "1.2.3", 2))
        yield source


@pytest.fixture
def file(store: Store, tmp_path: Path) -> Path:
    path = tmp_path / "table.json"
    path.write_text(json.dumps(pack(store, [target for target, _ in store.targets()]).content))
    return path


def test_every_finished_run_arrives_unchanged(store: Store, file: Path, where: str, target: Target) -> None:
    with open_store(where) as destination:
        imported = import_file(destination, file)
        assert (imported.added, imported.already_present) == (2, 0)
        assert destination.targets() == [(target, 2)]
        assert destination.table(target, ["stem", "head"]).records.keys() == {"stem", "head"}
        sent, arrived = store.runs(target)[:2], destination.runs()
        for before, after in zip(sent, arrived, strict=True):
            assert replace(after, id=before.id, kind=before.kind, origin=before.origin) == before
            assert after.kind == "import"
            assert after.origin.startswith(f"{before.kind} on {before.host}, from table.json (")
            assert destination.records(after.id) == store.records(before.id)
        assert arrived[1].origin.endswith(": nets.csv")


def test_second_import_adds_nothing(file: Path, where: str) -> None:
    with open_store(where) as destination:
        import_file(destination, file)
    with open_store(where) as destination:
        again = import_file(destination, file)
        assert (again.added, again.already_present) == (0, 2)
        assert len(destination.runs()) == 2


def test_import_into_its_own_table_adds_nothing(store: Store, file: Path) -> None:
    assert import_file(store, file).added == 0
    assert [run.kind for run in store.runs()] == ["profile", "fit", "profile", "profile"]


def test_imported_runs_can_be_exported_again(file: Path, tmp_path: Path, target: Target) -> None:
    with open_store(tmp_path / "b.sqlite") as second, open_store(tmp_path / "c.sqlite") as third:
        import_file(second, file)
        again = tmp_path / "again.json"
        again.write_text(json.dumps(pack(second, [target]).content))
        import_file(third, again)
        assert third.networks(target, "stem")[0].summary == second.networks(target, "stem")[0].summary
        assert "import on" in third.runs()[0].origin


def test_imported_records_that_are_measured_here_are_counted(file: Path, where: str, target: Target) -> None:
    with open_store(where) as destination:
        run = destination.begin_run(target, {"stem": "hash-s"}, NewRun("space", "digest", "1.2.3", 1))
        destination.add_round(run, 0, {"stem": Sample(1, 9.0, 9.0, 9.0, 9.0)})
        destination.finish_run(run)
        assert import_file(destination, file).hidden == 2
        assert destination.table(target, ["stem"]).latency_ms("stem") == 9.0


def test_file_of_version_1_is_imported(where: str) -> None:
    """It has contexts, disturbed, reference_ms (0: unknown) and precision_found; ids of targets change."""
    with open_store(where) as destination:
        imported = import_file(destination, VERSION_1)
        assert (imported.added, imported.already_present) == (1, 0)
        ((target, count),) = destination.targets()
        assert (target.compute_precision, target.clocks, count) == ("fp32", "governor performance, turbo on", 2)
        head, stem = destination.networks(target, "")
        assert (head.summary.latency_ms, stem.summary.latency_ms) == (1.25, 0.25)
        assert head.summary.unstable == "interrupted in 1 of 2 rounds"
        record, _ = destination.records(1)
        assert [(timed.sample.anchor_ms, timed.sample.place) for timed in record.samples] == [(0.5, 1), (None, 0)]


def signed_again(file: Path, change: Callable[[dict[str, Any]], object], digest: str | None = None) -> Path:
    """The file with `change` applied and a valid digest, as another program could write it."""
    content = json.loads(file.read_text())
    change(content)
    del content["sha256"]
    file.write_text(json.dumps(content | {"sha256": digest or _digest(content)}))
    return file


def first_target(content: dict[str, Any]) -> dict[str, Any]:
    target: dict[str, Any] = next(iter(content["targets"].values()))
    return target


def first_record(content: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = content["runs"][0]["records"][0]
    return record


def first_sample(content: dict[str, Any]) -> dict[str, Any]:
    sample: dict[str, Any] = first_record(content)["samples"][0]["sample"]
    return sample


INVALID: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "unknown version": (lambda c: c.update(version=7), "has version 7 of the format"),
    "version is a boolean": (lambda c: c.update(version=True), "has version True of the format"),
    "other format": (lambda c: c.update(format="flame graph"), "is not an exported latency table"),
    "unknown key": (lambda c: c.update(comment="x"), "unknown key 'comment'"),
    "unknown target field": (lambda c: first_target(c).update(humidity=3), "humidity: Unexpected keyword argument"),
    "missing target field": (lambda c: first_target(c).pop("clocks"), "clocks: Field required"),
    "changed target": (lambda c: first_target(c).update(batch=64), "fields of target .* do not match its id"),
    "missing target": (lambda c: c.update(targets={}), "target .*, which is not in the file"),
    "targets are a list": (lambda c: c.update(targets=[]), "Input should be a valid dict"),
    "run is a number": (lambda c: c.update(runs=[3]), "is invalid at 0: Input should be"),
    "unknown kind of run": (lambda c: c["runs"][0]["run"].update(kind="guess"), "run.kind: Input should be 'profile'"),
    "unfinished run": (lambda c: c["runs"][0]["run"].update(finished_at=None), "is not finished"),
    "start is not a time": (lambda c: c["runs"][0]["run"].update(started_at="soon"), "run.started_at: Value error"),
    "NUL in a text": (lambda c: c["runs"][0]["run"].update(host="a\0b"), "run.host: Value error, a NUL"),
    "half a surrogate pair": (lambda c: c["runs"][0]["run"].update(host="\ud800"), "run.host: "),
    "too long text": (lambda c: c["runs"][0]["run"].update(host="x" * 2001), "run.host: String should have at most"),
    "conditions are nested": (lambda c: c["runs"][0]["run"]["conditions"].update(load=[]), "run.conditions.load"),
    "negative rounds": (lambda c: c["runs"][0]["run"].update(planned_rounds=-1), "run.planned_rounds: Input should"),
    "run twice": (lambda c: c["runs"].append(c["runs"][0]), "run [0-9a-f]{32} is there twice"),
    "record twice": (lambda c: c["runs"][0]["records"].append(first_record(c)), "record head is there twice"),
    "round twice": (lambda c: first_record(c)["samples"].append(first_record(c)["samples"][0]), "round 0 is there tw"),
    "round is a boolean": (lambda c: first_record(c)["samples"][0].update(round=True), "round: Input should be"),
    "no key": (lambda c: first_record(c).update(key=""), "key: String should have at least 1"),
    "latency is text": (lambda c: first_sample(c).update(busy_ms_min="fast"), "sample.busy_ms_min: Input should be"),
    "negative latency": (lambda c: first_sample(c).update(busy_ms_min=-1.0), "busy_ms_min: Input should be greater"),
    "endless latency": (lambda c: first_sample(c).update(wall_ms_min=float("inf")), "wall_ms_min: Input should be"),
    "raw time is NaN": (lambda c: first_sample(c).update(raw_ms=[float("nan")]), "raw_ms.0: Input should be"),
    "minimum above median": (lambda c: first_sample(c).update(busy_ms_min=4.5), "a minimum is above its median"),
    "other raw times": (lambda c: first_sample(c).update(raw_ms=[2.0, 9.0, 9.0]), "raw times do not have its"),
    "no calls": (lambda c: first_sample(c).update(calls=0), "calls: Input should be greater than or equal to 1"),
    "anchor takes no time": (lambda c: first_sample(c).update(anchor_ms=0), "anchor_ms: Input should be greater"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_file_is_refused_with_its_field(file: Path, store: Store, tmp_path: Path, name: str) -> None:
    change, expected = INVALID[name]
    signed_again(file, change)
    with open_store(tmp_path / "destination.sqlite") as destination:
        with pytest.raises(BadTransfer, match=expected) as caught:
            import_file(destination, file)
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert destination.runs() == ()
        assert destination.targets() == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: next(iter(c["contexts"].values())).update(batch=64), "fields of context .* do not match its id"),
        (lambda c: c.update(contexts=[]), "AttributeError"),
        (lambda c: c["runs"][0].pop("parts"), "KeyError: 'parts'"),
        (lambda c: c["runs"][0]["parts"][0]["samples"][0].update(wall_ms_min=-1), "wall_ms_min: Input should be"),
    ],
)
def test_invalid_file_of_version_1_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], expected: str
) -> None:
    path = tmp_path / "old.json"
    path.write_text(VERSION_1.read_text())
    with pytest.raises(BadTransfer, match=expected):
        read_export(signed_again(path, change))


def test_digest_detects_a_changed_latency(file: Path) -> None:
    signed_again(file, lambda content: first_sample(content).update(wall_ms_min=0.05), digest="0" * 64)
    with pytest.raises(BadTransfer, match=r"table\.json is damaged"):
        read_export(file)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"SQLite format 3\0", b"\xff\xfe", b"[" * 100_000])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(BadTransfer, match=r"notes\.txt is not an exported latency table.*nastool db export"):
        read_export(path)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_truncated_file_is_refused(file: Path, keep: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(BadTransfer, match="is damaged"):
        read_export(file)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadTransfer, match=r"cannot read .*none\.json: No such file"):
        read_export(tmp_path / "none.json")
