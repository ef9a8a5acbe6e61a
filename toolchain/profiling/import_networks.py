"""`nastool db fit`: import latencies of whole networks that were measured elsewhere.

The networks are stored together with the latencies of block variants that are fitted to them. The backend of their
target is `regression`: no variant was measured, and nothing was measured here.
"""

import csv
from dataclasses import dataclass, replace
from importlib.metadata import version
from io import StringIO
from pathlib import Path

from exporters.manifest import sha256
from latency_db.runs import NewRun
from latency_db.store import open_store
from latency_db.table import Sample
from latency_db.target import Target
from latency_db.where import shown
from toolchain.config import Config
from toolchain.costs.latency import LatencyModel, network_key
from toolchain.costs.regression import REGRESSION
from toolchain.errors import BadArchitecture, BadData
from toolchain.measuring.target_identity import regression_target
from toolchain.profiling.regression import FEWEST, TARGET, Fit, fit
from toolchain.spaces.core import Architecture, SearchSpace

COLUMNS = ("architecture", "latency_ms")
MAX_NAMED = 3  # invalid lines in a message


@dataclass(frozen=True)
class Fitted:
    """The result of a fit, as stored in the latency table."""

    space: str
    db: str  # where the table is, without a password
    target: Target
    networks: int
    fit: Fit

    def as_dict(self) -> dict[str, object]:
        """The content of --json."""
        fit = self.fit
        return {
            "space": self.space,
            "db": self.db,
            "target": self.target.as_dict(),
            "networks": self.networks,
            "coefficients": fit.coefficients,
            "by_position": fit.by_position,
            "ridge": fit.ridge,
            "mape": fit.mape,
            "bias": fit.bias,
            "tau": fit.tau,
            "skill": fit.skill,
            "learning_curve": [{"networks": count, "mape": error} for count, error in fit.curve],
            "target_mape": TARGET,
            "more_networks": fit.more,
            "rows": dict(fit.rows),
        }


def fit_table(config: Config, space: SearchSpace, path: Path) -> Fitted:
    """Fit the networks in the CSV file `path`, and store them with the fitted latencies of block variants.

    Raises:
        UnknownDevice: the device is neither known nor attached.
        BadData: the file cannot be read, or has invalid lines; nothing is stored.
        LatencyDbError: the database cannot be used.
    """
    profile = config.profile
    target = regression_target(profile.device, profile.precision, profile.batch)
    measured = read_networks(path, space)
    fitted = fit(space, list(measured), list(measured.values()))
    digest = sha256(path)
    rows = {**fitted.rows, **{network_key(space, arch): ms for arch, ms in measured.items()}}
    with open_store(profile.db) as store:
        new = NewRun(
            space=space.name,
            space_digest=space.digest,
            code_version=version("nastool"),
            rounds=1,
            kind="fit",
            origin=f"{path.name}, SHA-256 {digest[:16]}",
        )
        run_id = store.begin_run(target, dict.fromkeys(rows, ""), new)  # no graph was exported
        store.add_round(run_id, 0, {key: Sample(1, ms, ms, ms, ms) for key, ms in rows.items()})
        store.finish_run(run_id)
    return Fitted(space.name, shown(profile.db), target, len(measured), fitted)


def read_networks(path: Path, space: SearchSpace) -> dict[Architecture, float]:
    """Architectures and their latencies in ms; the mean if an architecture is listed several times.

    Raises:
        BadData: the file or a column is missing, there are too few networks, or lines are invalid.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise BadData(
            f"cannot read {path}: {problem}. Give a CSV file with the columns architecture,latency_ms"
        ) from None
    reader = csv.DictReader(StringIO(text))
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise BadData(
            f"{path} has no column {' and no column '.join(missing)}. Its first line must name the columns: "
            f"architecture,latency_ms"
        )
    latencies: dict[Architecture, list[float]] = {}
    invalid: list[str] = []
    for line in reader:
        try:
            arch, ms = _network(line, space)
        except (BadArchitecture, ValueError) as problem:
            invalid.append(f"line {reader.line_num}: {problem}")
            continue
        latencies.setdefault(arch, []).append(ms)
    if invalid:
        more = f" (and {len(invalid) - MAX_NAMED} more)" if len(invalid) > MAX_NAMED else ""
        raise BadData(f"{path}: {'; '.join(invalid[:MAX_NAMED])}{more}. Fix or remove them; nothing was stored")
    if len(latencies) < FEWEST:
        raise BadData(
            f"{path} has {len(latencies)} different networks; a fit needs at least {FEWEST}, and should have more than "
            f"there are choices. Add some and run the same command again, or run nastool profile on the device"
        )
    return {arch: sum(several) / len(several) for arch, several in latencies.items()}


def held_out(space: SearchSpace, model: LatencyModel) -> LatencyModel:
    """A model of fitted latencies, calibrated on held-out predictions: each network is predicted by a fit without it.

    The fitted latencies would look too good on the networks that they were fitted to.
    """
    if model.target.backend != REGRESSION or len(model.measured_ms) < FEWEST:
        return model
    fitted = fit(space, list(model.measured_ms), list(model.measured_ms.values()))
    return replace(model, sums_ms=dict(zip(model.measured_ms, map(float, fitted.held_out_ms), strict=True)))


def _network(line: dict[str, str | None], space: SearchSpace) -> tuple[Architecture, float]:
    arch = space.architecture(line["architecture"] or "")
    text = line["latency_ms"] or ""
    try:
        ms = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a latency in ms") from None
    if not 0 < ms < float("inf"):
        raise ValueError(f"{text} ms is not a latency")
    return arch, ms
