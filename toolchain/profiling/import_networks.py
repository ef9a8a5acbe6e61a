"""`nastool db fit`: whole networks that were measured elsewhere, from a file into the latency table.

The networks go into the table as they are, and with them the additive rows that were fitted on them. Both belong to
the target (device, `regression`, batch), which says that nothing of it was measured part by part, nor here.
"""

import csv
import hashlib
from dataclasses import dataclass, replace
from importlib.metadata import version
from io import StringIO
from pathlib import Path

from latency_db.store import open_store
from latency_db.table import Sample
from latency_db.target import Target
from toolchain.config import Config
from toolchain.costs.latency import REGRESSION, LatencyModel, network_key
from toolchain.errors import BadArchitecture, BadData
from toolchain.measuring.target import regression_target
from toolchain.profiling.regression import FEWEST, Fit, fit
from toolchain.spaces.core import Architecture, SearchSpace

COLUMNS = ("architecture", "latency_ms")
MOST_NAMED = 3  # bad lines


@dataclass(frozen=True)
class Fitted:
    """What a fit left in the latency table."""

    fit: Fit
    networks: int
    target: Target


def fit_table(config: Config, space: SearchSpace, path: Path) -> Fitted:
    """Fit the networks in the CSV file `path`, and store them with the fitted rows.

    Raises:
        UnknownDevice: the device is neither known nor attached.
        BadData: the file can't be read, or lines of it are wrong; they are named, and nothing is stored.
        LatencyDbError: the database can't be used.
    """
    profile = config.profile
    target = regression_target(profile.device, profile.precision, profile.batch)
    measured = read_networks(path, space)
    found = fit(space, list(measured), list(measured.values()))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rows = {**found.rows, **{network_key(space, arch): ms for arch, ms in measured.items()}}
    with open_store(profile.db) as store:
        origin = f"{path.name}, SHA-256 {digest[:16]}"
        graphs = dict.fromkeys(rows, "")  # nothing was exported
        run_id = store.begin_run(
            target, space.name, space.digest, graphs, 1, version("nastool"), kind="fit", origin=origin, state={}
        )
        store.add_round(run_id, 0, {key: Sample(1, ms, ms, ms, ms) for key, ms in rows.items()})
        store.finish_run(run_id)
    return Fitted(found, len(measured), target)


def read_networks(path: Path, space: SearchSpace) -> dict[Architecture, float]:
    """Architectures and their latencies in ms; of one that is there several times, the mean.

    Raises:
        BadData: no such file, no such columns, too few networks, or bad lines, which are named by number.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise BadData(
            f"can't read {path}: {problem}. Give a CSV file with the columns architecture,latency_ms"
        ) from None
    reader = csv.DictReader(StringIO(text))
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise BadData(
            f"{path} has no column {' and no column '.join(missing)}. Its first line must name the columns: "
            f"architecture,latency_ms"
        )
    found: dict[Architecture, list[float]] = {}
    bad: list[str] = []
    for line in reader:
        try:
            arch, ms = _network(line, space)
        except (BadArchitecture, ValueError) as problem:
            bad.append(f"line {reader.line_num}: {problem}")
            continue
        found.setdefault(arch, []).append(ms)
    if bad:
        more = f" (and {len(bad) - MOST_NAMED} more)" if len(bad) > MOST_NAMED else ""
        raise BadData(f"{path}: {'; '.join(bad[:MOST_NAMED])}{more}. Mend or remove them; nothing was stored")
    if len(found) < FEWEST:
        raise BadData(
            f"{path} has {len(found)} different networks; a fit needs {FEWEST}, and better more than choices. Add some "
            f"and type the same again, or type nastool profile where the device is"
        )
    return {arch: sum(several) / len(several) for arch, several in found.items()}


def held_out(space: SearchSpace, model: LatencyModel) -> LatencyModel:
    """A model on fitted rows, whose calibration has each network predicted by a fit that has not seen it.

    The rows themselves were fitted on these networks, and would look better on them than they are.
    """
    if model.target.backend != REGRESSION or len(model.measured_ms) < FEWEST:
        return model
    found = fit(space, list(model.measured_ms), list(model.measured_ms.values()))
    return replace(model, sums_ms=dict(zip(model.measured_ms, map(float, found.held_out_ms), strict=True)))


def _network(line: dict[str, str | None], space: SearchSpace) -> tuple[Architecture, float]:
    arch = space.architecture(line["architecture"] or "")
    text = line["latency_ms"] or ""
    try:
        ms = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no latency in ms") from None
    if not 0 < ms < float("inf"):
        raise ValueError(f"{text} ms is no latency")
    return arch, ms
