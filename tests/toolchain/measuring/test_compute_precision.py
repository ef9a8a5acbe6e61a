"""The precision in which a backend computes a file."""

import pytest

from exporters.backends import onnxruntime
from exporters.errors import BackendUnavailable
from toolchain.measuring.compute_precision import compute_precision


def test_tensorrts_provider_computes_in_tf32_and_that_is_noted() -> None:
    provider = onnxruntime.Backend(onnxruntime.TENSORRT)
    assert compute_precision(provider, "fp32") == "tf32"


def test_fp16_that_tensorrts_provider_may_compute_in_fp32_is_refused() -> None:
    with pytest.raises(
        BackendUnavailable, match=r"weakly typed.* Give --precision fp32, or --backend tensorrt or onnx"
    ):
        compute_precision(onnxruntime.Backend(onnxruntime.TENSORRT), "fp16")
    assert compute_precision(onnxruntime.Backend(onnxruntime.CUDA), "fp16") == "fp16"
