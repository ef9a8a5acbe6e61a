"""The backend fake on a remote device: the latencies and the engines that it has here."""

from pathlib import Path

import pytest
from onnx import TensorProto, helper, numpy_helper, save_model

from exporters.backends import CompileSpec
from exporters.backends.fake import Backend as Fake
from exporters.errors import EngineFailed
from exporters.remote.address import parse_address
from exporters.remote.connection import connect
from exporters.remote.simulated import SimulatedDevice


@pytest.fixture
def file(tmp_path: Path) -> Path:
    import numpy as np

    weight = numpy_helper.from_array(np.ones((8, 4, 3, 3), np.float32), "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8, 6, 6])
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "n.onnx")
    return tmp_path / "n.onnx"


def test_an_engine_has_the_latency_that_it_has_here(plain: str, file: Path) -> None:
    device = SimulatedDevice(connect(parse_address(plain)), Fake(slowdown=0.2))
    engine = device.build(file, CompileSpec(4))
    assert engine.built_by == "fake 1"
    engine.save(file.with_name("n.engine"))
    there = device.compile(file.with_name("n.engine"), CompileSpec(4)).time(1.0)
    here = Fake(slowdown=0.2).compile(file.with_name("n.engine"), CompileSpec(4)).time(1.0)
    assert there.wall_ms_min == pytest.approx(here.wall_ms_min)
    assert there.wall_ms_min == pytest.approx(1.2 * device.compile(file, CompileSpec(4)).time(1.0).wall_ms_min)


def test_an_engine_for_another_batch_is_refused(plain: str, file: Path) -> None:
    device = SimulatedDevice(connect(parse_address(plain)), Fake())
    device.build(file, CompileSpec(4)).save(file.with_name("n.engine"))
    with pytest.raises(EngineFailed, match=r"n\.engine was not built for a batch of 2\. Give --batch 4"):
        device.compile(file.with_name("n.engine"), CompileSpec(2))
