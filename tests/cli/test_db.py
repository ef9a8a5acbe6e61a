"""The commands `nastool db` and `nastool devices`."""

import shutil
import sqlite3
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from exporters.devices.known import known

Nastool = Callable[..., Any]
SCHEMA_1 = Path(__file__).parents[1] / "latency_db" / "assets" / "schema_1.sqlite"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a table of an older nastool: one target with two records, one with an unfinished run."""
    shutil.copy(SCHEMA_1, tmp_path / "latency.sqlite")
    return tmp_path


def targets(nastool: Nastool, folder: Path, *words: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = nastool("db", "list", "--json", *words, cwd=folder).json["targets"]
    return listed


def test_list_shows_the_targets_of_an_old_table(nastool: Nastool, folder: Path) -> None:
    answer = nastool("db", "list", cwd=folder)
    assert answer.code == 0, answer
    result = {target["target"]["batch"]: target for target in targets(nastool, folder)}
    assert {batch: target["records"] for batch, target in result.items()} == {32: 2, 8: 0}
    for target in result.values():
        assert target["id"][:8] in answer.stdout
        assert [run["kind"] for run in target["runs"]] == ["profile"]


def test_show_accepts_the_beginning_of_an_id(nastool: Nastool, folder: Path) -> None:
    (target,) = (target for target in targets(nastool, folder) if target["records"])
    answer = nastool("db", "show", target["id"][:8], "--json", cwd=folder).json
    assert answer["target"] == target["target"]
    assert [row["summary"]["latency_ms"] for row in answer["records"]] == [1.25, 0.25]
    text = nastool("db", "show", target["id"][:8], cwd=folder).stdout
    assert target["id"] in text
    assert "Some CPU @ 2 GHz" in text
    run = nastool("db", "show", target["id"], "--run", "1", "--json", cwd=folder).json
    assert [len(record["samples"]) for record in run["records"]] == [2, 2]
    assert "busy" in nastool("db", "show", target["id"], "--run", "1", cwd=folder).stdout


def test_export_import_and_diff(nastool: Nastool, folder: Path) -> None:
    sent = nastool("db", "export", "table.json", "--json", cwd=folder)
    assert (sent.json["targets"], sent.json["runs"]) == (1, 1)  # unfinished runs are not exported
    for added in (1, 0):
        taken = nastool("db", "import", "table.json", "--db", "new.sqlite", "--json", cwd=folder).json
        assert (taken["runs_added"], taken["runs_already_present"]) == (added, 1 - added)
    assert [target["records"] for target in targets(nastool, folder, "--db", "new.sqlite")] == [2]
    report = nastool("db", "diff", "table.json", "new.sqlite", "--json", cwd=folder).json
    assert [row["ratio"] for row in report["records"]] == [1.0, 1.0]
    assert report["fields"] == []
    text = nastool("db", "diff", "table.json", "new.sqlite", cwd=folder).stdout
    assert "median ratio" in text


def test_prune_asks_for_confirmation(nastool: Nastool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nastool("db", "export", "table.json", cwd=folder)
    nothing = nastool("db", "prune", "--json", cwd=folder).json
    assert (nothing["runs_removed"], nothing["runs_kept"]) == (0, 2)
    add_a_newer_run(folder / "latency.sqlite")
    for typed in ("n\n", ""):  # a refusal; no answer
        monkeypatch.setattr("sys.stdin", StringIO(typed))
        refused = nastool("db", "prune", cwd=folder)
        assert refused.code == 1
        assert "Remove 1 of 3 runs from latency.sqlite?" in refused.stderr
    assert nastool("db", "prune", "--yes", "--json", cwd=folder).json == {
        "schema_version": 1,
        "db": "latency.sqlite",
        "runs_removed": 1,
        "runs_kept": 2,
    }
    assert (
        nastool("db", "import", "table.json", "--json", cwd=folder).json["runs_added"] == 1
    )  # the removed run can be imported again


def add_a_newer_run(path: Path) -> None:
    from latency_db.runs import NewRun
    from latency_db.store import open_store
    from latency_db.table import Sample

    with open_store(path) as store:
        (target,) = (target for target, parts in store.targets() if parts)
        keys = [row.key for row in store.networks(target, "")]
        run = store.begin_run(target, dict.fromkeys(keys, "hash"), NewRun("shufflenet_v2_quick", "digest-1", "1", 1))
        store.add_round(run, 0, {key: Sample(1, 1.0, 1.0, 1.0, 1.0) for key in keys})
        store.finish_run(run)


@pytest.mark.parametrize(
    ("words", "pieces"),
    [
        ("db list --db nowhere.sqlite", ["the latency table nowhere.sqlite does not exist", "nastool profile"]),
        ("db show 77", ["no target begins with '77'", "nastool db list"]),
        ("db show 9 --run 2", ["run 2 has the target"]),
        ("db show 9 --run 9", ["there is no run 9"]),
        ("db export latency.sqlite", ["is the latency table itself. Give another file name"]),
        ("db export new.json --target b", ["no finished run to export"]),
        ("db import latency.sqlite", ["latency.sqlite is not an exported latency table", "nastool db export"]),
        ("db import none.json --db made.sqlite", ["cannot read none.json"]),
        ("db diff latency.sqlite nowhere", ["nowhere is neither a file that exists nor the id of a target"]),
        ("db list --db postgresql://ann:s3cret@127.0.0.1:1/x", ["ann@127.0.0.1:1/x cannot be used", "--db"]),
        ("db list --db mysql://ann:s3cret@farm/x", ["not in mysql", "--db latency.sqlite"]),
        ("db list --db .", ["cannot open the latency table .: it is a folder", "--db"]),
        ("db list --db :memory:", [":memory: would be lost when the command ends", "--db latency.sqlite"]),
        ("db list --db postgresql:/ann:s3cret@farm/x", ["begins with postgresql cannot be read as a URL"]),
        ("db diff ann:s3cret@farm/x 9", ["begins with user:password@host cannot be read"]),
        ("devices titanpx", ["unknown device 'titanpx'", "Did you mean titanxp", "nastool devices"]),
    ],
)
def test_bad_arguments_are_named(nastool: Nastool, folder: Path, words: str, pieces: list[str]) -> None:
    nastool("db", "list", cwd=folder)  # upgrades the table
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    answer = nastool(*words.split(), cwd=folder)
    assert answer.code == 2, answer
    text = " ".join(answer.stderr.split())
    for piece in pieces:
        assert piece in text
    assert "s3cret" not in text
    assert answer.stdout == ""
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_devices_lists_attached_measured_and_known_devices(nastool: Nastool, folder: Path) -> None:
    report = nastool("devices", "--json", cwd=folder).json
    assert report["attached"][0]["name"] == "cpu"
    assert {target["target"]["device_model"] for target in report["measured"]} == {"Some CPU @ 2 GHz"}
    assert [device["name"] for device in report["known"]] == [device.name for device in known()]
    text = nastool("devices", cwd=folder).stdout
    assert "titanxp" in text
    assert "Some CPU @ 2 GHz" in text


def test_devices_shows_one_device_with_its_sources(nastool: Nastool, tmp_path: Path) -> None:
    one = nastool("devices", "titan-xp", "--json", cwd=tmp_path).json
    assert one["roofline"]["flops_per_s"] == 2.03e12
    text = " ".join(nastool("devices", "titan-xp", cwd=tmp_path).stdout.split())
    assert "TensorRT 8.6" in text
    assert "Table 5" in text
    assert list(tmp_path.iterdir()) == []


def test_known_device_that_is_not_attached_exits_with_5(nastool: Nastool, tmp_path: Path) -> None:
    answer = nastool("profile", "--device", "titanxp", cwd=tmp_path)
    assert answer.code == 5, answer
    text = " ".join(answer.stderr.split())
    for piece in ("titanxp (NVIDIA TITAN Xp) is not attached", "Attached: cpu", "--estimate", "nastool db import FILE"):
        assert piece in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("db", ["", "  "])
def test_empty_db_is_refused(nastool: Nastool, tmp_path: Path, db: str) -> None:
    for words in (("db", "list"), ("db", "show", "9"), ("db", "diff", "1", "2")):
        answer = nastool(*words, "--db", db, cwd=tmp_path)
        assert answer.code == 2, answer
        assert "empty" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_missing_lock_folder_is_refused_before_any_work(
    nastool: Nastool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASTOOL_LOCKS", str(tmp_path / "missing"))
    answer = nastool("profile", "--backend", "fake", cwd=tmp_path)
    assert answer.code == 2, answer
    assert "Create it, or unset NASTOOL_LOCKS" in answer.stderr
    assert "export variants" not in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_run_that_starts_in_the_future_is_reported(nastool: Nastool, folder: Path) -> None:
    add_a_newer_run(folder / "latency.sqlite")
    connection = sqlite3.connect(folder / "latency.sqlite")
    connection.execute("UPDATE profile_runs SET started_at = '2999-01-01T00:00:00+00:00' WHERE id = 3")
    connection.commit()
    connection.close()
    answer = nastool("db", "list", cwd=folder)
    assert answer.code == 0
    assert "warning: 1 of the runs start in the future (e.g. 2999-01-01" in answer.stderr
