"""Precision and device of training."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from toolchain.errors import BadConfig, NoDevice
from toolchain.parallel.ranks import local_rank, local_world

FP16_CAPABILITY = (7, 0)  # the first tensor cores; on older GPUs fp16 saves memory but no time


@dataclass(frozen=True)
class Precision:
    """fp32, or mixed precision: convolutions and products in `dtype`, weights and sums in fp32."""

    dtype: torch.dtype

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The context for a forward pass and its loss."""
        return torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32)

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Scales losses so that small gradients are not 0 in fp16; disabled in other precisions."""
        return torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)


FP32 = Precision(torch.float32)
_BY_NAME = {"fp32": FP32, "bf16": Precision(torch.bfloat16), "fp16": Precision(torch.float16)}


def compute_device(name: str = "auto") -> torch.device:
    """`cpu`, `cuda`, or `auto`: the GPU if there is one. Each process has its own GPU.

    Raises:
        NoDevice: there is no GPU, or there are fewer GPUs than processes.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not gpus):
        return torch.device("cpu")
    if not gpus:
        raise NoDevice(
            'torch sees no NVIDIA GPU to train on. Write device = "auto" in [train], or use a machine with one'
        )
    if local_world() > gpus:
        raise NoDevice(f"{local_world()} processes need a GPU each, and {gpus} are here. Write --nproc {gpus}")
    return torch.device("cuda", local_rank())


def precision_of(name: str, device: torch.device, quantized: bool) -> Precision:
    """The precision by its name in the configuration; `auto` is the fastest of `device`.

    Raises:
        BadConfig: it is slower on this device (CPUs emulate it), or wrong (sums of integer codes need fp32).
    """
    if name == "fp32":
        return FP32
    if quantized:
        if name != "auto":
            raise BadConfig(f'quantized convolutions add integers, which {name} would round. Write precision = "fp32"')
        return FP32
    if device.type != "cuda":
        if name != "auto":
            raise BadConfig(
                f'a CPU emulates {name}, which is slower than fp32. Write precision = "auto", or train on a GPU'
            )
        return FP32
    if name != "auto":
        return _BY_NAME[name]
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return _BY_NAME["bf16"]
    return _BY_NAME["fp16"] if torch.cuda.get_device_capability(device) >= FP16_CAPABILITY else FP32
