"""What a command is told: defaults < nastool.toml < flags, checked before any work starts."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_serializer

from toolchain.errors import BadConfig

FILE = Path("nastool.toml")
PRESETS = ("quick", "imagenet")


# "17ms", or several of them: ["13ms", "17ms"]
Amounts = Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)]


def _names(given: Any) -> Any:
    listed = given if isinstance(given, list | tuple) else [given]
    if not all(isinstance(text, str | int | float) for text in listed):
        return given  # pydantic says what is wrong with it
    return tuple(dict.fromkeys(name.strip() for text in listed for name in str(text).split(",")))


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]  # "fp16,int8", or ["fp16", "int8"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ProfileConfig(_Section):
    """How latencies are measured."""

    device: str = "cpu"
    target: str = ""  # a table by its id in `nastool db list`, also one of a device that isn't here
    estimate: bool = False  # of a device that isn't here, from its known rates; nothing is measured then
    backend: str = "auto"
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    batch: int = Field(32, gt=0)
    threads: int = Field(1, gt=0)
    rounds: int = Field(8, gt=0)
    min_ms: float = Field(40.0, gt=0)
    networks: int = Field(30, ge=0)
    quiet_timeout_s: float = Field(60.0, ge=0)
    db: str = "latency.sqlite"  # or a PostgreSQL URL

    @field_serializer("db")
    def _db_without_password(self, db: str) -> str:
        """A run folder is copied about; the server's password is not to be in it."""
        from latency_db.where import shown

        return shown(db)


class TrainConfig(_Section):
    """How weights are trained: a recipe's name and what is changed of it."""

    recipe: str = "imagenet"
    checkpoint_every_s: float = Field(300.0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = False
    changes: dict[str, Any] = {}


# "levels" is the former name of "constraint"
SamplerName = Annotated[
    Literal["constraint", "balanced", "uniform"],
    BeforeValidator(lambda given: "constraint" if given == "levels" else given),
]


class SupernetConfig(TrainConfig):
    """How a supernet is trained: also how paths are drawn, and what it starts from."""

    sampler: SamplerName = "constraint"
    start_from: Path | None = None


class SearchConfig(_Section):
    """Limits as text with units, one or several of each, and Algorithm 1's numbers."""

    latency: Amounts = ()
    macs: Amounts = ()
    params: Amounts = ()
    bitops: Amounts = ()
    weight_bits: Amounts = ()
    population: int = Field(50, ge=2)
    generations: int = Field(20, gt=0)
    top_k: int = Field(10, gt=0)
    mutation: float = Field(0.1, ge=0, le=1)
    bn_images: int = Field(20_000, gt=0)
    batch: int = Field(250, gt=0)
    threads: int = Field(2, gt=0)
    random_search: bool = True
    race: bool = False
    race_error: float = Field(0.05, gt=0, lt=1)


class ExportConfig(_Section):
    """What is written beside the file of the network's own precision, and for which batches."""

    precision: Names = ()
    static: bool = False  # files for exactly profile.batch images
    engine: bool = False  # TensorRT's, for the GPU of this machine
    sm: Names = ()  # TensorRT-RTX's, for these compute capabilities: "86" or "8.6"
    largest_batch: int = Field(32, gt=0)  # that engines take; they are tuned for profile.batch


class CheckConfig(_Section):
    """When a check fails, and how long it may take."""

    max_regression: str = "5%"
    confidence: str = "99%"
    max_seconds: float = Field(60.0, gt=0)
    on_inconclusive: Literal["fail", "warn", "pass"] = "fail"


class Config(_Section):
    """Everything, resolved."""

    run: str = Field("main", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    runs: Path = Path("runs")
    seed: int = Field(0, ge=0, lt=2**62)  # torch takes seeds of 63 bits, and repeats add to it
    space: str = "shufflenet_v2"
    fixed_ops: str | None = None
    widths: str | None = None
    data: str | None = None
    holdout_per_class: int = Field(50, gt=0)
    threads: int = Field(2, gt=0)
    workers: int = Field(2, ge=0)
    profile: ProfileConfig = ProfileConfig()
    train: SupernetConfig = SupernetConfig()
    search: SearchConfig = SearchConfig()
    retrain: TrainConfig = TrainConfig()
    export: ExportConfig = ExportConfig()
    check: CheckConfig = CheckConfig()

    def data_name(self) -> str:
        """The data set.

        Raises:
            BadConfig: none was named.
        """
        if self.data is None:
            raise BadConfig("no data set was named. Write --data fashion-mnist, digits, folder:PATH or wds:SHARDS")
        return self.data

    def as_toml(self) -> str:
        """The resolved configuration; it can be fed back with --config."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def preset_text(name: str) -> str:
    """The commented nastool.toml of a preset.

    Raises:
        BadConfig: there is no such preset.
    """
    if name not in PRESETS:
        raise BadConfig(f"unknown preset {name!r}. Known presets: {', '.join(PRESETS)}")
    return (resources.files("toolchain") / "presets" / f"{name}.toml").read_text()


def load_config(path: Path | None, flags: Mapping[str, Any]) -> Config:
    """Read `path` (or ./nastool.toml if there is one) and put `flags` on top; their keys are dotted.

    Raises:
        BadConfig: the file is missing or no TOML, or a key or value is not taken; it is named.
    """
    if path is not None and not path.exists():
        raise BadConfig(f"{path} is not there. Type nastool init to write one")
    chosen = path or FILE
    try:
        text = chosen.read_text(encoding="utf-8") if chosen.exists() else ""
    except (OSError, UnicodeDecodeError) as problem:
        raise BadConfig(f"can't read {chosen}: {problem}. Type nastool init to write a new one") from None
    return parse_config(text, flags, str(chosen))


def parse_config(text: str, flags: Mapping[str, Any], where: str) -> Config:
    """The configuration in TOML `text` with `flags` on top.

    Raises:
        BadConfig: as `load_config`.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise BadConfig(f"{where} is not TOML: {problem}") from None
    for key, value in flags.items():
        *sections, name = key.split(".")
        target = content
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise BadConfig(f"{where}, {section}: it must be a section with keys (given: {target!r})")
        target[name] = value
    try:
        return Config(**content)
    except ValidationError as problem:
        first = problem.errors()[0]
        key = ".".join(map(str, first["loc"]))
        source = "the command line" if any(key == flag or key.startswith(f"{flag}.") for flag in flags) else where
        raise BadConfig(f"{source}, {key}: {first['msg']} (given: {first['input']!r})") from None
