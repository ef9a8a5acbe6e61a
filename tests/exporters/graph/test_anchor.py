"""The anchor network has the same bytes in every process and a suitable size."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np

from exporters.backends.fake import latency_ms
from exporters.backends.onnxruntime import Backend
from exporters.graph.anchor import BATCH, CHANNELS, REPEATS, SIZE_PX, spec, write_anchor
from exporters.graph.model import Model


def test_bytes_are_the_same_in_every_process(tmp_path: Path) -> None:
    """Measurements with another anchor network cannot be compared: if the hash changes, raise PROTOCOL_VERSION."""
    program = (
        "import sys; from pathlib import Path; from exporters.graph.anchor import *; write_anchor(Path(sys.argv[1]))"
    )
    files = [tmp_path / "one.onnx", tmp_path / "two.onnx"]
    for file in files:
        subprocess.run([sys.executable, "-c", program, str(file)], check=True)
    one, two = (hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    assert one == two
    assert Model(files[0]).graph_hash == "9716bf9f56e3aa31"
    assert Model(files[0]).precision == "fp32"


def test_activations_neither_vanish_nor_explode(tmp_path: Path) -> None:
    path = tmp_path / "anchor.onnx"
    write_anchor(path)
    session = Backend().compile(path, spec(threads=1))
    images = np.random.default_rng(1).standard_normal((BATCH, 3, SIZE_PX, SIZE_PX), dtype=np.float32)
    logits = session.run({"images": images})["logits"]
    assert logits.shape == (BATCH, 10)
    assert 0.01 < logits.std() < 10  # denormal numbers would be slow
    timing = session.time(1.0)
    session.close()
    assert timing.calls >= 3


def test_takes_two_to_three_milliseconds(tmp_path: Path) -> None:
    path = tmp_path / "anchor.onnx"
    write_anchor(path)
    macs = BATCH * SIZE_PX**2 * CHANNELS * (3 * 9 + REPEATS * (9 + CHANNELS))
    assert macs == 167_247_872  # 2 to 3 ms at 30 to 80 GFLOP/s, one core of these years
    assert latency_ms(path, BATCH) > macs * 0.05 / 1e6
