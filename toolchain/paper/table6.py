"""Table 6 of the paper: uniform bit widths, and searches of bits and channels at their BitOps, ResNet-18 and -34.

All searches of a network use one supernet, each in a run of its own.
"""

from collections.abc import Iterator

from toolchain.costs.counters import bitops_cost
from toolchain.paper.experiment import Experiment, retrain, search, train
from toolchain.paper.networks import add_networks, only_architecture
from toolchain.paper.presets import Preset
from toolchain.paper.result import TEST_ACCURACY, Claim, Column, PaperResult, printed_rows
from toolchain.paper.rows import Rows
from toolchain.spaces.model_source import with_option
from toolchain.training.job import Job

NETWORKS = {"resnet18_bits": "ResNet-18", "resnet34_bits": "ResNet-34"}
BITS = (2, 3, 4)
HEADINGS = ("top-1 in the paper", "BitOps in the paper")
PRINTED = {
    "ResNet-18 float": ("70.9", "float"),
    "ResNet-18 2W2A": ("65.6", "6.32G"),
    "ResNet-18 2W2A, ours": ("66.4", "6.21G"),
    "ResNet-18 3W3A": ("68.3", "14.21G"),
    "ResNet-18 3W3A, ours": ("69.4", "13.49G"),
    "ResNet-18 4W4A": ("69.3", "25.27G"),
    "ResNet-18 4W4A, ours": ("70.5", "24.31G"),
    "ResNet-34 float": ("75.0", "float"),
    "ResNet-34 2W2A": ("70.8", "13.21G"),
    "ResNet-34 2W2A, ours": ("71.5", "13.11G"),
    "ResNet-34 3W3A": ("72.5", "29.72G"),
    "ResNet-34 3W3A, ours": ("73.9", "28.78G"),
    "ResNet-34 4W4A": ("73.5", "52.83G"),
    "ResNet-34 4W4A, ours": ("74.6", "51.92G"),
}
COLUMNS = (
    TEST_ACCURACY,
    Column(key="bitops", heading="BitOps", unit="BitOps"),
)
# torch's backward pass of convolutions with 4 channels crashes on CPUs (2.14.1), so 8 are the fewest
SMALL = "size_px=28,in_channels=1,classes=10,stem_kernel=3,stem_stride=1,stem_pool=false,stage_widths=8-16-32-64"
PRESETS = {
    "quick": Preset(
        {
            "space": f"resnet18_bits:{SMALL}",
            "search.generations": 5,
            "train.changes": {"epochs": 1, "batch": 128, "lr": 0.1},
            "retrain.changes": {"epochs": 0.5, "batch": 128, "lr": 0.1},
        },
        seeds=(0, 1),
    ),
    "imagenet": Preset({"space": "resnet18_bits"}),
}


def measure(experiment: Experiment) -> Iterator[PaperResult]:
    """Train, search and retrain; the table after each network of each seed."""
    rows = Rows()
    for number, seed in enumerate(experiment.seeds, 1):
        for name, space in _spaces(experiment.config.space).items():
            _add(experiment, name, space, seed, rows)
            yield _table(experiment, experiment.seeds[:number], rows)


def _table(experiment: Experiment, seeds: tuple[int, ...], rows: Rows) -> PaperResult:
    """The table of the rows so far."""
    return experiment.result(
        title="Table 6, bits and channels under a limit on BitOps",
        seeds=seeds,
        columns=COLUMNS,
        drawn="test_accuracy",
        printed=HEADINGS,
        rows=rows.rows(printed_rows(PRINTED, HEADINGS)),
        claims=tuple(
            Claim(better=name, worse=name.removesuffix(", ours"), key="test_accuracy")
            for name in rows.names
            if name.endswith(", ours")
        ),
        notes=("kWkA: k bits for all weights and activations of the blocks. Gi: 2^30, as in the paper",),
    )


def _spaces(space: str) -> dict[str, str]:
    """ResNet-18 and ResNet-34 with the options of `space`; the named one alone if the options set its repeats."""
    family, _, options = space.partition(":")
    families = [family] if "stage_repeats=" in options else list(NETWORKS)
    return {NETWORKS[name]: f"{name}:{options}" if options else name for name in families}


def _add(experiment: Experiment, name: str, space: str, seed: int, rows: Rows) -> None:
    """The rows of one network and seed."""
    run = name.lower()
    full = _uniform(experiment, f"{run}_float", space, "float", seed)
    rows.add(f"{name} float", test_accuracy=retrain(full, only_architecture(full.space)).test_accuracy, bitops=None)
    train(experiment.job(run, seed, {"space": space}))
    for bits in BITS:
        uniform = _uniform(experiment, f"{run}_{bits}w{bits}a", space, f"w{bits}a{bits}", seed)
        add_networks(rows, f"{name} {bits}W{bits}A", uniform, [only_architecture(uniform.space)])
        limit = int(bitops_cost(uniform.space).cost(only_architecture(uniform.space)))
        changes = {"space": space, "search.macs": (), "search.bitops": str(limit)}
        job = experiment.job(f"{run}_{bits}w{bits}a_bitops", seed, changes)
        train(job)  # the supernet of the network and seed, copied
        winner = search(job).best
        add_networks(rows, f"{name} {bits}W{bits}A, ours", job, [job.space.architecture(winner.architecture)])


def _uniform(experiment: Experiment, run: str, space: str, bits: str, seed: int) -> Job:
    """The job of the network with the same bits everywhere."""
    return experiment.job(run, seed, {"space": with_option(with_option(space, "bits", bits), "widths", "1.0")})
