"""The precision in which networks of a space are timed."""

from exporters.cuda.features import TENSORRT, TENSORRT_RTX
from toolchain.config import ProfileConfig
from toolchain.costs.regression import REGRESSION
from toolchain.errors import BadConfig
from toolchain.spaces.core import Architecture, SearchSpace

CONTAINER = "int8"  # layers of 1 to 4 bits run in 8 bits on every runtime here
INT8_FP16 = "int8_fp16"  # the int8 file in the form that TensorRT fuses, with fp16 for the rest
TENSORRT_BACKENDS = (TENSORRT, TENSORRT_RTX)


def form_of(precision: str, backend: str) -> str:
    """The form of the file of a network that `backend` computes in `precision`.

    ONNX Runtime and TensorRT fuse different int8 files (docs/decisions/0044-int8-for-tensorrt.md); otherwise it is the
    precision itself.
    """
    return INT8_FP16 if precision == CONTAINER and backend in TENSORRT_BACKENDS else precision


def file_precision(space: SearchSpace, arch: Architecture, precision: str) -> str:
    """The precision of the file of `arch` on a target of `precision`; a float network of a low-bit space is fp32."""
    return "fp32" if space.quantized and not space.quantizes(arch) else precision


def for_space(profile: ProfileConfig, space: SearchSpace) -> ProfileConfig:
    """`profile` with the precision of the space: int8 containers for a space of 1 to 4 bits, else the configured one.

    Estimates and latencies that were fitted to networks measured elsewhere keep their precision: neither compiles a
    file (docs/decisions/0039-latency-of-int8-containers.md).

    Raises:
        BadConfig: low-bit networks are to be timed in fp16.
    """
    if not space.quantized or profile.estimate or profile.backend == REGRESSION:
        return profile
    if profile.precision == "fp16":
        raise BadConfig(
            f"networks of 1 to 4 bits are timed in int8 containers, not in fp16, and {space.name} has such networks. "
            f"Omit --precision, or remove it from nastool.toml"
        )
    return profile.model_copy(update={"precision": CONTAINER})
