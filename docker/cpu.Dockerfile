# The gate without torch, for CPUs: nastool-check check, bench and devices.
#   docker build -f docker/cpu.Dockerfile -t nastool-check .
#   docker run --rm -v "$PWD:/data" nastool-check check models/new.onnx --baseline models/old.onnx --max-regression 2%
FROM python:3.12-slim-trixie

COPY . /src
RUN pip install --no-cache-dir /src/wheels/nastool-check && rm -rf /src

RUN useradd --uid 10001 --create-home gate
USER 10001
WORKDIR /data
ENTRYPOINT ["nastool-check"]
