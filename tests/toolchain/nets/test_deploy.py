"""Exported networks of 1 to 4 bits: folding is exact up to the bias, and runtimes compute every code correctly."""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from exporters.backends import CompileSpec
from exporters.backends.onnxruntime import Backend
from exporters.errors import ExportFailed, ParityFailed
from exporters.graph.interface import INPUT, OUTPUT
from exporters.graph.model import Model
from exporters.graph.onnx_file import load_model, write_model
from exporters.graph.optimized import convolutions, optimized
from exporters.graph.parity import require_codes, require_folding, require_fused
from exporters.graph.to_onnx import export_onnx
from exporters.quantize.integer_check import check_integer_layers, extracted_layers
from exporters.quantize.qcdq import write_codes
from exporters.quantize.tensor_values import session_of
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.deploy import deployed, dequantized, folding_error, integer_layers
from toolchain.nets.network import Network, initialize
from toolchain.nets.quantizers import QuantConv2d
from toolchain.spaces import load_space

SMALL = "resnet18_bits:size_px=16,in_channels=1,classes=10,stem_kernel=3,stem_stride=1,stage_widths=8-16"
PAIRS = [(1, 2), (2, 2), (1, 4), (2, 4), (3, 4), (4, 4)]
SCHEMES = ["sawb", "dorefa"]
QUICK = [(1, 2, "sawb"), (3, 4, "sawb"), (2, 4, "dorefa")]  # the least bits, the most levels, both schemes


def images(count: int = 16) -> Tensor:
    return torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(count))


def network(space_name: str, arch: str) -> Network:
    """A network with populated BN statistics and random scales and offsets."""
    space = load_space(space_name)
    net = Network(space, space.architecture(arch), STANDALONE)
    generator = torch.Generator().manual_seed(0)
    initialize(net, generator)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.4, generator=generator)
            nn.init.normal_(layer.bias, 0.0, 0.3, generator=generator)
            layer.weight.data[0] *= -1  # a negative gain changes the sign of a filter
    for _ in range(20):
        net.train()(images(64))
    return net.eval()


def uniform(w_bits: int, a_bits: int, scheme: str) -> Network:
    """Four blocks with one pair of bit widths, one of them with a convolution on its shortcut: nine convolutions."""
    op = "basic" if scheme == "sawb" else "basic_dorefa"
    arch = " ".join([f"{op}@{width}:w{w_bits}a{a_bits}" for width in ("1.5", "0.5", "1.5", "0.5")])
    return network(f"{SMALL},stage_repeats=2-2,weights={scheme}", arch)


NETWORKS = [
    pytest.param((w, a, s), marks=() if (w, a, s) in QUICK else pytest.mark.long, id=f"w{w}a{a}-{s}")
    for w, a in PAIRS
    for s in SCHEMES
]


@pytest.fixture(scope="module", params=NETWORKS)
def net(request: pytest.FixtureRequest) -> Network:
    return uniform(*request.param)


def written(net: nn.Module, folder: Path, profile: str) -> Path:
    """net.onnx in `folder`. The float graph, which the integers are put into, is exported once for each network."""
    if net not in floats:
        export_onnx(dequantized(net), images(2), folder / "plain.onnx")
        floats[net] = load_model(folder / "plain.onnx")
    pictures = images().numpy() if profile == "int8" else None
    write_model(write_codes(floats[net], integer_layers(net), pictures), folder / "net.onnx")
    return folder / "net.onnx"


floats: dict[nn.Module, onnx.ModelProto] = {}


def logits(file: Path) -> np.ndarray:
    spec = CompileSpec(1, precision=Model(file).precision)
    return Backend().compile(file, spec).run({INPUT: images().numpy()})[OUTPUT]


@pytest.mark.long
@pytest.mark.parametrize("profile", ["exact", "int8"])
def test_all_codes_after_convolutions_are_correct(net: Network, tmp_path: Path, profile: str) -> None:
    file = written(net, tmp_path, profile)
    checked = check_integer_layers(load_model(file), images().numpy())
    convs = [layer for layer in checked if layer.op == "Conv"]
    # in `exact`, the first convolutions of the blocks lie between codes; in `int8`, also the second and the shortcut
    assert len(convs) == (4 if profile == "exact" else 9)
    assert [layer.wrong for layer in convs] == [0] * len(convs)
    assert all(layer.codes > 1000 for layer in convs)
    require_codes(checked)


