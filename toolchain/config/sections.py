"""The sections of nastool.toml with their defaults, and all of them together as the configuration of a command."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_serializer,
    field_validator,
    model_validator,
)

from toolchain.config.values import (
    LARGEST_SEED,
    MOST_COUNT,
    MOST_THREADS,
    Amounts,
    Batch,
    Count,
    Epochs,
    Finalists,
    Folder,
    Names,
    PathText,
    SampleRange,
    Seconds,
    Text,
    Threads,
)
from toolchain.errors import BadConfig

LEVELS = 7  # of uniform constraint sampling, as in toolchain/counting/levels.py


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ProfileConfig(_Section):
    """How latencies are measured."""

    device: Text = "cpu"
    target: Text | None = None  # the id of a recorded target in `nastool db list`; its device need not be attached
    estimate: bool = False  # compute latencies of a device that is not attached from its peak rates; measure nothing
    backend: Text = "auto"
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    batch: Batch = 32
    threads: Threads = 1
    rounds: Count = 8
    min_ms: float = Field(40.0, gt=0, le=1e6)
    networks: int = Field(30, ge=0, le=MOST_COUNT)
    quiet_timeout_s: Seconds = 60.0
    db: PathText = "latency.sqlite"  # or a PostgreSQL URL

    @field_validator("target", mode="before")
    @classmethod
    def _no_target(cls, target: Any) -> Any:
        """A config.toml of nastool 0.1.0 says "" for none."""
        return None if target == "" else target

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.estimate and self.backend != "auto":
            raise ValueError(
                f"an estimate is computed from peak rates, without a backend. Leave out estimate or the backend "
                f"{self.backend!r}"
            )
        if self.estimate and self.target is not None:
            raise ValueError(f"the target {self.target!r} is recorded, not estimated. Leave out estimate or the target")
        return self

    @field_serializer("db")
    def _db_without_password(self, db: str) -> str:
        """Run folders are copied and shared, so they do not hold the server's password."""
        from latency_db.where import shown

        return shown(db)


class TrainConfig(_Section):
    """How weights are trained: the name of a recipe and changes to it."""

    recipe: Text = "imagenet"
    checkpoint_every_s: Seconds = 300.0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = False
    changes: dict[str, object] = {}  # checked with the recipe


# "levels" is the former name of "constraint"
SamplerName = Annotated[
    Literal["constraint", "balanced", "uniform"],
    BeforeValidator(lambda given: "constraint" if given == "levels" else given),
]


class SupernetConfig(TrainConfig):
    """How a supernet is trained: also how paths are sampled, what a step trains, and the weights it starts from."""

    sampler: SamplerName = "constraint"
    strategy: Literal["spos", "sandwich", "fair"] = "spos"
    start_from: Folder | None = None
    sample_by: Literal["macs", "bitops", "latency"] | None = None  # cost of the levels; None: MACs, or BitOps
    sample_range: SampleRange = ()  # ("whole",) or least and greatest cost; (): from the 1st to the 99th percentile
    levels: int = Field(LEVELS, ge=1, le=1000)
    budgets: Amounts = ()  # limits that will be searched: the range is everything up to the greatest

    @property
    def samples_range(self) -> bool:
        """Whether anything is configured that changes the levels."""
        return bool(self.sample_by or self.sample_range or self.budgets or self.levels != LEVELS)

    @model_validator(mode="after")
    def _one_range(self) -> Self:
        if self.budgets and self.sample_range:
            raise ValueError("budgets and sample_range both set the range of sampled paths. Leave out one of them")
        if self.sampler == "uniform" and self.samples_range:
            raise ValueError(
                "the sampler uniform has no levels. Leave out sample_by, sample_range, levels and budgets, or set "
                "sampler to constraint"
            )
        return self


