"""Table 4 of the paper: channel search, alone, after block search and jointly; and networks chosen without a search.

All networks are within the same limit on MACs, and are trained alone with the same recipe.
"""

from collections.abc import Iterator

from toolchain.paper.experiment import Changes, Experiment, search, train
from toolchain.paper.networks import add_networks
from toolchain.paper.presets import Preset
from toolchain.paper.rescaled import rescaled
from toolchain.paper.result import MACS, TEST_ACCURACY, Claim, PaperResult, printed_rows
from toolchain.paper.rows import Rows
from toolchain.paper.torchvision_networks import macs_of, test_accuracy, widest
from toolchain.runs import open_run
from toolchain.search.winner import Winner
from toolchain.spaces import load_space
from toolchain.training.job import Job

OP = "choice_3"
UNIFORM, RANDOM_CHANNELS, CHANNELS = "all choice_3", "rand sel. channels", "choice_3 + channel search"
RANDOM_JOINT, BLOCKS, BOTH, JOINT = (
    "rand sel. blocks + channels",
    "block search",
    "block + channel search",
    "joint search",
)
NAMES = (UNIFORM, RANDOM_CHANNELS, CHANNELS, RANDOM_JOINT, BLOCKS, BOTH, JOINT)
TORCHVISION = {"mobilenet_v2": "MobileNet V2", "shufflenet_v2": "ShuffleNet V2", "mnasnet": "MnasNet"}
HEADINGS = ("top-1 in the paper", "MACs in the paper")
PRINTED = {
    UNIFORM: ("73.4", "324M"),
    RANDOM_CHANNELS: ("~73.1", "~323M"),
    CHANNELS: ("73.9", "329M"),
    RANDOM_JOINT: ("~73.4", "~325M"),
    BLOCKS: ("74.3", "319M"),
    BOTH: ("74.7", "328M"),
    "MobileNet V2": ("72.0", "300M"),
    "ShuffleNet V2": ("72.6", "299M"),
    "MnasNet": ("74.0", "317M"),
}
COLUMNS = (TEST_ACCURACY, MACS)
CLAIMS = (
    (CHANNELS, UNIFORM),
    (CHANNELS, RANDOM_CHANNELS),
    (BOTH, BLOCKS),
    (BOTH, RANDOM_JOINT),
    (BOTH, JOINT),
    *((BOTH, name) for name in TORCHVISION.values()),
)
PRESETS = {
    "quick": Preset(
        {
            "space": "shufflenet_v2_quick:stage_widths=64-128",
            "search.macs": "1.9M",  # MobileNetV2 has 1.6M at the least width
            "search.random_select": 5,
            "train.changes": {"epochs": 1.5, "batch": 128, "lr": 0.2},
            "retrain.changes": {"epochs": 0.75, "batch": 128, "lr": 0.2},
        },
        seeds=(0, 1),
    ),
    "imagenet": Preset({"search.macs": "330M", "search.random_select": 5}),
}


def measure(experiment: Experiment) -> Iterator[PaperResult]:
    """Train, search and retrain; the table after each seed.

    Raises:
        BadConfig: the space is not of shufflenet_v2, or its uniform networks cannot meet the limit.
    """
    limit = experiment.macs_limit
    uniform = rescaled(experiment.config.space, OP, limit)
    rows = Rows(NAMES)
    for number, seed in enumerate(experiment.seeds, 1):
        job = experiment.job("all_choice_3", seed, {"space": uniform.space})
        add_networks(rows, UNIFORM, job, [uniform.architecture], f"channels x{uniform.scale:.3f}")
        _searches(experiment, seed, rows)
        _without_search(experiment.job("torchvision", seed), limit, rows)
        yield experiment.result(
            title="Table 4, channel search",
            seeds=experiment.seeds[:number],
            columns=COLUMNS,
            drawn="test_accuracy",
            printed=HEADINGS,
            rows=rows.rows(printed_rows(PRINTED, HEADINGS)),
            claims=tuple(Claim(better=better, worse=worse, key="test_accuracy") for better, worse in CLAIMS),
            notes=(
                f"limit: {limit:,} MACs; the paper's is 330M. torchvision's networks have the greatest width within it",
                f"the paper: joint search is slightly worse than {BOTH}; it prints no numbers of it",
            ),
        )


def _searches(experiment: Experiment, seed: int, rows: Rows) -> None:
    """The rows of the four supernets of a seed."""
    space = load_space(experiment.config.space, fixed_ops=OP)
    widths = "-".join(f"{choice.width:g}" for choice in space.blocks[0].choices)
    _row(experiment.job("channels", seed, {"fixed_ops": OP}), rows, CHANNELS, RANDOM_CHANNELS)
    _row(experiment.job("joint", seed, {"widths": widths}), rows, JOINT, RANDOM_JOINT)
    blocks = _row(experiment.job("blocks", seed), rows, BLOCKS)
    fixed: Changes = {"fixed_ops": " ".join(blocks.architecture)}
    _row(experiment.job("channels_of_blocks", seed, fixed), rows, BOTH)


def _row(job: Job, rows: Rows, name: str, random: str = "") -> Winner:
    """The row of a search, and that of its random selection if it has a name."""
    train(job)
    winner = search(job).best
    add_networks(rows, name, job, [job.space.architecture(winner.architecture)])
    if random and winner.random_select:
        drawn = [job.space.architecture(network.architecture) for network in winner.random_select.networks]
        add_networks(rows, random, job, drawn, f"mean of {len(drawn)}")
    return winner


def _without_search(job: Job, limit: int, rows: Rows) -> None:
    """The rows of torchvision's networks."""
    for family, name in TORCHVISION.items():
        width = widest(family, job.space, limit)
        if width is None:
            rows.add(name, "no width is within the limit", test_accuracy=None, macs=None)
            continue
        with open_run(job.config, make=True, stage="retrain"):
            accuracy = test_accuracy(family, width, job)
        macs = macs_of(family, width, job.space)
        rows.add(name, f"width x{width:g}", test_accuracy=accuracy, macs=macs)