def test_every_convolution_and_every_sum_of_int8_is_fused(net: Network, tmp_path: Path) -> None:
    file = written(net, tmp_path, "int8")
    assert convolutions(file) == {"int8": 9, "fp32": 1}  # the stem is not quantized
    assert Counter(node.op_type for node in optimized(file).graph.node)["QLinearAdd"] == 4


def test_folding_is_exact_except_for_the_rounding_of_the_bias(net: Network) -> None:
    error = folding_error(net, integer_layers(net), images())
    require_folding(error)
    assert error < 1e-5


def test_codes_are_multiples_of_the_networks_codes(net: Network) -> None:
    layers = integer_layers(net)
    convs = {f"{name}.weight": conv for name, conv in net.named_modules() if isinstance(conv, QuantConv2d)}
    assert layers.keys() == convs.keys()
    for name, layer in layers.items():
        codes = convs[name].weight_codes()[0].numpy()
        factor = 127 // np.abs(codes).reshape(len(codes), -1).max(1).reshape(-1, 1, 1, 1)  # for each filter
        assert np.array_equal(np.abs(layer.codes), np.abs(codes) * factor)
        assert np.array_equal(layer.codes[0], -codes[0] * factor[0])  # the filter with the negative gain
        assert layer.x_levels == 2 ** convs[name].a_bits - 1
        assert (layer.scale > 0).all()


@pytest.fixture(scope="module")
def mixed() -> Network:
    return network(f"{SMALL},stage_repeats=2-2", "basic@1.5:w1a4 basic:w2a2 basic:w4a4 basic@0.5:w3a4")


def test_the_file_computes_the_same_as_the_reference(mixed: Network, tmp_path: Path) -> None:
    result = logits(written(mixed, tmp_path, "exact"))
    with torch.no_grad():
        expected = deployed(mixed)(images()).numpy()
    # float32 sums in another order; a wrong code would give about 1e-2
    assert np.abs(result - expected).max() / np.abs(expected).max() < 1e-4


def test_the_reference_is_close_to_the_trained_network(mixed: Network) -> None:
    with torch.no_grad():
        before, after = mixed(images(64)), deployed(mixed)(images(64))
    assert (
        float((before - after).abs().max() / before.abs().max()) < 0.2
    )  # an untrained network has many codes near ties
    assert float((before.argmax(1) == after.argmax(1)).float().mean()) > 0.9


@pytest.mark.parametrize("profile", ["exact", "int8"])
def test_tensorrt_rtx_builds_both_profiles(mixed: Network, tmp_path: Path, profile: str) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    parsed = builder.create_network(0)
    parser = trt.OnnxParser(parsed, logger)
    content = written(mixed, tmp_path, profile).read_bytes()
    assert parser.parse(content), [parser.get_error(i).desc() for i in range(parser.num_errors)]
    config, range_ = builder.create_builder_config(), builder.create_optimization_profile()
    range_.set_shape(INPUT, *((batch, 1, 16, 16) for batch in (1, 8, 32)))
    config.add_optimization_profile(range_)
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    assert builder.build_serialized_network(parsed, config).nbytes > 0


def test_rounding_twice_equals_rounding_once(mixed: Network, tmp_path: Path) -> None:
    """The step of the next convolution is an odd multiple of the 7-bit step of a sum."""
    graph = onnx.load(written(mixed, tmp_path, "int8")).graph
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    ratios = []
    for node in graph.node:
        before = producers.get(node.input[0])
        if node.op_type == "QuantizeLinear" and before is not None and before.op_type == "DequantizeLinear":
            ratios.append(float(values[node.input[1]] / values[before.input[1]]))
    # the first block reads floats; three read a rounded sum, one of them twice with two different steps
    assert len(ratios) == 4
    odd = [abs(ratio - round(ratio)) < 1e-4 and round(ratio) % 2 == 1 for ratio in ratios]
    assert sum(odd) >= 3