class SearchConfig(_Section):
    """Limits as text with units, one or several of each, and the parameters of Algorithm 1."""

    latency: Amounts = ()
    macs: Amounts = ()
    params: Amounts = ()
    bitops: Amounts = ()
    weight_bits: Amounts = ()
    population: int = Field(50, ge=2, le=MOST_COUNT)
    generations: Count = 20
    top_k: Count = 10
    mutation: float = Field(0.1, ge=0, le=1)
    bn_images: Count = 20_000
    batch: Batch = 250
    threads: Threads = 2
    random_search: bool = True
    score: Literal["accuracy", "loss"] = "accuracy"
    race: bool = False
    race_error: float = Field(0.05, gt=0, lt=1)
    finalists: Finalists = 0  # networks to train alone before the winner is chosen; 0: none, as in the paper
    finalist_epochs: Epochs | None = None  # of each such training; None: those of retrain
    finalist_time_s: Seconds = 3600.0  # time limit of all of them together

    @model_validator(mode="after")
    def _race_by_accuracy(self) -> Self:
        if self.race and self.score != "accuracy":
            raise ValueError(
                f'a race compares which images are classified correctly, so it needs score = "accuracy" (given: '
                f"{self.score!r}). Leave out the race or the score"
            )
        return self


FORMER_LARGEST_BATCH = 32


class ExportConfig(_Section):
    """The files to write besides the one in the network's own precision, and their batch sizes."""

    precision: Names = ()
    static: bool = False  # ONNX files for exactly profile.batch images
    engine: bool = False  # an engine for the device of this machine
    sm: Names = ()  # TensorRT-RTX engines for these compute capabilities: "86" or "8.6"
    batches: Text | None = None  # least and most images of a batch of engines, as "1..32"; None: profile.batch alone

    @model_validator(mode="before")
    @classmethod
    def _largest_batch(cls, given: Any) -> Any:
        """Read the key of nastool 0.1.0: its default, which every resolved file has, means nothing."""
        if not isinstance(given, dict) or "largest_batch" not in given:
            return given
        others = {key: value for key, value in given.items() if key != "largest_batch"}
        if given["largest_batch"] != FORMER_LARGEST_BATCH:
            raise ValueError(
                f'largest_batch is now batches, a range: write batches = "1..{given["largest_batch"]}". Without it '
                f"engines take exactly the batch that is timed"
            )
        return others

    @model_validator(mode="after")
    def _static_or_range(self) -> Self:
        if self.static and self.batches is not None:
            raise ValueError("static is for one batch and batches for several. Leave out one of them")
        return self


class CheckConfig(_Section):
    """When a check fails, and how long it may take."""

    max_regression: Text = "5%"
    confidence: Text = "99%"
    max_seconds: float = Field(60.0, gt=0, le=1e9)
    on_inconclusive: Literal["fail", "warn", "pass"] = "fail"


class Config(_Section):
    """The resolved configuration of a command."""

    run: str = Field("main", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    runs: Folder = Path("runs")
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    space: PathText = "shufflenet_v2"
    fixed_ops: PathText | None = None
    widths: Text | None = None
    data: PathText | None = None
    holdout_per_class: Count = 50
    threads: Threads = 2
    workers: int = Field(2, ge=0, le=MOST_THREADS)
    deterministic: bool = False  # GPUs compute the same weights in each run, or an operation is refused
    profile: ProfileConfig = ProfileConfig()
    train: SupernetConfig = SupernetConfig()
    search: SearchConfig = SearchConfig()
    retrain: TrainConfig = TrainConfig()
    export: ExportConfig = ExportConfig()
    check: CheckConfig = CheckConfig()

    def data_name(self) -> str:
        """The data set.

        Raises:
            BadConfig: none is given.
        """
        if self.data is None:
            raise BadConfig("no data set is given. Use --data fashion-mnist, digits, folder:PATH or wds:SHARDS")
        return self.data

    def as_toml(self) -> str:
        """The resolved configuration; it can be fed back with --config."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))
