"""TensorRT-RTX: a runtime of its own, with rows of its own, through the API of TensorRT.

It builds for a named GPU on a machine without one, and runs on GeForce RTX 20 and later.
"""

from functools import partial

from exporters.backends import tensorrt

Backend = partial(tensorrt.Backend, "tensorrt_rtx")
