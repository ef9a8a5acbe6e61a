"""The flags of all commands: each one is declared once, with the configuration key that it sets."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from toolchain.config import Config

Values = list[str]


@dataclass(frozen=True)
class Flag:
    """A flag that sets a key of the configuration."""

    key: str  # search.latency
    help: str
    type: Any = str
    panel: str | None = None
    names: str = ""  # --quiet-timeout, where it is not the last part of the key; --race/--no-race

    @property
    def declaration(self) -> str:
        return self.names or "--" + self.key.rpartition(".")[2].replace("_", "-")

    @property
    def name(self) -> str:
        return self.declaration.partition("/")[0]

    @property
    def parameter(self) -> inspect.Parameter:
        """The flag as a parameter of a typer command."""
        option = typer.Option(self.declaration, help=self.help, rich_help_panel=self.panel)
        return inspect.Parameter(
            self.key.rpartition(".")[2],
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[self.type | None, option],
        )

    def words(self, config: "Config") -> list[str]:
        """The flag with its value in `config`, as words of a command line."""
        value = self.value(config)
        if value is None or value == ():
            return []
        if isinstance(value, bool):
            yes, _, no = self.declaration.partition("/")
            return [yes] if value else [no] if no else []
        values = value if isinstance(value, tuple) else (value,)
        return [word for one in values for word in (self.name, _text(one, self.key))]

    def value(self, config: "Config") -> Any:
        """The value of the flag's key in `config`."""
        value: Any = config
        for part in self.key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else getattr(value, part)
        return value


def _text(value: object, key: str) -> str:
    if key == "profile.db":
        from latency_db.where import shown

        return shown(str(value))  # a hint is copied and shared: no password in it
    return f"{value:g}s" if key.endswith("_s") else str(value)


SPACE = (
    Flag("space", "Search space, e.g. shufflenet_v2 or shufflenet_v2_quick:classes=37.", panel="Search space"),
    Flag(
        "fixed_ops",
        "Search widths only, with the ops of this architecture or best.json.",
        panel="Search space",
    ),
    Flag("widths", "Mid-channel multipliers to choose from, e.g. 0.6-0.8-1.0.", panel="Search space"),
)
DATA = (
    Flag("data", "Data set: digits, fashion-mnist, folder:PATH or wds:SHARDS.", panel="Data"),
    Flag("holdout_per_class", "Training images per class held out to score candidates.", int, panel="Data"),
)
LIMITS = (
    Flag(
        "search.latency",
        "Maximum latency of a batch, e.g. 17ms. Repeat the flag or give a range (13ms..22ms) for several budgets.",
        Values,
        panel="Limits",
    ),
    Flag("search.macs", "Maximum multiply-adds per image, e.g. 330M.", Values, panel="Limits"),
    Flag("search.params", "Maximum number of parameters, e.g. 3.4M.", Values, panel="Limits"),
    Flag("search.bitops", "Maximum MACs x weight bits x activation bits, e.g. 6.32Gi.", Values, panel="Limits"),
    Flag("search.weight_bits", "Maximum bits of packed weights, e.g. 27M.", Values, panel="Limits"),
)
DEVICE = Flag("profile.device", "Device to measure on; nastool doctor lists the attached ones.", panel="Target")
BACKEND = Flag("profile.backend", "Runtime to measure with, e.g. onnxruntime or tensorrt.", panel="Target")
BATCH = Flag("profile.batch", "Batch size that latencies are measured for.", int, panel="Target")
THREADS = Flag("profile.threads", "Number of threads of the measured runtime.", int, panel="Target")
PRECISION = Flag("profile.precision", "Precision that networks are timed in: fp32, fp16 or int8.", panel="Target")
DB = Flag("profile.db", "Latency table: a file, or postgresql+psycopg://user@host/database.", panel="Target")
ESTIMATE = Flag(
    "profile.estimate", "Estimate latency for a device that is not attached, from its peak rates.", bool, panel="Target"
)
TARGET_ID = Flag(
    "profile.target", "Use the recorded latencies of this target (an id from nastool db list).", panel="Target"
)
TARGET = (DEVICE, BACKEND, PRECISION, BATCH, THREADS, DB, ESTIMATE)
RECORDED_TARGET = (*TARGET, TARGET_ID)
FILE_TARGET = (DEVICE, BACKEND, BATCH, THREADS, DB)  # the precision is the file's own
SUPERNET = (
    Flag("train.recipe", "Training recipe: imagenet (the paper's) or quick.", panel="Training"),
    Flag("train.changes.epochs", "Number of passes over the training images.", float, panel="Training"),
)
STANDALONE = (
    Flag("retrain.recipe", "Training recipe: imagenet (the paper's) or quick.", panel="Training"),
    Flag("retrain.changes.epochs", "Number of passes over the training images.", float, panel="Training"),
)
RUNS = Flag("runs", "Folder of all runs.", Path, panel="Run")
RUN = (Flag("run", "Name of the run.", panel="Run"), RUNS)
SEED = Flag("seed", "Seed of all random numbers.", int, panel="Run")

