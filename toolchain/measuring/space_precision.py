"""The precision in which networks of a space are timed."""

from toolchain.config import ProfileConfig
from toolchain.costs.latency import REGRESSION
from toolchain.errors import BadConfig
from toolchain.spaces.core import Architecture, SearchSpace

CONTAINER = "int8"  # layers of 1 to 4 bits run in 8 bits on every runtime here


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
