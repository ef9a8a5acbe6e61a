"""A retrained network -> ONNX files, one for each precision, and what each one is held to."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from exporters.graph.model import Model
from exporters.graph.onnx_file import fix_batch, load_model, write_model
from exporters.graph.to_onnx import export_onnx
from exporters.quantize.int8 import quantize
from exporters.quantize.integer_layer import IntegerWeights
from exporters.quantize.qcdq import write_codes
from exporters.quantize.tensorrt_form import tensorrt_form
from toolchain.errors import BadConfig
from toolchain.export.manifest import ModelInfo
from toolchain.measuring.space_precision import CONTAINER, INT8_FP16, TENSORRT_BACKENDS, file_precision, form_of
from toolchain.nets.deploy import dequantized, integer_layers
from toolchain.nets.network import Network
from toolchain.spaces.core import Architecture, SearchSpace

FLOAT = ("fp32", "fp16", "int8", INT8_FP16)
LOW_BIT = ("exact", "int8", INT8_FP16)


@dataclass(frozen=True)
class ExportedFile:
    """An exported file; `tolerance` names the entry of `exporters.graph.parity` that it must pass.

    `integer_convolutions` is how many convolutions ONNX Runtime must run in integers, where a number is promised.
    """

    file: Path
    precision: str
    tolerance: str
    integer_convolutions: int | None = None

    @cached_property
    def model(self) -> Model:
        """The file as it is read again: parsed once."""
        return Model(self.file)


def precisions_of(
    space: SearchSpace, arch: Architecture, searched: str, more: tuple[str, ...], limited: bool = False
) -> tuple[str, ...]:
    """The own precision of the network, then the requested ones.

    Its own is the one that was searched: a latency limit is for that. Of a network of 1 to 4 bits it is `exact`, or
    `int8` under a latency limit, which is measured in int8 containers. A float network of such a space is fp32.

    Args:
        searched: the precision of the configuration.
        limited: the network was searched under a latency limit.

    Raises:
        BadConfig: there is no such precision of it.
    """
    quantized = space.quantizes(arch)
    known: tuple[str, ...] = LOW_BIT if quantized else FLOAT
    low_bit = CONTAINER if limited else LOW_BIT[0]
    own = low_bit if quantized else file_precision(space, arch, searched)
    for name in more:
        if name not in known:
            kind = "network of 1 to 4 bits" if quantized else "float network"
            raise BadConfig(f"unknown precision {name!r}. A {kind} is exported as {' or '.join(known)}")
    return (own, *(name for name in more if name != own))


def with_forms(precisions: tuple[str, ...], target_backend: str, builders: Collection[str]) -> tuple[str, ...]:
    """`precisions` with int8 in the forms of the runtimes that compute it.

    Args:
        precisions: the own precision, then the requested ones.
        target_backend: of the target that the own precision is for.
        builders: the backends that build engines. TensorRT builds those of int8 from the file in its form, which is
            added.
    """
    own, *more = precisions
    own = form_of(own, target_backend)
    added = [form_of(name, builder) for builder in builders for name in precisions if name == CONTAINER]
    return tuple(dict.fromkeys((own, *more, *added)))


def is_built_by(exported: ExportedFile, builder: str) -> bool:
    """Whether `builder` builds an engine of this file: of int8, TensorRT takes the file in its own form alone."""
    return builder not in TENSORRT_BACKENDS or exported.precision != CONTAINER


def write_models(
    net: Network,
    precisions: tuple[str, ...],
    info: ModelInfo,
    images: NDArray[np.float32],
    batch: int | None,
    folder: Path,
) -> tuple[ExportedFile, ...]:
    """Write the files: model.onnx in the first precision, model.PRECISION.onnx in each other one.

    Args:
        info: travels in each file's metadata.
        images: preprocessed hold-out images (N, C, S, S), which 8-bit ranges come from.
        batch: images that the files take at once; None for any number.

    Raises:
        ExportFailed: the network cannot be exported as it is.
        OSError: a file cannot be written.
    """
    example = torch.from_numpy(images[:1])
    layers = integer_layers(net)
    floats = _float_graph(dequantized(net) if layers else net, example, folder)
    about = info.model_dump(mode="json")
    models = []
    for number, precision in enumerate(precisions):
        file = folder / (f"model.{precision}.onnx" if number else "model.onnx")
        metadata = {f"nastool.{key}": json.dumps(value) for key, value in {**about, "precision": precision}.items()}
        if precision == "fp16":
            export_onnx(net, example, file, metadata, "fp16")
        else:
            write_model(_graph(precision, floats, layers, images), file, metadata)
        models.append(_exported(file, precision, len(layers)))
    if batch is not None:
        for model in models:
            fixed = load_model(model.file)
            fix_batch(fixed, batch)
            write_model(fixed, model.file)
    return tuple(models)


def _graph(
    precision: str, floats: onnx.ModelProto, layers: Mapping[str, IntegerWeights], images: NDArray[np.float32]
) -> onnx.ModelProto:
    """The graph of a file; `layers` are those of 1 to 4 bits."""
    if precision == "fp32":
        return floats
    if precision == "exact":
        return write_codes(floats, layers, None)
    int8 = write_codes(floats, layers, images) if layers else quantize(floats, images)
    return tensorrt_form(int8) if precision == INT8_FP16 else int8


def _exported(file: Path, precision: str, low_bit_layers: int) -> ExportedFile:
    """A file with its tolerance. In int8, ONNX Runtime must run all layers of 1 to 4 bits in integers."""
    if precision not in ("int8", INT8_FP16):
        return ExportedFile(file, precision, precision)
    if not low_bit_layers:
        return ExportedFile(file, precision, "int8")
    return ExportedFile(file, precision, "low_bit_int8", low_bit_layers if precision == "int8" else None)


def _float_graph(net: nn.Module, example: torch.Tensor, folder: Path) -> onnx.ModelProto:
    """The graph of `net` in fp32, which the files of other precisions are made from."""
    file = folder / "floats.onnx"
    export_onnx(net, example, file)
    graph = load_model(file)
    file.unlink()
    return graph
