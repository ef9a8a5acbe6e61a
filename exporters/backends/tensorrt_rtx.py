"""TensorRT-RTX: a separate runtime with separate records, through the API of TensorRT.

It builds for a named compute capability on a machine without such a GPU; `exporters.cuda.features` lists them.
"""

from functools import partial

from exporters.backends import tensorrt

Backend = partial(tensorrt.Backend, "tensorrt_rtx")
