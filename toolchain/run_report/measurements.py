"""The measurements that the predictions of a run come from: runs of the latency table, named by their uids."""

from dataclasses import dataclass, field
from math import isclose

from latency_db.errors import UnknownTarget
from latency_db.store import open_store
from latency_db.table import LatencyTable
from toolchain.profiling.stored_table import has_runs, load_table
from toolchain.run_report.comparison import EXACT
from toolchain.spaces.core import SearchSpace

SHOWN = 8  # digits of a uid


@dataclass(frozen=True)
class Measurements:
    """The records of a space in the latency table at `place`; None if there is no table.

    Args:
        name: of the table, as it was given.
    """

    space: SearchSpace
    place: str | None
    name: str
    _loaded: dict[tuple[str, tuple[str, ...]], LatencyTable] = field(default_factory=dict, init=False, compare=False)

    @property
    def no_records(self) -> str:
        """The reason if a target or its block variants are not in the table."""
        return f"the records of its target are not in {self.name}"

    def table(self, target: str | None, profile_runs: tuple[str, ...]) -> LatencyTable | None:
        """The records of a target from these runs, or from all if none are named; None if the table lacks them."""
        if target is None or self.place is None or self.why_missing(target, profile_runs):
            return None
        if (target, profile_runs) not in self._loaded:
            with open_store(self.place) as store:
                known = store.target(target)
            self._loaded[target, profile_runs] = load_table(self.space, known, self.place, profile_runs or None)
        return self._loaded[target, profile_runs]

    def why_missing(self, target: str | None, profile_runs: tuple[str, ...]) -> str:
        """Why the table lacks the records of a target from these runs; empty if it has them."""
        if target is None or self.place is None:
            return self.no_records
        try:
            with open_store(self.place) as store:
                complete = has_runs(store, store.target(target), profile_runs)
        except UnknownTarget:
            return self.no_records
        uids = ", ".join(uid[:SHOWN] for uid in profile_runs)
        return "" if complete else f"the profile that it came from (run {uids}) is not in {self.name} any more"

    def why_another(self, target: str | None, stored_ms: float | None, computed_ms: float) -> str:
        """Why `computed_ms` may be from another profile than `stored_ms`, whose file names none; empty if it is not.

        Files of nastool 0.1.0 name none. If the space was profiled several times, a difference can be due to that.
        """
        if stored_ms is None or isclose(stored_ms, computed_ms, rel_tol=EXACT) or not self._several(target):
            return ""
        return "its file does not name the profile that it came from, and there are several"

    def _several(self, target: str | None) -> bool:
        """Whether the space was profiled more than once on a target."""
        if target is None or self.place is None:
            return False
        with open_store(self.place) as store:
            runs = store.runs(store.target(target))
        own = [run for run in runs if run.space_digest == self.space.digest and run.kind != "verify"]
        return len([run for run in own if run.finished_at is not None]) > 1
