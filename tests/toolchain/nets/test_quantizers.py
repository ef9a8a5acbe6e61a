"""Quantizers compared with their published formulas, ONNX Runtime, and finite differences."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from toolchain.nets.network import initialize
from toolchain.nets.quantizers import (
    MIN_CLIP,
    SAWB,
    QuantConv2d,
    Scheme,
    initial_clip,
    quantize_activation,
    quantize_weight,
)
from toolchain.nets.supernet import Supernet
from toolchain.spaces import load_space

PAIRS = [(1, 2), (2, 2), (1, 4), (2, 4), (3, 4), (4, 4)]
SCHEMES: list[Scheme] = ["sawb", "dorefa"]
by_scheme = pytest.mark.parametrize("scheme", SCHEMES)
by_bits = pytest.mark.parametrize("bits", [1, 2, 3, 4])


def normal(*shape: int, seed: int = 0, std: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * std


def conv(w_bits: int, a_bits: int, scheme: Scheme = "sawb", channels: int = 32) -> QuantConv2d:
    layer = QuantConv2d(channels, channels, 3, 1, w_bits, a_bits, scheme)
    initialize(layer, torch.Generator().manual_seed(0))
    return layer


# ---- activations


def test_activation_codes_equal_the_formula_of_pact() -> None:
    clip, n = 2.0, 15
    x = torch.tensor([-1.0, 0.0, 0.06, 0.07, 0.5, 1.94, 1.99, 2.0, 2.1, 50.0])
    # 0.5 * (|x| - |x - alpha| + alpha), then round(y * n / alpha): PACT, eq. 1 and 2
    clipped = 0.5 * (x.abs() - (x - clip).abs() + clip)
    expected = (clipped * n / clip).round()
    assert expected.tolist() == [0, 0, 0, 1, 4, 15, 15, 15, 15, 15]
    assert quantize_activation(x, torch.tensor(clip) / n, 4).equal(expected)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_activation_codes_are_integers_and_use_the_full_range(bits: int) -> None:
    clip = initial_clip(bits)
    codes = quantize_activation(torch.linspace(-clip, 2 * clip, 10_001), torch.tensor(clip) / (2**bits - 1), bits)
    assert codes.unique().tolist() == list(range(2**bits))


@pytest.mark.parametrize("bits", [2, 4])
def test_activation_codes_equal_those_of_onnx_quantizelinear(bits: int) -> None:
    n = 2**bits - 1
    for clip in (0.7, 1.0, 2.0, 3.1415927):
        scale = torch.tensor(clip) / n
        halves = (torch.arange(2 * n + 4) / 2) * scale  # every tie, as near as float32 comes
        x = torch.cat((halves, halves.nextafter(torch.tensor(9.0)), halves.nextafter(torch.tensor(-9.0)), -halves))
        x = torch.cat((x, normal(100_000).abs() * clip))
        raw = quantize_linear(x.numpy(), scale.numpy())
        assert np.array_equal(quantize_activation(x, scale, bits).numpy(), raw.clip(0, n).astype(np.float32))


def quantize_linear(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """ONNX Runtime's QuantizeLinear to uint8 with zero point 0."""
    node = onnx.helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"])
    graph = onnx.helper.make_graph(
        [node],
        "one node",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)],
        [onnx.helper.make_tensor_value_info("codes", onnx.TensorProto.UINT8, x.shape)],
        [onnx.numpy_helper.from_array(scale, "scale"), onnx.numpy_helper.from_array(np.array(0, np.uint8), "zero")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def test_activations_have_straight_through_gradients() -> None:
    clip, n = torch.tensor(2.0, requires_grad=True), 3
    x = torch.tensor([-0.5, 0.0, 0.3, 0.5, 1.2, 1.9, 2.0, 2.5], requires_grad=True)
    weights = torch.arange(1.0, 9.0)  # a different gradient comes back to each value
    scale = clip / n
    (quantize_activation(x, scale, 2) * scale * weights).sum().backward()
    inside = torch.tensor([0.0, 1, 1, 1, 1, 1, 0, 0])  # 0 <= x < clip
    above = torch.tensor([0.0, 0, 0, 0, 0, 0, 1, 1])  # x >= clip
    codes = torch.tensor([0.0, 0, 0, 1, 2, 3, 3, 3])  # round(x * 3 / 2)
    moved = codes / n - x.detach() / 2.0  # by rounding, in units of the clipping level
    assert x.grad is not None
    assert clip.grad is not None
    torch.testing.assert_close(x.grad, inside * weights)
    torch.testing.assert_close(clip.grad, ((above + inside * moved) * weights).sum())


def test_the_gradient_of_the_clipping_level_equals_a_finite_difference() -> None:
    x = normal(2_000, seed=3).abs().double()
    clip, step = 1.7, 1e-6

    def values(level: float) -> Tensor:
        scale = torch.tensor(level, dtype=torch.float64) / 15
        return quantize_activation(x, scale, 4) * scale

    level = torch.tensor(clip, dtype=torch.float64, requires_grad=True)
    (quantize_activation(x, level / 15, 4) * (level / 15)).sum().backward()
    assert level.grad is not None
    # With the codes held, value = code * clip / n has the slope code / n, and the soft code's slope -x / clip comes
    # on top: it stands for the codes that change, which a small step doesn't see.
    slope = (values(clip + step).sum() - values(clip - step).sum()) / (2 * step)
    soft = -(x[x < clip] / clip).sum()
    torch.testing.assert_close(level.grad, slope + soft, rtol=1e-6, atol=1e-6)  # rounding of the difference


def test_a_clipping_level_is_learned_without_clipping() -> None:
    layer = conv(2, 4)
    layer(normal(2, 32, 6, 6).abs().clamp(max=0.5)).square().mean().backward()
    assert layer.get_parameter("alpha_a4").grad != 0


@pytest.mark.parametrize("level", [-3.0, 0.0, 1e-9])
def test_a_clipping_level_below_zero_has_a_small_scale_and_can_recover(level: float) -> None:
    layer = conv(2, 4)
    clip = layer.get_parameter("alpha_a4")
    with torch.no_grad():
        clip.fill_(level)
    assert float(layer.activation_scale().detach()) == pytest.approx(MIN_CLIP / 15, rel=1e-6)  # float32
    out = layer(normal(2, 32, 6, 6).abs())
    assert torch.isfinite(out).all()
    layer.activation_scale().backward()
    assert clip.grad == pytest.approx(1 / 15)


# ---- weights


@by_bits
@by_scheme
def test_weight_codes_are_odd_and_use_the_full_range(scheme: Scheme, bits: int) -> None:
    n = 2**bits - 1
    codes, scale = quantize_weight(torch.linspace(-1, 1, 10_001), bits, scheme)
    assert codes.unique().tolist() == list(range(-n, n + 1, 2))
    assert scale > 0


@by_scheme
def test_one_bit_is_the_sign_times_the_mean_magnitude(scheme: Scheme) -> None:
    weight = torch.tensor([-0.5, -0.0, 0.0, 0.1, 0.4])
    codes, scale = quantize_weight(weight, 1, scheme)
    assert codes.tolist() == [-1, 1, 1, 1, 1]  # sign(0) = +1
    assert float(scale) == pytest.approx(0.2)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_dorefa_codes_equal_the_formula(bits: int) -> None:
    weight, n = normal(8, 8, 3, 3, std=0.3), 2**bits - 1
    t = weight.tanh() / (2 * weight.tanh().abs().max()) + 0.5
    formula = 2 * (t * n).round() / n - 1  # DoReFa-Net, eq. 9, and its quantize_k
    codes, scale = quantize_weight(weight, bits, "dorefa")
    torch.testing.assert_close(codes / n, formula)
    best = (weight * codes).sum() / codes.square().sum()  # least squares of |weight - scale * codes|
    torch.testing.assert_close(scale, best)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_sawb_codes_equal_the_formula(bits: int) -> None:
    weight, n = normal(8, 8, 3, 3, std=0.3), 2**bits - 1
    c1, c2 = SAWB[bits]
    clip = c1 * weight.square().mean().sqrt() - c2 * weight.abs().mean()
    grid = torch.linspace(-1, 1, n + 1) * clip  # 2^bits values, evenly from -clip to clip
    nearest = grid[(weight.reshape(-1, 1) - grid).abs().argmin(1)].reshape(weight.shape)
    codes, scale = quantize_weight(weight, bits, "sawb")
    torch.testing.assert_close(codes * scale, nearest)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_sawb_is_within_1_percent_of_the_least_error_for_a_normal_distribution(bits: int) -> None:
    weight, n = normal(100_000), 2**bits - 1

    def error(clip: float) -> float:
        codes = 2 * (n * ((weight / clip).clamp(-1, 1) / 2 + 0.5)).round() - n
        return float((weight - codes * clip / n).square().mean())

    best = min(error(step / 50) for step in range(50, 200))
    codes, scale = quantize_weight(weight, bits, "sawb")
    assert float((weight - codes * scale).square().mean()) <= 1.01 * best


@by_scheme
@by_bits
@pytest.mark.parametrize("weight", [torch.zeros(4, 4), torch.ones(4, 4), torch.eye(4), torch.eye(4) - 0.5])
def test_unusual_weights_have_finite_codes_and_a_scale_above_zero(scheme: Scheme, bits: int, weight: Tensor) -> None:
    codes, scale = quantize_weight(weight, bits, scheme)
    assert torch.isfinite(codes).all()
    assert codes.abs().max() <= 2**bits - 1
    assert scale > 0


@by_scheme
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_weights_have_straight_through_gradients(scheme: Scheme, bits: int) -> None:
    weight = normal(6, 6, seed=2, std=0.4).requires_grad_()
    weights = normal(6, 6, seed=5)
    codes, scale = quantize_weight(weight, bits, scheme)
    (codes * scale * weights).sum().backward()
    if scheme == "dorefa" and bits > 1:  # through the soft weight, whose scale and maximum count as constants
        largest = weight.detach().tanh().abs().max()
        slope = (2**bits - 1) * scale * (1 - weight.detach().tanh().square()) / largest
        step = 1e-3
        up, down = ((2**bits - 1) * scale * (weight.detach() + d).tanh() / largest for d in (step, -step))
        torch.testing.assert_close(slope, (up - down) / (2 * step), rtol=1e-3, atol=1e-3)  # float32 differences
    else:
        slope = torch.ones(6, 6)
    torch.testing.assert_close(weight.grad, slope * weights)


@by_scheme
def test_all_bit_widths_have_similar_outputs_initially(scheme: Scheme) -> None:
    x = normal(4, 64, 14, 14, seed=1).relu()
    weight = conv(1, 2, channels=64).weight
    stds = []
    for bits in (1, 2, 3, 4):
        codes, scale = quantize_weight(weight, bits, scheme)
        stds.append(float(F.conv2d(x, (codes * scale).detach()).std()))
    # plain DoReFa, 2 * round(...) / n - 1 without a scale, has 9 to 14 times between 1 and 2 bits
    assert max(stds) / min(stds) <= 1.5
    assert max(stds) <= 1.05 * float(F.conv2d(x, weight.detach()).std())  # quantizing takes from the variance, at most


# ---- the convolution


@by_scheme
@pytest.mark.parametrize(("w_bits", "a_bits"), PAIRS)
def test_accumulators_are_exact(scheme: Scheme, w_bits: int, a_bits: int) -> None:
    layer = conv(w_bits, a_bits, scheme, channels=256)
    x = normal(2, 256, 7, 7, seed=1).relu()
    w_codes, w_scale = layer.weight_codes()
    assert w_codes.dtype == torch.int8
    a_scale = layer.activation_scale().detach()
    x_codes = quantize_activation(x, a_scale, a_bits)
    sums = F.conv2d(x_codes.to(torch.int64).double(), w_codes.double(), padding=1)
    assert sums.abs().max() < 2**24
    assert torch.equal(layer(x), sums.float() * (a_scale * w_scale))


def test_accumulators_are_exact_for_the_largest_sums_of_the_space() -> None:
    channels = 768  # of ResNet's last stage at 1.5x, with all codes at their greatest
    sums = F.conv2d(torch.full((1, channels, 3, 3), 15.0), torch.full((2, channels, 3, 3), 15.0))
    assert sums.unique().tolist() == [15 * 15 * 9 * channels]


@by_scheme
@pytest.mark.parametrize(("w_bits", "a_bits"), PAIRS)
def test_gradients_of_a_convolution_equal_those_of_quantized_values(scheme: Scheme, w_bits: int, a_bits: int) -> None:
    layer = conv(w_bits, a_bits, scheme, channels=8)
    x = (normal(2, 8, 5, 5).relu() + 0.01).requires_grad_()  # away from 0, where the slope changes
    out = layer(x)
    back = normal(*out.shape, seed=4)
    out.backward(back)
    a_scale = layer.activation_scale().detach()
    codes, w_scale = quantize_weight(layer.weight.detach(), w_bits, scheme)
    a_value = (quantize_activation(x.detach(), a_scale, a_bits) * a_scale).requires_grad_()
    w_value = (codes * w_scale).requires_grad_()
    F.conv2d(a_value, w_value, padding=1).backward(back)
    assert a_value.grad is not None
    assert w_value.grad is not None
    close = {"rtol": 1e-4, "atol": 1e-4}  # float32 sums in another order and of another scale
    clip = layer.get_parameter(f"alpha_a{a_bits}")
    torch.testing.assert_close(x.grad, a_value.grad * (x < clip), **close)
    if scheme == "sawb" or w_bits == 1:
        torch.testing.assert_close(layer.weight.grad, w_value.grad, **close)
    moved = torch.where(x < clip, (a_value - x) / clip, 1.0).detach()
    torch.testing.assert_close(clip.grad, (a_value.grad * moved).sum(), **close)


# ---- in a supernet


def test_a_slice_is_quantized_by_its_own_values() -> None:
    space = load_space("resnet18_bits:size_px=8,in_channels=1,classes=3,stage_widths=8,stage_repeats=1")
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(0))
    with torch.no_grad():
        supernet.blocks[0].get_parameter("ops.basic.main.0.weight")[8:] *= 100  # beyond what a 1.0x block takes
    for w_bits, a_bits in PAIRS:
        net = supernet.extract(space.architecture([f"basic@0.5:w{w_bits}a{a_bits}"]))
        layer = net.blocks[0].main[0]
        own, scale = quantize_weight(supernet.blocks[0].get_parameter("ops.basic.main.0.weight")[:4], w_bits, "sawb")
        assert layer.weight_codes()[0].equal(own.to(torch.int8))
        assert layer.weight_codes()[1].equal(scale.detach())


def test_a_block_has_one_initialized_clipping_level_for_each_activation_width() -> None:
    space = load_space("resnet18_bits:size_px=8,in_channels=1,classes=3,stage_widths=8,stage_repeats=1")
    supernet = Supernet(space)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.fill_(torch.nan)
    initialize(supernet, torch.Generator().manual_seed(0))
    clips = {name: float(p.detach()) for name, p in supernet.named_parameters() if "alpha_" in name}
    block = "blocks.0.ops.basic.main"
    assert clips == {f"{block}.{conv}.alpha_a{a}": 1 + a / 2 for conv in (0, 3) for a in (2, 4)}
    assert all(torch.isfinite(p).all() for p in supernet.parameters())
