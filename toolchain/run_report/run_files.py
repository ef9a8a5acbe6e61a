"""The files of a run, each read and validated through its type. A file that does not exist yet is None or empty."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from latency_db.errors import MissingLatency
from latency_db.where import exists
from toolchain.check.kept_verdict import KeptVerdict, read_verdict
from toolchain.config import Config, load_config
from toolchain.costs.core import TableCost
from toolchain.costs.corrections import Correction
from toolchain.costs.counted import counted_by_name
from toolchain.costs.latency import corrected, latency_cost
from toolchain.export.manifest import REMEDY as EXPORT_REMEDY
from toolchain.export.manifest import Manifest
from toolchain.files import parse_document, read_document
from toolchain.nets.checked_space import configured_space
from toolchain.run_report.measurements import Measurements
from toolchain.runs import Environment, Run
from toolchain.search.front import Front
from toolchain.search.journal import REMEDY, Journal, JournalHeader, JournalLine
from toolchain.search.measured import MeasuredLine
from toolchain.search.scores import CandidateLine
from toolchain.search.winner import Winner, read_winner
from toolchain.shrink.result import ShrinkResult
from toolchain.spaces.core import SearchSpace
from toolchain.training.retrained import Retrained, read_retrained

Line = TypeVar("Line", bound=JournalLine)
Choices = tuple[str, ...]


@dataclass(frozen=True)
class RunFiles:
    """A run and its files, read when they are first used.

    Args:
        db: the latency table; a relative path is looked up in the working directory, then beside the folder of runs.
    """

    run: Run
    db: str

    @cached_property
    def config(self) -> Config:
        return load_config(self.run.config, {})

    @cached_property
    def environment(self) -> Environment:
        return read_document(self.run.folder / "env.json", Environment, "Run any stage of the run again")

    @cached_property
    def space(self) -> SearchSpace:
        return configured_space(self.config)

    @cached_property
    def winners(self) -> Mapping[str, Winner]:
        """By budget."""
        return {name: read_winner(self.run.budget(name) / "best.json", self.space) for name in self.run.budgets}

    @cached_property
    def last_winner(self) -> Winner | None:
        """The winner of the last budget."""
        return read_winner(self.run.best, self.space) if self.run.best.exists() else None

    @cached_property
    def front(self) -> Front | None:
        """Of the last search for several budgets."""
        return read_document(self.run.front, Front, "Run nastool search again") if self.run.front.exists() else None

    @cached_property
    def candidates(self) -> tuple[CandidateLine, ...]:
        """All complete scores, of searches without and with a race."""
        lines = [line for path in (self.run.candidates, self.run.raced) for line in self.lines(path, CandidateLine)]
        return tuple(line for line in lines if line.images is None)

    @cached_property
    def measured(self) -> tuple[MeasuredLine, ...]:
        """All networks that searches have timed."""
        return self.lines(self.run.measured, MeasuredLine)

    @cached_property
    def retrained(self) -> Mapping[Choices, Retrained]:
        """By architecture."""
        results = [read_retrained(path) for path in sorted(self.run.folder.glob("retrain/*/result.json"))]
        return {result.architecture: result for result in results}

    @cached_property
    def manifests(self) -> Mapping[Path, Manifest]:
        """By the folder of the export."""
        paths = sorted((self.run.folder / "export").rglob("manifest.json"))
        return {path.parent: read_document(path, Manifest, EXPORT_REMEDY) for path in paths}

    @cached_property
    def shrink(self) -> ShrinkResult | None:
        path = self.run.shrink / "result.json"
        return read_document(path, ShrinkResult, "Run nastool shrink again") if path.exists() else None

    @cached_property
    def counted(self) -> Mapping[str, TableCost]:
        """MACs, parameters, BitOps and bits of weights of the space."""
        return counted_by_name(self.space)

    def journal(self, path: Path) -> JournalHeader | None:
        """The first line of a journal."""
        if not path.exists():
            return None
        header = path.read_bytes().partition(b"\n")[0]
        return parse_document(header, JournalHeader, f"line 1 of {path}", REMEDY)

    def exports(self, budget: str) -> tuple[Path, Manifest] | None:
        """The export of the winner of a budget: its own folder, or that of the run if it is of this network."""
        for folder in (self.run.folder / "export" / budget, self.run.folder / "export"):
            manifest = self.manifests.get(folder)
            if manifest is not None and manifest.architecture == self.winners[budget].architecture:
                return folder, manifest
        return None

    def verdict(self, budget: str) -> KeptVerdict | None:
        """The last verdict on the exported network of a budget; None if it was not checked."""
        export = self.exports(budget)
        return None if export is None else read_verdict(*export)

    @cached_property
    def measurements(self) -> Measurements:
        """The latency table."""
        places = [self.db, str(self.run.folder.parent.parent / self.db)]
        return Measurements(self.space, next((place for place in places if exists(place)), None), self.db)

    def latency(self, winner: Winner) -> TableCost | None:
        """The latency that the model of `winner` predicts; None if its measurement is not in the table here."""
        return None if self.why_not_predicted(winner) else self._latency(winner)

    def why_not_predicted(self, winner: Winner) -> str:
        """Why the prediction of a winner cannot be computed again; empty if it can."""
        if reason := self.measurements.why_missing(winner.target, winner.profile_runs):
            return reason
        cost = self._latency(winner)
        if cost is None:
            return self.measurements.no_records
        if winner.profile_runs:
            return ""
        predicted_ms = cost.cost(self.space.architecture(winner.architecture))
        return self.measurements.why_another(winner.target, winner.latency_ms, predicted_ms)

    def _latency(self, winner: Winner) -> TableCost | None:
        table, calibration = self.measurements.table(winner.target, winner.profile_runs), winner.calibration
        if table is None or calibration is None:
            return None
        try:
            cost = latency_cost(self.space, table)
        except MissingLatency:
            return None
        correction = Correction(calibration.scale, calibration.offset_ms, calibration.per_gmac_ms)
        macs = self.counted["macs"] if calibration.per_gmac_ms else None
        return corrected(cost, correction, macs, calibration.in_words)

    def lines(self, path: Path, model: type[Line]) -> tuple[Line, ...]:
        """The lines of a journal; none if it does not exist."""
        header = self.journal(path)
        if header is None:
            return ()
        return tuple(Journal(path, header.fingerprint, model, self.space, writes=False).lines)
