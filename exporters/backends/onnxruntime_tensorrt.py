"""ONNX Runtime with its TensorRT provider: engines of the TensorRT that its wheel was built for.

What ships as an engine runs by the backend tensorrt; this one is for services that run ONNX Runtime.
"""

from functools import partial

from exporters.backends import onnxruntime

Backend = partial(onnxruntime.Backend, onnxruntime.TENSORRT)
