"""Builds for a named compute capability; only TensorRT-RTX has this."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from exporters.cuda.features import CAPABILITIES, suffix_of
from exporters.cuda.trt_logger import logger_of
from exporters.errors import EngineFailed


def select(trt: ModuleType, config: Any, capability: str) -> None:
    """Build for this compute capability, or for "current"; by default the plan has code for all GPUs and is large.

    Raises:
        EngineFailed: the module has no such target.
    """
    name = suffix_of(capability).upper()
    if name not in trt.ComputeCapability.__members__:
        raise EngineFailed(
            f"{trt.__name__} {trt.__version__} does not build for compute capability {capability}. "
            f"Use one of {', '.join(CAPABILITIES)}"
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.__members__[name], 0)


def forget_refusal(trt: ModuleType, capability: str) -> None:
    """Build and discard a network of one node, so that a refused build does not change the next engine.

    After a refused build, TensorRT-RTX 1.7.1 puts code for all GPUs into the next plan of the process: 480 MB instead
    of 16. The plan after that is correct.
    """
    builder = trt.Builder(logger_of(trt))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    node = network.add_identity(network.add_input("x", trt.float32, (1,)))
    network.mark_output(node.get_output(0))
    config = builder.create_builder_config()
    select(trt, config, capability)
    builder.build_serialized_network(network, config)
    logger_of(trt).clear()


def execution_context(trt: ModuleType, engine: Any) -> Any:
    """An execution context whose kernels stay the same.

    By default kernels are replaced by faster ones while the first calls are timed.
    """
    runtime_config = engine.create_runtime_config()
    strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
    runtime_config.dynamic_shapes_kernel_specialization_strategy = strategy
    return engine.create_execution_context(runtime_config)
