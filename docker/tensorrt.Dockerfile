# The gate on NVIDIA GPUs: TensorRT comes from NVIDIA's base image, ONNX Runtime from PyPI (it needs CUDA 13).
#   docker build -f docker/tensorrt.Dockerfile -t nastool-check:tensorrt .
#   docker run --rm --gpus all -v "$PWD:/data" nastool-check:tensorrt check model.engine --device cuda:0 --latency 2ms
# An engine runs on the GPU and the TensorRT version that built it; take the tag with your version:
# https://docs.nvidia.com/deeplearning/tensorrt/container-release-notes/
FROM nvcr.io/nvidia/tensorrt:25.10-py3

COPY . /src
# onnxruntime-gpu has the same module as onnxruntime, so it replaces it; cuda-bindings gives device memory and CUDA graphs
RUN python3 -m pip install --no-cache-dir /src/wheels/nastool-check "cuda-bindings>=12.6" \
    && python3 -m pip uninstall --yes onnxruntime \
    && python3 -m pip install --no-cache-dir "onnxruntime-gpu>=1.31" \
    && rm -rf /src

RUN useradd --uid 10001 --create-home gate
USER 10001
WORKDIR /data
ENTRYPOINT ["nastool-check"]
