"""The device whose latency is known."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from exporters import backends
from exporters.agent.simulated import DRIFT_PERIOD_MS, FakeSettings
from exporters.backends import CompileSpec
from exporters.backends.fake import NS_PER_MAC, NS_PER_NODE, Backend
from exporters.errors import NotOnnx, UnknownBackend
from exporters.graph.onnx_file import load_model
from exporters.graph.to_onnx import export_onnx
from exporters.quantize.int8 import quantize
from exporters.timing import Timing

SIZES = ((3, 6, 6), (4, 4, 4))  # of what the convolution takes and gives


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "part.onnx"
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Flatten(), nn.Linear(64, 5))
    export_onnx(net, torch.zeros(2, 3, 6, 6), path)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "whole.onnx"
    export_onnx(nn.Sequential(*[nn.Conv2d(3, 3, 1) for _ in range(16)]), torch.zeros(2, 3, 4, 4), path)
    return path


def ms(backend: Backend, file: Path, batch: int = 8) -> float:
    return backend.compile(file, CompileSpec(batch)).time(1.0).wall_ms_min


@pytest.mark.parametrize("batch", [1, 8])
def test_costs_its_macs_and_nodes(part: Path, batch: int) -> None:
    macs = batch * (4 * 4 * 4 * 3 * 3 * 3 + 64 * 5)
    nodes = 3  # Conv, Reshape, Gemm
    assert ms(Backend(), part, batch) == pytest.approx((macs * NS_PER_MAC + nodes * NS_PER_NODE) / 1e6)


def test_eight_bits_have_the_macs_of_the_float_file_and_more_nodes(part: Path, tmp_path: Path) -> None:
    written = quantize(load_model(part), np.ones((4, 3, 6, 6), np.float32))
    onnx.save(written, tmp_path / "int8.onnx")
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in written.graph.node}
    more = len(written.graph.node) - len(load_model(part).graph.node)
    assert ms(Backend(), tmp_path / "int8.onnx") == pytest.approx(ms(Backend(), part) + more * NS_PER_NODE / 1e6)


@pytest.mark.parametrize("codes", [["DequantizeLinear"], ["QuantizeLinear", "Clip", "DequantizeLinear"]])
def test_weights_are_as_large_as_the_codes_that_they_come_from(codes: list[str], tmp_path: Path) -> None:
    """QCDQ rounds, keeps the codes within their bits, and gives values again."""
    stored = np.zeros((4, 3, 3, 3), np.float32 if len(codes) > 1 else np.int8)
    constants = {"w": stored, "scale": np.float32(0.5), "zero": np.int8(0), "most": np.int8(7)}
    takes = {"QuantizeLinear": ["scale", "zero"], "Clip": ["zero", "most"], "DequantizeLinear": ["scale", "zero"]}
    names = ["w", *codes]
    nodes = [helper.make_node(op, [before, *takes[op]], [op]) for before, op in pairwise(names)]
    nodes.append(helper.make_node("Conv", ["x", names[-1]], ["y"]))
    x, y = (helper.make_tensor_value_info(name, 1, ["n", *size]) for name, size in zip("xy", SIZES, strict=True))
    initial = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [x], [y], initial)), tmp_path / "coded.onnx")
    expected = (8 * 4 * 4 * 4 * 3 * 3 * 3 * NS_PER_MAC + len(nodes) * NS_PER_NODE) / 1e6
    assert ms(Backend(), tmp_path / "coded.onnx") == pytest.approx(expected)


def test_a_file_that_does_not_tell_its_sizes_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["w", "shape"], ["reshaped"]),
        helper.make_node("Conv", ["x", "reshaped"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, 1, ["n", *size]) for name, size in zip("xy", SIZES, strict=True))
    shape = helper.make_tensor_value_info("shape", onnx.TensorProto.INT64, ["rank"])
    weights = numpy_helper.from_array(np.zeros((4, 27), np.float32), "w")
    graph = helper.make_graph(nodes, "g", [x, shape], [y], [weights])
    onnx.save(helper.make_model(graph), tmp_path / "open.onnx")
    with pytest.raises(NotOnnx, match=r"the shape of reshaped in .* is unknown"):
        ms(Backend(), tmp_path / "open.onnx")


def test_whole_networks_can_be_slower_than_their_parts(part: Path, whole: Path) -> None:
    assert ms(Backend(scale_whole=1.5), whole) == pytest.approx(1.5 * ms(Backend(), whole))
    assert ms(Backend(scale_whole=1.5), part) == ms(Backend(), part)


def test_noise_slows_calls_and_comes_from_the_seed(part: Path) -> None:
    noisy = [Backend(noise=0.1, seed=seed).compile(part, CompileSpec(8)) for seed in (0, 0, 1)]
    timing, again, other = (compiled.time(1.0) for compiled in noisy)
    assert ms(Backend(), part) < timing.wall_ms_min < timing.wall_ms_median
    assert timing == again
    assert timing != other


def many(backend: Backend, timings: int, call_ms: float = 1.0) -> list[Timing]:
    compiled = backend.simulate(call_ms)
    return [compiled.time(40.0) for _ in range(timings)]


def test_drift_slows_and_quickens_again_over_a_minute_of_its_clock() -> None:
    figures = [timing.busy_ms_median for timing in many(Backend(drift=0.1), 2 * int(DRIFT_PERIOD_MS / 40))]
    assert min(figures) == pytest.approx(1.0, abs=1e-3)
    assert max(figures) == pytest.approx(1.1, abs=1e-3)
    steps = [abs(after - before) for before, after in pairwise(figures)]
    assert max(steps) < 0.001  # slow: what is timed in turns drifts alike


@pytest.mark.parametrize("visible", [True, False])
def test_bursts_take_their_share_of_the_time_and_hit_whatever_is_timed(visible: bool) -> None:
    device = Backend(burst=0.2, burst_slower=3.0, burst_visible=visible)
    timings = many(device, 2000)
    slow = [timing.busy_ms_median > 2.9 for timing in timings]
    in_burst = sum(3.0 if is_slow else 1.0 for is_slow in slow if is_slow) / sum(3.0 if s else 1.0 for s in slow)
    assert in_burst == pytest.approx(0.2, abs=0.04)  # of the clock's time, some 350 stretches of it
    assert sum(before != after for before, after in pairwise(slow)) < len(slow) / 5  # in runs, not one by one
    result = [bool(timing.noise_reason) for timing in timings]
    assert result == [visible and max(timing.raw_ms) > 2.9 for timing in timings]


def test_a_build_can_be_slower(part: Path) -> None:
    assert ms(Backend(slowdown=0.05), part) == pytest.approx(1.05 * ms(Backend(), part))


def test_two_networks_meet_different_weather_and_the_same_one_the_same() -> None:
    one, again, other = (many(Backend(drift=0.1), 1, call_ms)[0].busy_ms_min / call_ms for call_ms in (1.0, 1.0, 2.0))
    assert one == again
    assert one != other


def test_is_only_loaded_to_compute_something(part: Path) -> None:
    program = (
        f"import sys; from pathlib import Path; from exporters import backends; "
        f"backends.load('fake').compile(Path({str(part)!r}), backends.CompileSpec(8)).time(40.0); "
        f"sys.exit('onnxruntime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_dials_come_as_text() -> None:
    backend = backends.load("fake:noise=0.02,drift=0.1,seed=7")
    assert isinstance(backend, Backend)
    assert backend.settings == FakeSettings(noise=0.02, drift=0.1, seed=7)


def test_the_same_device_on_another_day_is_the_same_target() -> None:
    calm, wild = Backend(), Backend(noise=0.1, drift=0.2, burst=0.1, slowdown=0.05, seed=3)
    assert calm.version() == wild.version() != Backend(scale_whole=1.3).version()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fake:noize=1", "the backend fake has no setting 'noize'. Its settings: scale_whole, noise, "),
        ("fake:", "the backend fake has no setting ''"),
        ("fake:noise=much", "the setting noise of the backend fake must be a number from 0, as 0.05 (given: 'much')"),
        ("fake:burst=-1", "the setting burst of the backend fake must be a number from 0"),
        ("fake:seed=1.5", "the setting seed of the backend fake must be a whole number from 0 (given: '1.5')"),
    ],
)
def test_a_wrong_dial_is_named(text: str, message: str) -> None:
    with pytest.raises(UnknownBackend) as caught:
        backends.load(text)
    assert str(caught.value).startswith(message)
