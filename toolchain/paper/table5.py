"""Table 5 of the paper: published networks against searches with the same MACs and the same latency on this target.

Each network is narrowed to the size of the space, its MACs are counted and its latency is measured here. All searches
use one supernet, each in a run of its own: what one search scored is no candidate of another.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from toolchain.costs.counters import counted_cost
from toolchain.errors import BudgetInfeasible
from toolchain.files import Count, Document, Milliseconds, read_document, write_document
from toolchain.measuring.from_config import measurement_plan, require_target
from toolchain.measuring.network import measure_network
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.target import ReadyTarget
from toolchain.nets.published import published
from toolchain.paper.baseline_spaces import sized_space
from toolchain.paper.experiment import Changes, Experiment, retrain, search, train
from toolchain.paper.presets import Preset
from toolchain.paper.result import MACS, TEST_ACCURACY, Claim, Column, PaperResult
from toolchain.paper.rows import Rows
from toolchain.profiling.profiler import profile_if_missing
from toolchain.training.job import Job

NETWORKS = {
    "fbnet_a": "FBNet-A",
    "fbnet_b": "FBNet-B",
    "fbnet_c": "FBNet-C",
    "proxyless_mobile": "Proxyless-R (mobile)",
    "proxyless_gpu": "Proxyless (GPU)",
}
HEADINGS = ("top-1 in the paper", "MACs in the paper", "latency in the paper")
PRINTED = {  # accuracy of the baseline, of the search with the same MACs, of that with the same latency
    "fbnet_a": ("73.0", "73.2", "73.3"),
    "fbnet_b": ("74.1", "74.2", "74.8"),
    "fbnet_c": ("74.9", "75.0", "75.1"),
    "proxyless_mobile": ("74.2", "74.5", "74.8"),
    "proxyless_gpu": ("74.7", "74.8", "75.3"),
}
COLUMNS = (
    TEST_ACCURACY,
    MACS,
    Column(key="latency_ms", heading="measured latency", unit="ms"),
)
SMALL = "in_channels=1,size_px=28,classes=10,stem_stride=1,multiplier=0.25"
PRESETS = {
    "quick": Preset(
        {
            "space": f"proxyless_mobile:{SMALL}",
            "search.generations": 4,
            "profile.quiet_timeout_s": 10.0,
            "train.changes": {"epochs": 2, "batch": 128, "lr": 0.2},
            "retrain.changes": {"epochs": 0.5, "batch": 128, "lr": 0.2},
        },
    ),
    "imagenet": Preset({"space": "proxyless"}),
}
REMEDY = "Remove it and run the command again"


class Baseline(Document):
    """What a published network costs on a target; `unstable` says why its latency is not reproducible."""

    space: str
    target: str = ""  # its identity; unknown in files of earlier versions
    macs: Count
    latency_ms: Milliseconds
    unstable: str = ""


class Baselines(Document):
    """The content of baselines.json: measured once, so that a repeated command searches for the same limits."""

    networks: dict[str, Baseline]


@dataclass(frozen=True)
class _Searched:
    """The name of a row, and the run and the limit of its search."""

    row: str
    run: str
    limit: Changes


def measure(experiment: Experiment) -> Iterator[PaperResult]:
    """Measure the published networks and the blocks of the space, then train, search and retrain.

    Raises:
        BackendUnavailable, UnknownDevice: the device cannot be measured.
    """
    config, space = experiment.config, experiment.space
    load = experiment.load
    target, plan = require_target(config.profile), measurement_plan(config)
    profile_if_missing(space, target, plan, config.profile.db, experiment.progress)
    baselines = _baselines(experiment, target, plan)
    rows = Rows()
    for number, seed in enumerate(experiment.seeds, 1):
        train(experiment.job("supernet", seed))
        for name, baseline in baselines.items():
            _add(experiment, name, baseline, seed, rows)
        yield experiment.result(
            title="Table 5, published networks and searches at their MACs and at their latency",
            seeds=experiment.seeds[:number],
            columns=COLUMNS,
            drawn="test_accuracy",
            printed=HEADINGS,
            rows=rows.rows(_printed()),
            claims=tuple(
                Claim(better=f"{title}, {same}", worse=title, key="test_accuracy")
                for title in NETWORKS.values()
                for same in ("same MACs", "same latency")
            ),
            notes=(
                f"latency of a batch of {config.profile.batch} on {target.target.device_model}; before: {load}",
                "the paper measured on a Titan Xp; published networks are narrowed to the size of the space",
            ),
        )


def _baselines(experiment: Experiment, target: ReadyTarget, plan: MeasurementPlan) -> dict[str, Baseline]:
    """The published networks as measured here, or before."""
    path = experiment.config.runs / "baselines.json"
    known = read_document(path, Baselines, REMEDY).networks if path.exists() else {}
    identity = target.target.id
    for name in NETWORKS:
        space = sized_space(published(name).space, experiment.config.space)
        if name in known and (known[name].space, known[name].target) == (space, identity):
            continue
        job = experiment.job(name, experiment.seeds[0], {"space": space})
        arch = job.space.architecture(published(name).architecture)
        measured = measure_network(job.space, arch, target, plan, job.config.profile.db, job.progress)
        macs = int(counted_cost("macs", job.space).cost(arch))
        known[name] = Baseline(
            space=space, target=identity, macs=macs, latency_ms=measured.latency_ms, unstable=measured.unstable
        )
        write_document(path, Baselines(networks=known))
    return known


def _add(experiment: Experiment, name: str, baseline: Baseline, seed: int, rows: Rows) -> None:
    """The rows of a published network and its two searches."""
    title = NETWORKS[name]
    job = experiment.job(name, seed, {"space": baseline.space})
    accuracy = retrain(job, job.space.architecture(published(name).architecture)).test_accuracy
    note = f"unstable: {baseline.unstable}" if baseline.unstable else ""
    rows.add(title, note, test_accuracy=accuracy, macs=baseline.macs, latency_ms=baseline.latency_ms)
    limits: tuple[_Searched, ...] = (
        _Searched(f"{title}, same MACs", f"{name}_macs", {"search.macs": str(baseline.macs)}),
        _Searched(
            f"{title}, same latency",
            f"{name}_latency",
            {"search.macs": (), "search.latency": f"{baseline.latency_ms:.4f}ms"},
        ),
    )
    for searched in limits:
        _add_search(experiment.job(searched.run, seed, searched.limit), searched.row, rows)


def _add_search(job: Job, name: str, rows: Rows) -> None:
    """The row of a search; without values where no network is within the limit."""
    train(job)  # the supernet of the seed, copied
    try:
        winner = search(job).best
    except BudgetInfeasible as problem:
        rows.add(name, str(problem), test_accuracy=None, macs=None, latency_ms=None)
        return
    accuracy = retrain(job, job.space.architecture(winner.architecture)).test_accuracy
    note = f"unstable: {winner.measured_unstable}" if winner.measured_unstable else ""
    rows.add(name, note, test_accuracy=accuracy, macs=winner.macs, latency_ms=winner.measured_latency_ms)


def _printed() -> dict[str, dict[str, str]]:
    """What the paper prints, by the name of the row."""
    printed: dict[str, dict[str, str]] = {}
    for name, title in NETWORKS.items():
        network, (own, same_macs, same_latency) = published(name), PRINTED[name]
        latency = f"{network.titan_xp_batch32_ms} ms"
        printed[title] = dict(zip(HEADINGS, (own, f"{network.macs_m}M", latency), strict=True))
        printed[f"{title}, same MACs"] = {HEADINGS[0]: same_macs, HEADINGS[1]: f"{network.macs_m}M"}
        printed[f"{title}, same latency"] = {HEADINGS[0]: same_latency, HEADINGS[2]: latency}
    return printed
