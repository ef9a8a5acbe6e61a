"""The sections of nastool.toml with their defaults, and all of them together as the configuration of a command."""

from pathlib import Path
from typing import Any, Literal, Self

import tomli_w
from pydantic import (
    Field,
    field_serializer,
    field_validator,
    model_validator,
)

from toolchain.config.section import Section
from toolchain.config.training_sections import RetrainConfig, SupernetConfig
from toolchain.config.values import (
    MAX_COUNT,
    MAX_SEED,
    MAX_THREADS,
    Amounts,
    Batch,
    Count,
    Devices,
    Epochs,
    Finalists,
    Folder,
    HoldOut,
    Names,
    PathText,
    Seconds,
    Text,
    Threads,
)
from toolchain.errors import BadConfig


class ProfileConfig(Section):
    """How latencies are measured."""

    device: Text = "cpu"
    """Device to measure on: `cpu`, `gpu` (the first one), or a name that `nastool devices` lists."""
    devices: Devices = ("cpu",)
    """Devices of `profile` and `search`, which take several; other commands use `device`, the first of them."""
    target: Text | None = None
    """Use the recorded latencies of this target, an id of `nastool db list`; its device need not be attached."""
    estimate: bool = False
    """Compute latencies of a device that is not attached from its peak rates; nothing is measured."""
    backend: Text = "auto"
    """Runtime to measure with: `auto` (onnxruntime on a CPU, tensorrt on an NVIDIA GPU) or one of `nastool doctor`."""
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    """Precision that networks are timed in."""
    batch: Batch = 32
    """Images in a batch; every latency is that of a batch."""
    threads: Threads = 1
    """Threads of the inference runtime."""
    rounds: Count = 8
    """How often each block variant is timed, once per round in random order."""
    min_ms: float = Field(40.0, gt=0, le=1e6)
    """Minimum time of a variant in a round, in ms."""
    networks: int = Field(30, ge=0, le=MAX_COUNT)
    """Whole networks that are timed as well, to calibrate the sum of variants."""
    quiet_timeout_s: Seconds = 60.0
    """Maximum total wait for a busy machine to become idle, in seconds."""
    db: PathText = "latency.sqlite"
    """Latency table: a file, or a PostgreSQL URL."""

    @field_validator("target", mode="before")
    @classmethod
    def _no_target(cls, target: Any) -> Any:
        """A config.toml of nastool 0.1.0 says "" for none."""
        return None if target == "" else target

    @model_validator(mode="before")
    @classmethod
    def _first_device(cls, given: Any) -> Any:
        """Several devices without a single one, or a single one without several: the first, or it alone."""
        if not isinstance(given, dict) or ("device" in given) == ("devices" in given):
            return given
        if "device" in given:
            return {**given, "devices": given["device"]}
        devices = given["devices"]
        first = devices[0] if isinstance(devices, list | tuple) and devices else devices
        return {**given, "device": first}

    def on_each_device(self) -> tuple[Self, ...]:
        """The same for each device alone."""
        return tuple(self.model_copy(update={"device": device, "devices": (device,)}) for device in self.devices)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if len(self.devices) > 1 and (self.estimate or self.target is not None):
            raise ValueError("several devices are measured, not estimated or looked up. Leave out estimate and target")
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


class SearchConfig(Section):
    """Limits as text with units, one or several of each, and the parameters of Algorithm 1."""

    latency: Amounts = ()
    """Maximum latency of a batch; one or several, such as `["13ms", "17ms"]`, or a range `13ms..22ms`."""
    macs: Amounts = ()
    """Maximum multiply-adds of an image, e.g. `"330M"`."""
    params: Amounts = ()
    """Maximum number of parameters, e.g. `"3.4M"`."""
    bitops: Amounts = ()
    """Maximum MACs x weight bits x activation bits, e.g. `"6.32Gi"`; quantized spaces only."""
    weight_bits: Amounts = ()
    """Maximum bits of packed weights, e.g. `"27M"`."""
    population: int = Field(50, ge=2, le=MAX_COUNT)
    """Population size, P in Algorithm 1 of the paper."""
    generations: Count = 20
    """Number of generations, T."""
    top_k: Count = 10
    """Best candidates that a generation is made from, k."""
    mutation: float = Field(0.1, ge=0, le=1)
    """Probability that a mutation changes the choice of a block."""
    bn_images: Count = 20_000
    """Training images for recalibration of batch normalization, for each candidate."""
    batch: Batch = 250
    """Batch size for scoring."""
    threads: Threads = 2
    """CPU threads for scoring; each scores different candidates."""
    random_search: bool = True
    """Also run random search with as many evaluations, for comparison."""
    learned: int = Field(0, ge=0, le=1000)
    """Take this many networks of the distribution that a rival's training ended with, instead of evolution: the most
    probable one, and others drawn from it; 0: evolution.
    """
    random_select: int = Field(0, ge=0, le=1000)
    """Also draw this many networks within the limits and report their mean, for comparison; 0: none."""
    score: Literal["accuracy", "loss"] = "accuracy"
    """What ranks candidates on the hold-out: `accuracy` (the paper's) or `loss` (mean cross-entropy)."""
    ties: Literal["accuracy", "macs"] = "accuracy"
    """Which of the candidates within a standard error of the most accurate one wins: that one (`accuracy`, the paper's)
    or the one with the most MACs (`macs`).
    """
    race: bool = False
    """Stop scoring candidates early that are clearly worse."""
    race_error: float = Field(0.05, gt=0, lt=1)
    """Maximum probability that a race stops a candidate that is not worse."""
    finalists: Finalists = 0
    """Networks that are trained alone before the winner is chosen; 0: none, as in the paper."""
    finalist_epochs: Epochs | None = None
    """Epochs of each such training. Default: those of the retraining."""
    finalist_time_s: Seconds = 3600.0
    """Time limit of all trainings of finalists together, in seconds."""
    shared: bool = False
    """Of several devices: one network within the budget on all of them, not one for each."""

    @model_validator(mode="after")
    def _race_by_accuracy(self) -> Self:
        if self.race and self.score != "accuracy":
            raise ValueError(
                f'a race compares which images are classified correctly, so it needs score = "accuracy" (given: '
                f"{self.score!r}). Leave out the race or the score"
            )
        return self


