"""The configuration of a command: defaults < nastool.toml < flags, checked before any work starts."""

import reprlib
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from toolchain.errors import BadConfig, os_error_text
from toolchain.files import expand_home

FILE = Path("nastool.toml")
PRESETS = ("quick", "imagenet")
# Keys of nastool 0.1.0 that a nastool.toml or a run's config.toml may still have -> today's keys.
OLD_KEYS = {
    "fix_ops": "fixed_ops",
    "profile.stack": "profile.target",
    "search.random_baseline": "search.random_search",
}
LARGEST_SEED = 2**62  # torch takes seeds of 63 bits, and repeats add to it
LARGEST_BATCH = 2**20
MOST_THREADS = 4096
MOST_COUNT = 10**9
MOST_FINALISTS = 1000
LEVELS = 7  # of uniform constraint sampling, as in toolchain/counting/levels.py
LONGEST_SHOWN = 120  # characters of a wrong value in a message

# Text that is not empty; None means "not given".
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
# Text that may begin with a path: `~` in it is the home folder.
PathText = Annotated[Text, AfterValidator(expand_home)]
Folder = Annotated[Path, BeforeValidator(lambda given: _utf8(expand_home(given)) if isinstance(given, str) else given)]
Count = Annotated[int, Field(gt=0, le=MOST_COUNT)]
Threads = Annotated[int, Field(gt=0, le=MOST_THREADS)]
Batch = Annotated[int, Field(gt=0, le=LARGEST_BATCH)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]

Epochs = Annotated[float, Field(gt=0, le=1e6)]


def _none_or_several(count: int) -> int:
    if count == 1:
        raise ValueError("a single finalist has no rival. Give 0 for none, or at least 2")
    return count


Finalists = Annotated[int, Field(ge=0, le=MOST_FINALISTS), AfterValidator(_none_or_several)]

# "17ms", or several of them: ["13ms", "17ms"]
Amounts = Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)]


def _names(given: Any) -> Any:
    listed = given if isinstance(given, list | tuple) else [given]
    if not all(isinstance(text, str | int | float) for text in listed):
        return given  # pydantic says what is wrong with it
    return tuple(dict.fromkeys(name.strip() for text in listed for name in str(text).split(",")))


def _utf8(path: str) -> str:
    """Paths are stored in the run's config.toml, which is UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError("the path is not UTF-8; rename the folder") from None
    return path


def _sample_range(given: Any) -> Any:
    """`284M..461M` or `whole` as a tuple."""
    listed = (given,) if isinstance(given, str) else given
    if not isinstance(listed, list | tuple) or not all(isinstance(text, str) for text in listed):
        return given  # pydantic says what is wrong with it
    ends = tuple(end.strip() for text in listed for end in text.split(".."))
    if ends and ends != ("whole",) and (len(ends) != 2 or not all(ends)):
        raise ValueError('it must be "whole" or two amounts, as in ["284M", "461M"] or 284M..461M')
    return ends


SampleRange = Annotated[tuple[str, ...], BeforeValidator(_sample_range)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]  # "fp16,int8", or ["fp16", "int8"]


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
    changes: dict[str, Any] = {}


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


class ExportConfig(_Section):
    """The files to write besides the one in the network's own precision, and their batch sizes."""

    precision: Names = ()
    static: bool = False  # files for exactly profile.batch images
    engine: bool = False  # a TensorRT engine for the GPU of this machine
    sm: Names = ()  # TensorRT-RTX engines for these compute capabilities: "86" or "8.6"
    largest_batch: Batch = 32  # of engines; they are tuned for profile.batch


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


def preset_text(name: str) -> str:
    """The commented nastool.toml of a preset.

    Raises:
        BadConfig: there is no such preset.
    """
    if name not in PRESETS:
        raise BadConfig(f"unknown preset {name!r}. Known presets: {', '.join(PRESETS)}")
    return (resources.files("toolchain") / "presets" / f"{name}.toml").read_text()


def load_config(
    path: Path | None, flags: Mapping[str, Any], labels: Mapping[str, str] = MappingProxyType({})
) -> Config:
    """Read `path` (or ./nastool.toml if it exists) and override its values by `flags`.

    Args:
        flags: values by dotted key, as `profile.batch`.
        labels: the name of each flag on the command line, for messages.

    Raises:
        BadConfig: the file is missing or not TOML, or a key or value in it or in `flags` is invalid.
    """
    if path is not None and path.is_dir():
        raise BadConfig(f"{path} is a folder. Name the file in it, as --config {path / FILE}")
    if path is not None and not path.exists():
        raise BadConfig(f"{path} does not exist. Run nastool init to write a nastool.toml")
    chosen = path or FILE
    try:
        text = chosen.read_text(encoding="utf-8") if chosen.exists() else ""
    except OSError as problem:
        raise BadConfig(os_error_text("read", chosen, problem)) from None
    except UnicodeDecodeError as problem:
        raise BadConfig(f"{chosen} is not UTF-8 text: {problem.reason} at byte {problem.start}. Correct it") from None
    return parse_config(text, flags, str(chosen), labels)


def parse_config(
    text: str, flags: Mapping[str, Any], where: str, labels: Mapping[str, str] = MappingProxyType({})
) -> Config:
    """The configuration in TOML `text`, overridden by `flags`; see `load_config`."""
    try:
        content = tomllib.loads(text)
    except ValueError as problem:
        raise BadConfig(f"{where} is not TOML: {problem}") from None
    except RecursionError:
        raise BadConfig(f"{where} is nested too deeply. Only sections with keys are read") from None
    _rename_old_keys(content, where)
    for key, value in flags.items():
        *sections, name = key.split(".")
        _section(content, sections, where)[name] = value
    try:
        return Config(**content)
    except ValidationError as problem:
        raise BadConfig(_first_error(problem, flags, where, labels)) from None


def _rename_old_keys(content: dict[str, Any], where: str) -> None:
    for old, new in OLD_KEYS.items():
        *sections, name = old.split(".")
        section: Any = content
        for part in sections:
            section = section.get(part)
        if not isinstance(section, dict) or name not in section:
            continue
        new_name = new.rpartition(".")[2]
        if new_name in section:
            raise BadConfig(f"{where}, {old}: it is now called {new}, which the file has too. Remove {old}")
        section[new_name] = section.pop(name)


def _section(content: dict[str, Any], names: Sequence[str], where: str) -> dict[str, Any]:
    for name in names:
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            raise BadConfig(f"{where}, {name}: it must be a section with keys (given: {_shortened(content)})")
    return content


def _first_error(problem: ValidationError, flags: Mapping[str, Any], where: str, labels: Mapping[str, str]) -> str:
    first = problem.errors()[0]
    key = ".".join(map(str, first["loc"]))
    flag = next((flag for flag in flags if key == flag or key.startswith(f"{flag}.")), None)
    source = f"{where}, {key}" if flag is None else labels.get(flag, f"the command line, {key}")
    if isinstance(first["input"], dict) and first["type"] == "value_error":  # of keys together
        return f"{source if flag else where}: {first['msg'].removeprefix('Value error, ')}"
    if first["type"] == "string_pattern_mismatch" and key == "run":
        allowed = "a name has letters, digits, '.', '_' and '-', and begins with a letter or digit"
        return f"{source}: {allowed} (given: {_shortened(first['input'])})"
    reason = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    return f"{source}: {reason} (given: {_shortened(first['input'])})"


def _shortened(value: object) -> str:
    text = reprlib.repr(value) if isinstance(value, dict | list) else repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
