"""The folder of a run: where each command writes its files, and the lock against a second command."""

import fcntl
import hashlib
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import IO, Literal
from weakref import ref

from exporters.manifest import MANIFEST
from toolchain.config import Config
from toolchain.config.run_settings import ABOUT_RUN, stored_content
from toolchain.errors import MissingOutput, MissingStage, RunFolderError
from toolchain.files import Document, unwritable, write_bytes, write_document
from toolchain.parallel.ranks import rank
from toolchain.spaces.core import Architecture

Stage = Literal["train", "search", "retrain", "export", "rank"]
# The keys and sections of config.toml that each command replaces.
SETTINGS: Mapping[Stage, tuple[str, ...]] = MappingProxyType(
    {
        "train": (*ABOUT_RUN, "train"),
        "search": ("data", "track", "search", "profile"),  # the same data may have moved
        "retrain": ("track", "retrain"),
        "export": ("export",),
        "rank": (),
    }
)
VERDICT = "check.json"
NAMED_PACKAGES = ("nastool", "torch", "torchvision", "onnx", "onnxscript", "numpy", "sqlalchemy")


@dataclass(frozen=True)
class Run:
    """Paths of the files of a run.

    Args:
        exported: the folder of the export: a name inside `export/`, or any absolute path; default: `export/` itself.
    """

    folder: Path
    exported: str = ""

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def supernet(self) -> Path:
        return self.folder / "supernet" / "checkpoint.pt"

    @property
    def learned(self) -> Path:
        """The architecture that a training with architecture parameters ended with."""
        return self.folder / "supernet" / "architecture.json"

    @property
    def supernet_scores(self) -> Path:
        """Hold-out accuracy of fixed paths along the training of the supernet."""
        return self.folder / "supernet" / "holdout.json"

    @property
    def candidates(self) -> Path:
        return self.folder / "search" / "candidates.jsonl"

    @property
    def raced(self) -> Path:
        """`candidates` of searches with a race, where a score may cover only a part of the hold-out."""
        return self.folder / "search" / "candidates_race.jsonl"

    def partial_scores(self, rank: int) -> Path:
        """Partial scores of the current generation in process `rank`."""
        return self.folder / "search" / f"partial_scores_{rank}.pt"

    @property
    def finalists(self) -> Path:
        """The trainings of finalists: a folder for each setting, with a journal."""
        return self.folder / "search" / "finalists"

    @property
    def measured(self) -> Path:
        return self.folder / "search" / "measured.jsonl"

    @property
    def best(self) -> Path:
        """The winner of the last budget."""
        return self.folder / "search" / "best.json"

    def budget(self, name: str) -> Path:
        """The folder of one budget: best.json and pictures."""
        return self.folder / "search" / name

    @property
    def front(self) -> Path:
        """The accuracy-cost front of a search for several budgets."""
        return self.folder / "search" / "front.json"

    def retrain(self, arch: Architecture) -> Path:
        """The folder of one retrained architecture: checkpoint.pt, best.pt, result.json."""
        return self.folder / "retrain" / hashlib.sha256(str(arch).encode()).hexdigest()[:8]

    @property
    def ranked(self) -> Path:
        """The journal of networks that a ranking has trained from scratch."""
        return self.folder / "rank" / "networks.jsonl"

    def repeat(self, number: int) -> "Run":
        """The folder of the networks that a ranking trains with the seed of one repeat."""
        return Run(self.folder / "rank" / f"repeat_{number}")

    def shipping(self, budget: str | None, out: Path | None = None) -> "Run":
        """The same run with the export of one budget, in `export/BUDGET/` or in the folder `out`."""
        return replace(self, exported=str(out.absolute()) if out is not None else budget or "")

    def export_by_hand(self, arch: Architecture) -> Path:
        """A folder for the export of an architecture that no search chose, beside those of the budgets."""
        return self.folder / "export" / self.retrain(arch).name

    @property
    def budgets(self) -> tuple[str, ...]:
        """Names of the budgets that have a winner."""
        return tuple(sorted(best.parent.name for best in self.best.parent.glob("*/best.json")))

    @property
    def shrink(self) -> Path:
        """The folder of what only `nastool shrink` writes: the original's figures, and the comparison with it."""
        return self.folder / "shrink"

    @property
    def original(self) -> Path:
        """The model before it was shrunk."""
        return self.shrink / "original.onnx"

    @property
    def onnx(self) -> Path:
        return self.folder / "export" / self.exported / "model.onnx"

    @property
    def manifest(self) -> Path:
        return self.onnx.with_name(MANIFEST)

    @property
    def verdict(self) -> Path:
        """The last verdict on the export."""
        return self.onnx.with_name(VERDICT)

    def require_export(self) -> None:
        """Check that there is an export, or that only budgets were exported.

        Raises:
            MissingStage: only other budgets were exported; the message names them.
        """
        others = sorted(path.parent.name for path in (self.folder / "export").glob(f"*/{MANIFEST}"))
        if others and not self.manifest.exists():
            raise MissingStage(
                f"{self.manifest} does not exist, and there are exports of other budgets. "
                f"Write --budget {' or '.join(others)}"
            )

    def require(self, path: Path, command: str) -> None:
        """Check that `path`, which `command` writes, exists.

        Raises:
            MissingOutput: it does not; the message names the command to run.
        """
        if not path.exists():
            raise MissingOutput(str(path), command, self.folder.name)


@contextmanager
def open_run(config: Config, make: bool = False, stage: Stage | None = None) -> Iterator[Run]:
    """The folder of a run, locked against a second command; created first if `make`.

    config.toml keeps the settings of each stage: a command replaces those of its `stage`, or all of them if that is
    None. It is written when a command ends without an error, so a refused command leaves it unchanged. Of several
    processes that execute one command, only the first locks and writes.

    Raises:
        MissingOutput: the run does not exist yet.
        RunFolderError: its folder cannot be written, or another command uses it.
    """
    run = run_of(config)
    if rank() > 0:
        yield run
        return
    if not make and not run.folder.exists():
        raise MissingOutput(f"the run {run.folder}", "train", config.run)
    with _locked(run.folder):
        if not run.config.exists():
            _describe(run, config, stage)
        yield run
        _describe(run, config, stage)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; it is released when this process ends, even if its workers live on."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as problem:
        raise unwritable(folder, problem) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunFolderError(
                f"another nastool command is using {folder}. Wait until it ends, or use another --run NAME"
            ) from None
        # A forked data worker would share the lock and outlive a killed command by seconds.
        os.register_at_fork(after_in_child=partial(_close, ref(lock)))
        yield


def _close(lock: "ref[IO[str]]") -> None:
    file = lock()
    if file is not None:
        file.close()


def _describe(run: Run, config: Config, stage: Stage | None) -> None:
    own = tuple(Config.model_fields) if stage is None else SETTINGS[stage]
    write_bytes(run.config, stored_content(run.config, config, own).encode())
    write_document(run.folder / "env.json", environment())


def run_of(config: Config) -> Run:
    """The run that the configuration names; its folder may not exist."""
    return Run(config.runs / config.run)


class Environment(Document):
    """The content of env.json: the versions and the machine that a run was made with."""

    schema_version: Literal[1] = 1
    python: str
    platform: str
    packages: dict[str, str]


def environment() -> Environment:
    """This Python, this machine and the installed versions."""
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: version(name) for name in NAMED_PACKAGES} | _runtimes(),
    )


def _runtimes() -> dict[str, str]:
    """The installed ones of ONNX Runtime's two distributions."""
    versions = {}
    for name in ("onnxruntime-gpu", "onnxruntime"):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
