"""The sections of nastool.toml about training: what supernets and single networks share, and what each adds."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from toolchain.config.section import Section
from toolchain.config.values import Amounts, Folder, PathText, SampleRange, Seconds, Text

LEVELS = 7  # of uniform constraint sampling, as in toolchain/counting/levels.py


class TrainConfig(Section):
    """How weights are trained: the name of a recipe and changes to it."""

    recipe: Text = "imagenet"
    """Training recipe. Where it is left out, one that suits the data is chosen: `photos`, `quick` or `imagenet`."""
    checkpoint_every_s: Seconds = 300.0
    """Time between two checkpoints, in seconds; an interrupted command resumes from the last one."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to train on; `auto` takes a GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of the training; `auto` takes bf16 or fp16 on GPUs that support it, else fp32."""
    compile: bool = False
    """Compile each choice of each block with torch.compile, which takes minutes at first."""
    sync_batch_norm: bool = True
    """Normalize by the statistics of the whole batch, of all processes; `false`: of each process's images alone."""
    changes: dict[str, object] = {}  # checked with the recipe # noqa: RUF012 (pydantic copies defaults)
    """Keys of the recipe with other values."""


class ArchitectureConfig(Section):
    """How the strategies with architecture parameters train them, and how path-dropout drops choices."""

    images: float = Field(0.2, gt=0, lt=1)
    """Share of the training images that architecture parameters learn from; the weights have the others."""
    start: float = Field(0.1, ge=0, lt=1)
    """Share of the training before their first update."""
    lr: float = Field(0.01, gt=0)
    """Learning rate of Adam."""
    weight_decay: float = Field(0.0, ge=0)
    """Decay of architecture parameters."""
    cost: Literal["macs", "bitops", "latency", "none"] = "macs"
    """Cost in the loss of gumbel, two-path and policy; `latency` needs `nastool profile`."""
    cost_weight: float = Field(0.2, ge=0)
    """Weight of the cost: a factor of gumbel's loss, a summand of the others."""
    cost_power: float = Field(0.6, ge=0)
    """Power of the logarithm of the cost, of gumbel."""
    temperature: float = Field(5.0, gt=0)
    """Temperature of the Gumbel softmax at the start."""
    last_temperature: float = Field(0.1, gt=0)
    """Temperature at the end."""
    drop_rate: float = Field(0.01, ge=0, lt=1)
    """Probability that path-dropout drops all choices of a block, at the end of the training."""


# "levels" is the former name of "constraint"
SamplerName = Annotated[
    Literal["constraint", "balanced", "uniform"],
    BeforeValidator(lambda given: "constraint" if given == "levels" else given),
]


class SupernetConfig(TrainConfig):
    """How a supernet is trained: also how paths are sampled, what a step trains, and the weights it starts from."""

    sampler: SamplerName = "constraint"
    """Path sampling: `constraint` (uniform over levels of cost, the paper's), `balanced` or `uniform`."""
    strategy: Literal["spos", "sandwich", "fair", "path-dropout", "darts", "gumbel", "two-path", "policy"] = "spos"
    """What a step trains: `spos` (one path, the paper's), `sandwich` or `fair` (several paths), or a rival of the
    paper: `path-dropout`, `darts`, `gumbel`, `two-path` or `policy`.
    """
    architecture: ArchitectureConfig = ArchitectureConfig()
    """The hyper-parameters of the rivals."""
    start_from: Folder | None = None
    """File of weights to start from: of the model of the space, or of torchvision's ResNet-18 or -34."""
    importance: Literal["magnitude", "taylor"] = "magnitude"
    """Which channels of a model the narrower blocks keep: those of the greatest `magnitude`, or those without which the
    loss on training images changes most (`taylor`, from gradients).
    """
    sample_by: Literal["macs", "bitops", "latency"] | None = None
    """Cost of the levels. Default: MACs, or BitOps of a quantized space."""
    sample_range: SampleRange = ()
    """Range of cost that paths are sampled from: `"whole"` or the least and greatest, `["284M", "461M"]`. Default:
    from the 1st to the 99th percentile.
    """
    levels: int = Field(LEVELS, ge=1, le=1000)
    """Number of levels of cost."""
    budgets: Amounts = ()
    """Limits that will be searched: paths are sampled from the cheapest network up to the greatest of them."""

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


class RetrainConfig(TrainConfig):
    """How a single network is trained: also the weights that it starts from, and the network that it learns from."""

    start_from: PathText = "scratch"
    """Weights to start from: `scratch` (random), `supernet`, or a file of weights of the same architecture."""
    teacher: Literal["supernet", "original"] | None = None
    """Also learn from the predictions of the supernet's largest network, or of the model of the space."""
