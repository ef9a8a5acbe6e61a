"""A run is a folder. Each command reads only files that earlier ones wrote into it."""

import fcntl
import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from exporters.manifest import MANIFEST
from toolchain.config import Config
from toolchain.errors import BadCheckpoint, MissingStage, RunFolderError
from toolchain.files import unwritable, write_bytes, write_json
from toolchain.parallel.ranks import rank
from toolchain.spaces.core import Architecture, SearchSpace

NAMED_PACKAGES = ("nastool", "torch", "torchvision", "onnx", "onnxscript", "numpy", "sqlalchemy")


@dataclass(frozen=True)
class Run:
    """Where a run keeps what."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def supernet(self) -> Path:
        return self.folder / "supernet" / "checkpoint.pt"

    @property
    def candidates(self) -> Path:
        return self.folder / "search" / "candidates.jsonl"

    @property
    def raced(self) -> Path:
        """As `candidates`, of searches with a race, whose scores may be of a part of the hold-out."""
        return self.folder / "search" / "candidates_race.jsonl"

    def partial_scores(self, rank: int) -> Path:
        """What process `rank` has computed of the generation under way."""
        return self.folder / "search" / f"under_way_{rank}.pt"

    @property
    def measured(self) -> Path:
        return self.folder / "search" / "measured.jsonl"

    @property
    def best(self) -> Path:
        """The winner of the last budget that was searched for."""
        return self.folder / "search" / "best.json"

    def budget(self, name: str) -> Path:
        """Each budget that was searched for has a folder: best.json and pictures."""
        return self.folder / "search" / name

    @property
    def front(self) -> Path:
        """What a search for several budgets ends with."""
        return self.folder / "search" / "front.json"

    def retrain(self, arch: Architecture) -> Path:
        """Each retrained architecture has a folder of its own: checkpoint.pt, best.pt, result.json."""
        return self.folder / "retrain" / hashlib.sha256(str(arch).encode()).hexdigest()[:8]

    @property
    def ranked(self) -> Path:
        """The networks that a ranking has trained from scratch."""
        return self.folder / "rank" / "networks.jsonl"

    def repeat(self, number: int) -> "Run":
        """Where a ranking keeps its networks: trained for it, with a seed for each repeat."""
        return Run(self.folder / "rank" / f"repeat_{number}")

    @property
    def onnx(self) -> Path:
        return self.folder / "export" / "model.onnx"

    @property
    def manifest(self) -> Path:
        return self.folder / "export" / MANIFEST

    def tensorboard(self, stage: str) -> Path:
        return self.folder / "tb" / stage

    def read(self, path: Path, written_by: str) -> dict[str, Any]:
        """The JSON that an earlier command wrote.

        Raises:
            MissingStage: it isn't there, or is damaged.
        """
        self.require(path, written_by)
        try:
            content: dict[str, Any] = json.loads(path.read_text())
        except ValueError as problem:
            raise MissingStage(f"{path} is damaged ({problem}). Remove it and type nastool {written_by}") from None
        return content

    def require(self, path: Path, written_by: str) -> None:
        """Check that an earlier command did its part.

        Raises:
            MissingStage: it didn't; the message says which to type.
        """
        if not path.exists():
            raise MissingStage(f"{path} is not there yet. Type nastool {written_by} --run {self.folder.name} first")


@contextmanager
def open_run(config: Config, make: bool = False) -> Iterator[Run]:
    """The run's folder, locked against a second command on it; made first, if `make`.

    Its config.toml is that of the last command that ended well: one that is refused leaves it as it was. Of several
    processes that do one command, the first alone locks and writes.

    Raises:
        MissingStage: there is no such run yet.
        RunFolderError: it can't be written, or another command works in it.
    """
    run = run_of(config)
    if rank() > 0:
        yield run
        return
    if not make and not run.folder.exists():
        raise MissingStage(f"there is no run {run.folder} yet. Type nastool train --run {config.run} first")
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        lock = (run.folder / ".lock").open("w")
    except OSError as problem:
        raise unwritable(run.folder, problem) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunFolderError(
                f"another nastool command works in {run.folder}. Wait for it, or use another --run NAME"
            ) from None
        if not run.config.exists():
            _describe(run, config)
        yield run
        _describe(run, config)


def _describe(run: Run, config: Config) -> None:
    write_bytes(run.config, config.as_toml().encode())
    write_json(run.folder / "env.json", environment())


def run_of(config: Config) -> Run:
    """The run that the configuration names, there or not."""
    return Run(config.runs / config.run)


@dataclass(frozen=True)
class SelectedArchitecture:
    """The architecture to go on with, and the limits that it won under; one named by hand has none.

    `target` is the id of the target that a latency limit is for, and `anchor_ms` what the anchor network took
    there when the limit was met (0: not known).
    """

    architecture: Architecture
    limits: Mapping[str, float]
    data: str | None = None
    data_digest: str | None = None
    target: str | None = None
    anchor_ms: float | None = None

    def require_data(self, name: str, digest: str) -> None:
        """A winner is one on the data that it was scored on.

        Raises:
            BadCheckpoint: this is other data.
        """
        if self.data_digest is not None and self.data_digest != digest:
            raise BadCheckpoint(
                f"this winner was searched for on {self.data}, and {name} is another data set, or has other images "
                f"now. Give --data {self.data}, or search again; --arch trains any architecture on any data"
            )


def select_architecture(named: str | None, budget: str | None, space: SearchSpace, run: Run) -> SelectedArchitecture:
    """The architecture that a user named, or else the winner of a budget, or else of the last one searched for.

    Raises:
        BadArchitecture: what was named is none of the space's.
        BadCheckpoint: the winner is one of another space.
        MissingStage: nothing was named and nothing searched.
    """
    if named is not None:
        return SelectedArchitecture(space.architecture(named), {})
    path = run.best if budget is None else run.budget(budget) / "best.json"
    if not path.exists() and run.best.exists():
        there = sorted(found.parent.name for found in run.best.parent.glob("*/best.json"))
        raise MissingStage(f"no search had the budget {budget!r}. Write --budget {' or '.join(there)}")
    best = run.read(path, "search")
    if best["space_digest"] != space.digest:
        same_name = best["space"] == space.name
        remedy = "which has changed since. Search again" if same_name else f"not of {space.name}. Give its --space"
        raise BadCheckpoint(f"{path} is a winner of the space {best['space']}, {remedy}")
    arch = space.architecture(best["architecture"])
    return winner_of(arch, best)


def winner_of(arch: Architecture, best: Mapping[str, Any]) -> SelectedArchitecture:
    """The winner that a best.json tells of; older ones lack some of it."""
    told = {key: best[key] for key in ("data", "data_digest", "target") if key in best}
    return SelectedArchitecture(arch, best["limits"], **told, anchor_ms=best.get("measured_anchor_ms") or None)


def environment() -> dict[str, Any]:
    """What a run was made with: versions and machine."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in NAMED_PACKAGES} | _runtime(),
    }


def _runtime() -> dict[str, str]:
    """ONNX Runtime comes as one of two distributions."""
    there = {name: _version(name) for name in ("onnxruntime-gpu", "onnxruntime")}
    return {name: found for name, found in there.items() if found is not None}


def _version(name: str) -> str | None:
    """The version of a distribution, or None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
