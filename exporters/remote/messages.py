"""What a remote device sends, validated: it is data, of limited size."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from exporters.cuda.gpu import Gpu
from exporters.errors import DeviceFailed
from exporters.timing import Timing

MAX_SAMPLES = 2**20
MAX_ENGINE_BYTES = 2**33  # bytes
Text = Annotated[str, StringConstraints(strict=True, max_length=2000, pattern=r"^[^\x00-\x1f\x7f]*$")]
Digest = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-f]{64}$")]
Bytes = Annotated[int, Field(strict=True, ge=0, le=2**60)]
Milliseconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hello(_Message):
    """What a device is and has; the fields of `exporters.agent.machine.Machine`, and versions."""

    model: Text
    cores: int = Field(strict=True, ge=0, le=2**20)
    uid: Text
    flags: Annotated[str, StringConstraints(strict=True, max_length=20_000)]
    affinity: Text
    os: Text
    architecture: Text
    clocks: Text
    memory_bytes: Bytes
    python: Text
    executable: Text
    process: int
    onnxruntime: Text
    numpy: Text
    simulated_speed: float = Field(gt=0, le=1e6)
    folder: Text
    free_bytes: Bytes

    def differences(self, now: "Hello") -> tuple[str, ...]:
        """What makes the device another target than it was."""
        return differences(self, now, ("model", "cores", "affinity", "os", "clocks", "onnxruntime", "simulated_speed"))


class TimingReply(_Message):
    """The fields of `exporters.timing.Timing`."""

    calls: int = Field(strict=True, ge=1, le=10**9)
    wall_ms_min: Milliseconds
    wall_ms_median: Milliseconds
    busy_ms_min: Milliseconds
    busy_ms_median: Milliseconds
    raw_ms: tuple[Milliseconds, ...] = Field(max_length=MAX_SAMPLES)
    noise_reason: Text

    @property
    def timing(self) -> Timing:
        """The timing."""
        return Timing(**self.model_dump())


class Conditions(_Message):
    """The state of a device now; absent where it does not report one."""

    load_1min: float | None = Field(None, ge=0, allow_inf_nan=False)
    temperature_c: float | None = Field(None, allow_inf_nan=False)
    clock_mhz: float | None = Field(None, ge=0, allow_inf_nan=False)
    throttled: Text | None = None
    throttle_count: float | None = Field(None, ge=0)
    power_w: float | None = Field(None, ge=0, allow_inf_nan=False)
    peak_rss_mb: float | None = Field(None, ge=0)


class Loaded(_Message):
    """A compiled file: how much the memory of the process grew, at its peak; 0 if unknown."""

    peak_bytes: Bytes


class Outputs(_Message):
    """The shapes of the outputs of a session."""

    outputs: dict[Text, Annotated[tuple[Bytes, ...], Field(max_length=8)]] = Field(max_length=1000)


class Has(_Message):
    """Whether a file is cached."""

    has: bool


class Owner(_Message):
    """The present owner of a lock; None if it was acquired."""

    owner: Text | None


class GpuReply(_Message):
    """The fields of `exporters.cuda.gpu.Gpu`, and its clock settings."""

    index: Bytes
    name: Text
    uuid: Text
    pci_bus_id: Text
    capability: Annotated[str, StringConstraints(strict=True, pattern=r"^(\d+\.\d+)?$", max_length=10)]
    driver: Text
    memory_bytes: Bytes
    cores: Bytes
    clocks: Text

    @property
    def gpu(self) -> Gpu:
        """The GPU."""
        return Gpu(**self.model_dump(exclude={"clocks"}))


class Gpus(_Message):
    """The NVIDIA GPUs of a device."""

    gpus: tuple[GpuReply, ...] = Field(max_length=1000)


class ProviderState(_Message):
    """Why a provider of ONNX Runtime cannot run on a GPU of the device; None if it can."""

    reason: Text | None


class TensorrtState(_Message):
    """TensorRT on a device: its version, or "", and why it cannot run or build engines there."""

    version: Text
    provider: Text
    reason: Text | None
    build_reason: Text | None


class Built(_Message):
    """An engine that is on the device; see `exporters.cuda.engine.Engine`."""

    key: Digest
    n_bytes: Annotated[int, Field(strict=True, ge=1, le=MAX_ENGINE_BYTES)]
    sha256: Digest
    capability: Text
    built_by: Text
    convolutions: dict[Text, Annotated[int, Field(strict=True, ge=0)]] = Field(max_length=100)


class Nothing(_Message):
    """An answer without content."""


Reply = TypeVar("Reply", bound=BaseModel)


def differences(before: BaseModel, now: BaseModel, fields: Sequence[str] = ()) -> tuple[str, ...]:
    """The fields of an answer that have changed, in words; all fields by default."""
    changed: list[str] = []
    for name in fields or type(before).model_fields:
        one, other = getattr(before, name), getattr(now, name)
        if isinstance(one, tuple) and len(one) == len(other) and all(isinstance(item, BaseModel) for item in one):
            changed += (text for pair in zip(one, other, strict=True) for text in differences(*pair))
        elif one != other:
            changed.append(f"{name}: {other}, before {one}")
    return tuple(changed)


def validated(kind: type[Reply], content: Any, device: str) -> Reply:
    """An answer of `device` through its type.

    Raises:
        DeviceFailed: it is something else.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise DeviceFailed(
            f"{device} sent an invalid answer ({kind.__name__}, {where}: {first['msg']}). Run the same command again; "
            f"if it happens again, run nastool doctor --device {device}"
        ) from None