Damage = Callable[[Network], None]


def scale_weights(net: Network) -> None:
    net.get_parameter("blocks.0.main.0.weight").data *= 1.01


def swap_channels(net: Network) -> None:
    weight = net.get_parameter("blocks.1.main.0.weight")
    weight.data = weight.data[:, [1, 0, *range(2, weight.shape[1])]]


def change_eps(net: Network) -> None:
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 1e-3


def unfold(net: Network) -> None:
    norm = net.get_submodule("blocks.2.main.1")
    assert isinstance(norm, nn.BatchNorm2d)
    norm.reset_parameters()
    norm.reset_running_stats()


def move_clip(net: Network) -> None:
    net.get_parameter("blocks.0.main.0.alpha_a4").data *= 1.01


@pytest.mark.parametrize("damage", [scale_weights, swap_channels, change_eps, unfold, move_clip])
def test_an_incorrectly_folded_layer_is_detected(mixed: Network, damage: Damage) -> None:
    broken = deepcopy(mixed)
    damage(broken)
    with pytest.raises(ParityFailed, match=r"folded to integers does not compute what it did before.*1e-04 allowed"):
        require_folding(folding_error(mixed, integer_layers(broken), images()))


def test_a_runtime_that_computes_one_filter_incorrectly_is_detected(
    mixed: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(mixed, tmp_path, "int8")

    def wrong(model: onnx.ModelProto) -> object:
        for tensor in model.graph.initializer if model.graph.name == "piece" else ():
            if tensor.name == "blocks.1.main.0.weight_q":
                codes = onnx.numpy_helper.to_array(tensor).copy()
                codes[3] += 1
                tensor.CopyFrom(onnx.numpy_helper.from_array(codes, tensor.name))
        return session_of(model)

    monkeypatch.setattr("exporters.quantize.integer_check.session_of", wrong)
    with pytest.raises(ParityFailed, match=r"codes behind blocks\.1\.main\.0\.weight_dq are wrong"):
        require_codes(check_integer_layers(load_model(file), images().numpy()))


def test_pieces_are_fused_as_in_the_whole_graph(mixed: Network, tmp_path: Path) -> None:
    pieces = list(extracted_layers(load_model(written(mixed, tmp_path, "int8"))))
    assert len(pieces) == 9 + 4
    for number, piece in enumerate(pieces):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(piece.SerializeToString())
        ops = Counter(node.op_type for node in optimized(path).graph.node)
        assert ops["QLinearConv"] + ops["QLinearAdd"] == 1
        assert ops["Conv"] + ops["Add"] == 0


def test_too_few_integer_convolutions_are_refused() -> None:
    require_fused(19, 19)
    with pytest.raises(ParityFailed, match="18 of 19 convolutions in integers"):
        require_fused(18, 19)


def test_a_channel_with_zero_scale_is_exported(tmp_path: Path) -> None:
    net = network(f"{SMALL},stage_repeats=1-1", "basic:w2a4 basic:w2a4")
    norm = net.get_submodule("blocks.0.main.1")
    assert isinstance(norm, nn.BatchNorm2d)
    norm.weight.data[2] = 0.0
    norm.weight.data[3] = 1e-12
    assert folding_error(net, integer_layers(net), images()) < 1e-4
    assert all(
        layer.wrong == 0 for layer in check_integer_layers(load_model(written(net, tmp_path, "int8")), images().numpy())
    )


def test_a_convolution_without_a_normalization_after_it_is_named() -> None:
    net = nn.Sequential(QuantConv2d(1, 2, 3, 1, 2, 4, "sawb"), nn.ReLU(), nn.BatchNorm2d(2))
    with pytest.raises(ExportFailed, match=r"quantized convolution of 0\.weight.*into one nn\.Sequential"):
        integer_layers(net)


def test_the_network_itself_does_not_change(mixed: Network) -> None:
    before = {name: value.clone() for name, value in mixed.state_dict().items()}
    deployed(mixed)
    dequantized(mixed)
    assert all(torch.equal(value, before[name]) for name, value in mixed.state_dict().items())