FLAGS: Mapping[str, tuple[Flag, ...]] = MappingProxyType(
    {
        "quickstart": (
            Flag("data", "Data set: digits or fashion-mnist. Default: fashion-mnist if available."),
            RUNS,
            DB,
        ),
        "doctor": (DB,),
        "devices": (DB,),
        "profile": (
            Flag("profile.rounds", "How often each block variant is timed.", int),
            Flag("profile.networks", "Number of whole networks timed to calibrate the latency model; 0: none.", int),
            Flag(
                "profile.quiet_timeout_s",
                "Maximum total wait for a busy machine to become idle, e.g. 60s.",
                names="--quiet-timeout",
            ),
            *SPACE,
            *TARGET,
            SEED,
        ),
        "train": (
            *SPACE,
            *DATA,
            *SUPERNET,
            Flag(
                "train.sampler",
                "Path sampling: constraint (uniform constraint sampling, the paper's), balanced or uniform.",
                panel="Training",
            ),
            Flag(
                "train.budgets",
                "Limits that will be searched, e.g. 17ms or 330M: paths are sampled up to the greatest.",
                Values,
                panel="Training",
            ),
            Flag(
                "train.sample_range",
                "Range of cost that paths are sampled from: 284M..461M, or whole for all of the space.",
                Values,
                panel="Training",
            ),
            Flag(
                "train.sample_by",
                "Cost of the levels: macs, bitops or latency (needs nastool profile).",
                panel="Training",
            ),
            Flag("train.levels", "Number of levels of cost that paths are sampled from.", int, panel="Training"),
            Flag(
                "train.strategy",
                "What a step trains: spos (one path, the paper's), sandwich or fair (several paths).",
                panel="Training",
            ),
            Flag(
                "train.start_from",
                "Start from torchvision's ResNet-18 or -34 weights in this file.",
                Path,
                panel="Training",
                names="--from",
            ),
            *RUN,
            SEED,
        ),
        "search": (
            *LIMITS,
            Flag("search.population", "Population size (P in Algorithm 1).", int),
            Flag("search.generations", "Number of generations (T in Algorithm 1).", int),
            Flag(
                "search.random_search",
                "Also run random search with the same number of evaluations, for comparison.",
                bool,
                names="--random-search/--no-random-search",
            ),
            Flag(
                "search.score",
                "What ranks candidates on the hold-out: accuracy (the paper's) or loss (mean cross-entropy).",
            ),
            Flag(
                "search.race",
                "Stop scoring candidates early that are clearly worse (error rate: search.race_error).",
                bool,
                names="--race/--no-race",
            ),
            Flag(
                "search.finalists",
                "Train this many of the best candidates alone, and choose the winner by that; 0: as in the paper.",
                int,
            ),
            Flag("search.finalist_epochs", "Epochs of each training of a finalist. Default: those of retrain.", float),
            Flag(
                "search.finalist_time_s",
                "Time limit of all trainings of finalists, e.g. 10min.",
                names="--finalist-time",
            ),
            *SPACE,
            *DATA,
            *SUPERNET,
            *RECORDED_TARGET,
            *RUN,
            SEED,
        ),
        "retrain": (*SPACE, *DATA, *STANDALONE, *RUN, SEED),
        "export": (
            Flag("export.precision", "Additional precisions to export: fp16, int8, int8_fp16.", Values),
            Flag("export.static", "Export ONNX files for exactly --batch images instead of any number.", bool),
            Flag(
                "export.engine", "Also build an engine for the GPU of this machine, and verify and time it there.", bool
            ),
            Flag(
                "export.sm",
                "Also build engines for these compute capabilities, e.g. 86,89. Needs no GPU.",
                Values,
            ),
            Flag("export.batches", "Batches that engines take, e.g. 1..32. Default: exactly --batch, which is timed."),
            *SPACE,
            *DATA,
            *FILE_TARGET,
            ESTIMATE,
            *RUN,
        ),
        "check": (
            Flag("check.max_regression", "Maximum allowed slowdown against the baseline, e.g. 5%."),
            Flag("check.confidence", "Confidence of a verdict, e.g. 99%. A higher one takes more rounds."),
            Flag(
                "check.max_seconds",
                "Time limit in seconds; the verdict is returned even if it is inconclusive.",
                float,
            ),
            Flag("check.on_inconclusive", "Action when the result is inconclusive: fail (exit code 3), warn or pass."),
            *FILE_TARGET,
            *RUN,
        ),
        "rank": (*SPACE, *DATA, *STANDALONE, *RUN, SEED),
        "bench": (
            Flag("check.confidence", "Confidence of the intervals, e.g. 99%."),
            DEVICE,
            BATCH,
            THREADS,
            *SPACE,
            *DATA,
            SUPERNET[0],
            RUNS,
        ),
        "cost": (*SPACE, *RECORDED_TARGET, *RUN),
        "space": (*LIMITS, *SPACE, *RECORDED_TARGET),
        "db": (DB,),
        "db fit": (
            *SPACE,
            Flag("profile.device", "Device that the networks were measured on, e.g. titanxp.", panel="Target"),
            BATCH,
            DB,
        ),
    }
)
