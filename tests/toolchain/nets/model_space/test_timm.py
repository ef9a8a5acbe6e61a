"""Models of timm, whose normalizations contain their activations: the same function in torch and in ONNX Runtime."""

from pathlib import Path
from random import Random

import numpy as np
import onnxruntime
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from exporters.graph.to_onnx import export_onnx
from toolchain.costs.counters import macs_cost
from toolchain.errors import UnknownSpace
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.checked_space import load_checked_space
from toolchain.nets.model_space.weights import builder_of_model, load_into_supernet, model_weights, network_state
from toolchain.nets.network import Network
from toolchain.nets.supernet import Supernet
from toolchain.spaces.model_source import full_architecture

pytestmark = pytest.mark.long
MODELS = (
    "resnet10t",
    "mobilenetv2_035",
    "mobilenetv3_small_050",
    "efficientnet_lite0",
    "regnety_002",
    "convnext_atto",
    "ghostnet_050",
)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_timm(name: str, tmp_path: Path) -> None:
    space = load_checked_space(f"model:timm:{name}:size_px=64,classes=10,widths=0.5-1.0")
    builder = builder_of_model(space)
    assert builder is not None
    model = builder.model.eval()
    weights = model_weights(space, model.state_dict())
    net = Network(space, full_architecture(space), STANDALONE).eval()
    net.load_state_dict(network_state(space, weights))
    supernet = Supernet(space).eval()
    load_into_supernet(weights, supernet)
    arch = space.draw(Random(0))
    narrow = Network(space, arch, STANDALONE).eval()
    narrow.load_state_dict(network_state(space, weights, arch))
    images = torch.randn(3, *space.input_shape, generator=torch.Generator().manual_seed(0))
    export_onnx(narrow, images, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    with torch.no_grad():
        torch.testing.assert_close(net(images), model(images), rtol=1e-4, atol=1e-5)
        assert torch.equal(supernet(images, arch), supernet.extract(arch)(images))
        (logits,) = session.run(None, {"images": images.numpy()})
        expected = narrow(images).numpy()
        assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()
        with FlopCounterMode(display=False) as counter:
            narrow(images[:1])
    assert macs_cost(space).cost(arch) == counter.get_total_flops() // 2


def test_what_timm_cannot_build_is_named() -> None:
    with pytest.raises(UnknownSpace, match=r"timm cannot build resnet50\.no_such_tag: .*\. Name another model"):
        load_checked_space("model:timm:resnet50.no_such_tag")
    with pytest.raises(
        UnknownSpace, match=r"timm has no classification model 'resnet51'\. Models with similar names: "
    ):
        load_checked_space("model:timm:resnet51")
