"""What each version of TensorRT and of TensorRT-RTX can do, and how it is asked for it: one row per change.

Sources: the support matrices and release notes of TensorRT 8.6.1, 10.0, 10.5, 10.8 and 11.4, and of TensorRT-RTX 1.7. A
test compares every name that the code reads with the bindings of 8.6.1, 10.13, 11.4 and TensorRT-RTX 1.7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType

from exporters.errors import BackendUnavailable, EngineFailed

TENSORRT, TENSORRT_RTX = "tensorrt", "tensorrt_rtx"
# ComputeCapability of TensorRT-RTX 1.7 -> well-known GPUs
CAPABILITIES: Mapping[str, str] = MappingProxyType(
    {
        "7.5": "GeForce RTX 20, T4",
        "8.0": "A100",
        "8.6": "GeForce RTX 30, A10",
        "8.9": "GeForce RTX 40, L4",
        "12.0": "GeForce RTX 50",
        "12.1": "DGX Spark",
    }
)


@dataclass(frozen=True)
class TensorrtFeatures:
    """The properties of one version; a row of the table holds until the next one.

    Args:
        since: the first version with them.
        least, most: compute capabilities that it runs on, inclusive; most is "" if there is no known end.
        targets: the only compute capabilities that it builds for; () if it builds for the attached GPU.
        strongly_typed: whether the types of the ONNX file can be made binding. Otherwise fp16 is requested by builder
            flags (`exporters.cuda.weak_types`).
        precisions: of files that it builds; () if it builds all.
        slow_fp16: compute capabilities in its range on which it has no fp16 kernels.
        opset: the greatest ONNX opset that it parses; None if it is at least that of nastool's exports.
        timing_cache: whether tactics are timed, and their timings can be stored.
        names_nodes: whether a parser error has the name and the operator of its node.
    """

    module: str
    since: tuple[int, int]
    least: str
    most: str = ""
    targets: tuple[str, ...] = ()
    strongly_typed: bool = True
    precisions: tuple[str, ...] = ()
    slow_fp16: tuple[str, ...] = ()
    opset: int | None = None
    timing_cache: bool = True
    names_nodes: bool = True

    @property
    def builds_without_gpu(self) -> bool:
        """Whether it builds for a named compute capability on a machine without such a GPU."""
        return bool(self.targets)

    @property
    def network_flag(self) -> str:
        """The NetworkDefinitionCreationFlag of its networks; both keep the batch in the shapes."""
        return "STRONGLY_TYPED" if self.strongly_typed else "EXPLICIT_BATCH"

    @property
    def gpus(self) -> str:
        """The compute capabilities in words."""
        if self.targets:
            return f"{', '.join(self.targets[:-1])} and {self.targets[-1]} only"
        return f"{self.least} to {self.most}" if self.most else f"{self.least} and later"

    def runs_on(self, capability: str) -> bool:
        """Whether it runs on a GPU of this compute capability; true if that is unknown ("")."""
        if not capability:
            return True
        if self.targets:
            return capability in self.targets
        return sm_of(self.least) <= sm_of(capability) and (not self.most or sm_of(capability) <= sm_of(self.most))

    def computes(self, precision: str, capability: str) -> bool:
        """Whether it builds files of this precision for this compute capability."""
        builds = not self.precisions or precision in self.precisions
        return builds and not (precision == "fp16" and capability in self.slow_fp16)


TABLE = (
    TensorrtFeatures(
        TENSORRT,
        (8, 6),
        "6.0",
        "9.0",
        strongly_typed=False,
        precisions=("fp32", "fp16"),
        slow_fp16=("6.1",),
        opset=17,
        names_nodes=False,
    ),
    TensorrtFeatures(TENSORRT, (10, 0), "7.0", "9.0"),
    TensorrtFeatures(TENSORRT, (10, 5), "7.5", "9.0"),
    TensorrtFeatures(TENSORRT, (10, 8), "7.5"),
    TensorrtFeatures(TENSORRT_RTX, (1, 0), "7.5", targets=tuple(CAPABILITIES), timing_cache=False),
)
NOT_DRIVEN = (9,)  # major versions for large language models alone, without a release for other networks

CUDA_12 = "--backend onnxruntime, in a build of onnxruntime-gpu for CUDA 12: CUDA 13 does not support this GPU"


@dataclass(frozen=True)
class LastVersion:
    """The last TensorRT for GPUs up to a compute capability, and how it is installed; "" if nastool cannot drive it."""

    up_to: str
    version: str
    command: str
    condition: str


FIRST_WITH_A_LAST = "6.0"
LAST_VERSIONS = (
    LastVersion("6.2", "8.6", "pip install tensorrt==8.6.1", "in Python 3.11 and with driver 580 or older"),
    LastVersion("7.0", "10.4", "pip install tensorrt-cu12==10.4.0", "with driver 580 or older"),
    LastVersion("7.2", "8.5", "", "part of JetPack 5.1, which nastool does not drive"),
)


def sm_of(capability: str) -> int:
    """86 for "8.6"; 0 if it is unknown."""
    return int(capability.replace(".", "") or 0)


def features_of(module: str, version: str) -> TensorrtFeatures:
    """The row of a version, e.g. `("tensorrt", "10.13.3.9")`.

    Raises:
        BackendUnavailable: nastool cannot drive that version.
    """
    numbers = re.match(r"(\d+)\.(\d+)", version)
    release = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    rows = [row for row in TABLE if row.module == module and row.since <= release]
    if not rows or release[0] in NOT_DRIVEN:
        raise BackendUnavailable(
            f"{module} {version} cannot be used: nastool drives TensorRT 8.6, 10 and later, and TensorRT-RTX 1.0 and "
            f"later. To install another version, {install_hint(module)}"
        )
    return rows[-1]


def features_of_module(trt: ModuleType) -> TensorrtFeatures:
    """The row of an imported module.

    Raises:
        BackendUnavailable: see `features_of`.
    """
    return features_of(trt.__name__, str(trt.__version__))


def install_hint(module: str, capability: str = "") -> str:
    """How to install a version that runs on GPUs of this compute capability, or the current one."""
    if module == TENSORRT_RTX:
        return "run pip install tensorrt-rtx-cu13"
    last = last_version(capability)
    if last is None:
        return "run pip install tensorrt"
    reason = f"TensorRT {last.version} is the last version for compute capability {capability}"
    if not last.command:
        return f"use --backend onnxruntime: {reason}, {last.condition}"
    return f"run {last.command}, {last.condition}: {reason}. Or use {CUDA_12}"


def last_version(capability: str) -> LastVersion | None:
    """The last TensorRT for GPUs of this compute capability; None if the current one runs on them, or none does."""
    if sm_of(capability) < sm_of(FIRST_WITH_A_LAST):
        return None
    return next((last for last in LAST_VERSIONS if sm_of(capability) <= sm_of(last.up_to)), None)


def refusal(module: str, version: str, gpu: str, capability: str) -> str | None:
    """Why this version does not run on a GPU and what to do instead, or None if it does.

    Args:
        gpu: the name of the GPU.

    Raises:
        BackendUnavailable: see `features_of`.
    """
    row = features_of(module, version)
    if row.runs_on(capability):
        return None
    runs = "has targets for" if row.targets else "runs on"
    return f"{gpu} has compute capability {capability}, and {module} {version} {runs} {row.gpus}. {instead(capability)}"


def instead(capability: str) -> str:
    """What to do on a GPU that the installed version does not run on."""
    last = last_version(capability)
    if last and last.command:
        return f"Install TensorRT {last.version} ({last.command}, {last.condition}), or use {CUDA_12}"
    if last or sm_of(capability) < sm_of(FIRST_WITH_A_LAST):
        return f"Use {CUDA_12}"
    return "Use --backend tensorrt with a current TensorRT (pip install tensorrt), or --backend onnxruntime"


def suffix_of(capability: str) -> str:
    """`sm86` for "8.6"; other texts stay."""
    return f"sm{capability.replace('.', '')}" if capability[:1].isdigit() else capability


def parse_capability(text: str) -> str:
    """ "8.6" for `86`, `8.6` and `sm86`.

    Raises:
        EngineFailed: no engine can be built for it; the message lists the known capabilities.
    """
    digits = text.lower().removeprefix("sm").replace(".", "").removesuffix("+")
    known = {capability.replace(".", ""): capability for capability in CAPABILITIES}
    if digits not in known:
        listed = ", ".join(f"{number} ({CAPABILITIES[capability]})" for number, capability in known.items())
        raise EngineFailed(f"TensorRT-RTX builds no engines for the compute capability {text!r}. Use one of {listed}")
    return known[digits]
