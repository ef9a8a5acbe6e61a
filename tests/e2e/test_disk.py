"""A full or read-only disk: a clear error, no partial file, no lost data, and the same command resumes.

The disks are real: small file systems in memory, which only root can mount.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

Nastool = Callable[..., Any]
DISK_BYTES = 8 * 2**20
CHECKPOINT = Path("runs/r/supernet/checkpoint.pt")


class Disk:
    """A file system of 8 MB, mounted at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, leave_bytes: int = 0) -> None:
        """Use all space except `leave_bytes`."""
        free = shutil.disk_usage(self.folder).free
        with self._filler.open("wb") as file:
            file.write(b"\0" * max(0, free - leave_bytes))

    def free(self) -> None:
        self._filler.unlink()

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", self.folder], check=True)

    def contents(self) -> dict[str, bytes]:
        """The content of all files except the filler and the empty lock."""
        files = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in files
            if path.name != ".lock" and path != self._filler
        }


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk to fill: mounting one takes root ({mounted.stderr.decode().strip()})")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.long
def test_disk_fills_up_during_training(disk: Disk, finished_job: Any, settings: str, nastool: Nastool) -> None:
    """There is space for one checkpoint but not for two: the first one stays, and training resumes from it."""
    (disk.folder / "nastool.toml").write_text(
        settings.replace("[train]", "[train]\ncheckpoint_every_s = 0.0")  # one after each step
    )
    whole = finished_job.folder / CHECKPOINT
    disk.fill(leave_bytes=int(1.5 * whole.stat().st_size))
    failed = nastool("train", cwd=disk.folder)
    assert failed.code == 2
    assert f"cannot write {CHECKPOINT}: No space left on device" in failed.stderr
    assert "Earlier content is unchanged" in failed.stderr
    assert "Free some space" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert [path.name for path in (disk.folder / CHECKPOINT).parent.iterdir()] == ["checkpoint.pt"]
    assert torch.load(disk.folder / CHECKPOINT, weights_only=True)["step"] == 1

    disk.free()
    assert nastool("train", "--json", cwd=disk.folder).json == finished_job.answers["train"].json
    resumed, expected = (torch.load(path, weights_only=True)["model"] for path in (disk.folder / CHECKPOINT, whole))
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)


# Command -> files that it wrote, which are removed before it runs again.
COMMANDS = {
    "train": ("train", "runs"),
    "search": ("search --latency 100ms --macs 31k", "runs/r/search"),
    "retrain": ("retrain", "runs/r/retrain"),
    "export": ("export", "runs/r/export"),
}


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS)
def test_no_space_at_all(command: str, disk: Disk, finished_job: Any, nastool: Nastool) -> None:
    words = prepared(command, disk, finished_job)
    disk.fill()
    before = disk.contents()
    failed = nastool(*words, cwd=disk.folder)
    assert failed.code == 2, failed
    assert "cannot write runs/r/" in failed.stderr
    assert "No space left on device" in failed.stderr
    assert "Free some space" in failed.stderr
    assert "Traceback" not in failed.stderr
    after = disk.contents()
    assert {name: after.get(name) for name in before} == before
    assert not [name for name in after.keys() - before.keys() if name.endswith((".tmp", ".onnx", ".pt", ".json"))]

    disk.free()
    done = nastool(*words, "--json", cwd=disk.folder)
    assert done.code == 0, done.stderr
    timed = ("models", "files", "passed_over")  # depend on time, like every key that starts with measured_
    same = {key for key in done.json if key not in timed and not key.startswith("measured_")}
    expected = finished_job.answers[command].json
    assert {key: done.json[key] for key in same} == {key: expected[key] for key in same}


@pytest.mark.long
def test_export_that_does_not_fit_keeps_the_previous_one(disk: Disk, finished_job: Any, nastool: Nastool) -> None:
    shutil.copytree(finished_job.folder, disk.folder, dirs_exist_ok=True)
    disk.fill(leave_bytes=40_000)  # the file takes 96 kB
    before = disk.contents()
    assert nastool("export", cwd=disk.folder).code == 2
    assert disk.contents() == before
    assert nastool("check", cwd=disk.folder).code == 0


@pytest.mark.long
def test_no_space_for_temporary_files(disk: Disk, settings: str, tmp_path: Path) -> None:
    """Variants are exported into a temporary folder before they are timed."""
    (tmp_path / "nastool.toml").write_text(settings)
    disk.fill(leave_bytes=50_000)
    process = subprocess.run(
        [sys.executable, "-m", "cli.main", "profile"],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(disk.folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 2, process.stderr
    assert f"cannot write {disk.folder}" in process.stderr or "cannot write a file" in process.stderr
    assert "No space left on device. Free some space" in process.stderr
    assert "Traceback" not in process.stderr
    assert not list(disk.folder.glob("nastool-*"))


def test_no_space_for_the_table(disk: Disk, settings: str, nastool: Nastool) -> None:
    (disk.folder / "nastool.toml").write_text(settings)
    disk.fill()
    failed = nastool("profile", cwd=disk.folder)
    assert failed.code == 2, failed
    assert "cannot write the latency table latency.sqlite" in failed.stderr
    assert "Free disk space" in failed.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_read_only(command: str, disk: Disk, finished_job: Any, nastool: Nastool) -> None:
    words = prepared(command, disk, finished_job)
    before = disk.contents()
    disk.remount("ro")
    failed = nastool(*words, cwd=disk.folder)
    assert failed.code == 2, failed
    assert "Read-only file system" in failed.stderr
    assert "Make the folder writable, or choose another folder with --runs" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert disk.contents() == before


def test_reading_commands_work_on_a_read_only_disk(disk: Disk, finished_job: Any, nastool: Nastool) -> None:
    """Commands that only read work on a read-only disk: check, and cost with latency."""
    shutil.copytree(finished_job.folder, disk.folder, dirs_exist_ok=True)
    disk.remount("ro")
    assert nastool("check", "--json", cwd=disk.folder).json["passed"] is True
    arch = ("--arch", " ".join(finished_job.answers["search"].json["architecture"]))
    cost = nastool("cost", *arch, "--json", cwd=disk.folder)
    assert cost.code == 0, cost.stderr
    assert cost.json["latency_ms"] == finished_job.answers["search"].json["latency_ms"]


def test_runs_folder_is_a_file(job: Any, nastool: Nastool) -> None:
    before = sorted(os.walk(job.folder))
    failed = nastool("train", "--runs", "nastool.toml", cwd=job.folder)
    assert failed.code == 2
    assert "cannot write nastool.toml/r" in failed.stderr
    assert "choose another folder with --runs" in failed.stderr
    assert sorted(os.walk(job.folder)) == before


def prepared(command: str, disk: Disk, finished_job: Any) -> list[str]:
    words, undone = COMMANDS[command]
    shutil.copytree(finished_job.folder, disk.folder, dirs_exist_ok=True)
    shutil.rmtree(disk.folder / undone)
    return words.split()