FORMER_LARGEST_BATCH = 32


class ExportConfig(Section):
    """The files to write besides the one in the network's own precision, and their batch sizes."""

    precision: Names = ()
    """Files to write besides the one in the network's own precision: `fp16`, `int8`, `int8_fp16`."""
    static: bool = False
    """Write ONNX files for exactly `profile.batch` images instead of any number."""
    engine: bool = False
    """Also build an engine for the GPU of this machine."""
    sm: Names = ()
    """Also build TensorRT-RTX engines for these compute capabilities, e.g. `"86"`."""
    batches: Text | None = None
    """Least and most images that engines take, as `"1..32"`. Default: exactly `profile.batch`."""

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


class CheckConfig(Section):
    """When a check fails, and how long it may take."""

    max_regression: Text = "5%"
    """Maximum allowed slowdown against the baseline."""
    confidence: Text = "99%"
    """Confidence of a verdict; a higher one takes more rounds."""
    max_seconds: float = Field(60.0, gt=0, le=1e9)
    """Time limit; the verdict is returned even if it is inconclusive."""
    on_inconclusive: Literal["fail", "warn", "pass"] = "fail"
    """Result of an inconclusive check."""


class ShrinkConfig(Section):
    """What a smaller network may lose."""

    max_drop: Text | None = None
    """Maximum loss of hold-out accuracy, in points, e.g. `"1%"`."""


class Config(Section):
    """The resolved configuration of a command."""

    run: str = Field("main", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the run; its results are in `runs/RUN/`."""
    runs: Folder = Path("runs")
    """Folder of all runs."""
    seed: int = Field(0, ge=0, le=MAX_SEED)
    """Seed of all random numbers; the same seed gives the same run."""
    space: PathText = "shufflenet_v2"
    """Search space, with options: `shufflenet_v2:size_px=160,classes=37`, or `path/to/file.py:my_space`. Where it is
    left out, the data choose it, if they are given.
    """
    fixed_ops: PathText | None = None
    """Search widths only, with the ops of this architecture or best.json."""
    widths: Text | None = None
    """Mid-channel multipliers to choose from, e.g. `"0.6-0.8-1.0"`."""
    data: PathText | None = None
    """Data set: `digits`, `fashion-mnist`, `folder:PATH` or `wds:SHARDS`."""
    holdout_per_class: HoldOut = "auto"
    """Training images of each class that are held out to score candidates: a number, a share as `"10%"`, or `"auto"`
    (10 % of each class, at most 50 images or its part of 3,000 images of all classes).
    """
    threads: Threads = 2
    """CPU threads for training."""
    workers: int = Field(2, ge=0, le=MAX_THREADS)
    """Processes that decode image files."""
    cache: Literal["on", "off"] = "on"
    """Keep decoded images of `folder:` data for later epochs and commands, in `$NASTOOL_CACHE`."""
    track: Literal["tensorboard", "mlflow"] = "tensorboard"
    """Also send curves and results to an experiment tracker: `mlflow`. TensorBoard's files are always written."""
    deterministic: bool = False
    """GPUs compute the same weights in each run, or an operation is refused."""
    profile: ProfileConfig = ProfileConfig()
    train: SupernetConfig = SupernetConfig()
    search: SearchConfig = SearchConfig()
    retrain: RetrainConfig = RetrainConfig()
    export: ExportConfig = ExportConfig()
    shrink: ShrinkConfig = ShrinkConfig()
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
        return tomli_w.dumps(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The same as a dictionary; keys without a value are left out."""
        return self.model_dump(mode="json", exclude_none=True)
