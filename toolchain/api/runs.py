"""Finished runs: their winners, as results, modules and files."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.api.space import AnyArchitecture, Latency, Space
from toolchain.config import Config, load_config
from toolchain.errors import MissingOutput, MissingStage
from toolchain.progress import Progress, Quiet
from toolchain.runs import Run
from toolchain.spaces.core import Architecture

if TYPE_CHECKING:
    from torch import nn

    from toolchain.export.manifest import Manifest
    from toolchain.search.winner import Winner


@dataclass(frozen=True)
class ExportedFiles:
    """What an export wrote: the folder that ships, its ONNX file, and its manifest."""

    folder: Path
    onnx: Path
    manifest: "Manifest"


@dataclass(frozen=True)
class Measured:
    """A latency that was timed end to end, in ms a batch.

    Args:
        upper_ms: the upper bound by the rounds of the measurement, which was within the limit.
    """

    ms: float
    upper_ms: float | None


@dataclass(frozen=True)
class RunWinner:
    """The winner of one budget of a run.

    Args:
        budget: name of the budget, as `latency_6ms`; empty for the winner of the last search.
        record: the content of best.json.
    """

    run: "LoadedRun"
    budget: str
    record: "Winner"

    @property
    def architecture(self) -> Architecture:
        """One choice for each block."""
        return self.run.space.architecture(self.record.architecture)

    @property
    def costs(self) -> dict[str, int]:
        """MACs, parameters, BitOps and bits of weights."""
        return self.run.space.cost(self.architecture)

    @property
    def limits(self) -> dict[str, float]:
        """The maximum of each limited cost, in the unit of its name: `{"latency_ms": 6.0}`."""
        return self.record.limits

    @property
    def holdout_accuracy(self) -> float:
        """With inherited weights, from 0 to 1."""
        return self.record.holdout_accuracy

    @property
    def measured(self) -> Measured | None:
        """The measured latency with its upper bound; None if nothing was measured."""
        latency_ms = self.record.measured_latency_ms
        return None if latency_ms is None else Measured(latency_ms, self.record.measured_upper_ms)

    @property
    def measured_ms(self) -> float | None:
        """The latency of a batch, timed end to end; None if it was not measured."""
        return self.record.measured_latency_ms

    @property
    def test_accuracy(self) -> float:
        """Of the retrained network, from 0 to 1.

        Raises:
            MissingStage: it was not retrained.
        """
        from toolchain.training.retrained import read_retrained

        path = self.run.files.retrain(self.architecture) / "result.json"
        self.run.files.require(path, "retrain")
        return read_retrained(path).test_accuracy

    def torch(self) -> "nn.Module":
        """The network with its retrained weights, in eval mode: float32 (N, C, S, S) -> logits.

        Raises:
            MissingStage: it was not retrained.
        """
        from toolchain.training.retrained import read_network

        return read_network(self.run.space.definition, self.architecture, self.run.files)

    @property
    def onnx(self) -> Path:
        """The exported ONNX file: of the budget, or the run's export if it is of this network.

        Raises:
            MissingStage: it was not exported.
        """
        from toolchain.export.manifest import read_manifest

        files = self.run.files
        for exported in (files.shipping(self.budget), files):
            if exported.manifest.exists() and read_manifest(exported).architecture == self.record.architecture:
                return exported.onnx
        raise MissingOutput(f"the export of {self.budget or 'the winner'}", "export", files.folder.name)


@dataclass(frozen=True)
class LoadedRun:
    """A run folder: what it is about, its winners, and their latency and export."""

    files: Run

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.files.folder.name

    @cached_property
    def config(self) -> Config:
        """The settings of all stages."""
        return load_config(self.files.config, {"run": self.name, "runs": str(self.files.folder.parent)})

    @cached_property
    def space(self) -> Space:
        """The space that was searched."""
        return Space(self.config.space, self.config.fixed_ops, self.config.widths)

    @property
    def budgets(self) -> tuple[str, ...]:
        """Names of the budgets that have a winner: `latency_6ms`."""
        return self.files.budgets

    def winner(self, budget: str | None = None) -> RunWinner:
        """The winner of a budget, by its name or its amount (`"latency_6ms"`, `"6ms"`); default: of the last search.

        Raises:
            MissingStage: no search had this budget; the message names those that exist.
        """
        from toolchain.search.winner import read_winner

        name = "" if budget is None else self._budget(budget)
        path = self.files.budget(name) / "best.json" if name else self.files.best
        self.files.require(path, "search")
        return RunWinner(self, name, read_winner(path, self.space.definition))

    def _budget(self, text: str) -> str:
        names = [name for name in self.budgets if text == name or text in name.replace("+", "_").split("_")]
        if len(names) == 1:
            return names[0]
        raise MissingStage(
            f"the run {self.name} has no single budget {text!r}. It has {', '.join(self.budgets) or 'none'}"
        )

    def latency(self, arch: AnyArchitecture) -> Latency:
        """The predicted latency of any architecture of the space on the target of the run's search.

        Raises:
            MissingLatency: the space was not profiled on this target.
        """
        return self.space.latency(arch, **self.config.profile.model_dump(exclude_defaults=True))

    def export(
        self,
        budget: str | None = None,
        out: str | Path | None = None,
        progress: Progress | None = None,
        **settings: object,
    ) -> ExportedFiles:
        """Export the retrained winner, verified against torch and measured, as `nastool export`.

        Args:
            budget: as in `winner`.
            out: the folder to write; default: `export/` of the run, or `export/BUDGET/`.
            settings: keys of `[export]` in nastool.toml, as `precision=["fp16"]`.

        Raises:
            MissingStage: the winner was not retrained.
            CheckFailed: the file is over the budget; nothing is written.
        """
        from toolchain.export.pipeline import export
        from toolchain.runs import open_run
        from toolchain.search.winner import selected
        from toolchain.training.data import configured_data
        from toolchain.training.job import Job

        winner, says = self.winner(budget), progress or Quiet()
        flags = {f"export.{key}": value for key, value in settings.items()}
        config = load_config(self.files.config, {"run": self.name, "runs": str(self.files.folder.parent), **flags})
        space = self.space.definition
        chosen = selected(winner.record, space)
        data = configured_data(config, space, says)
        chosen.require_data(data.name, data.digest)
        with open_run(config, stage="export") as folder:
            folder = folder.shipping(winner.budget, None if out is None else Path(out))
            manifest = export(Job(config, space, data, folder, says), chosen)
        return ExportedFiles(folder.onnx.parent, folder.onnx, manifest)


def load_run(name: str, runs: str | Path = "runs") -> LoadedRun:
    """The run `name` in the folder `runs`.

    Raises:
        MissingStage: it does not exist; the message names those that do.
    """
    run = Run(Path(runs) / name)
    if not run.config.is_file():
        existing = ", ".join(run.name for run in list_runs(runs)) or "none"
        raise MissingStage(f"there is no run {name!r} in {runs}. Existing runs: {existing}")
    return LoadedRun(run)


def list_runs(runs: str | Path = "runs") -> list[LoadedRun]:
    """All runs in a folder, by name."""
    return [LoadedRun(Run(config.parent)) for config in sorted(Path(runs).glob("*/config.toml"))]
