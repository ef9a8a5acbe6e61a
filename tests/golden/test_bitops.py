"""BitOps of ResNet-18 and ResNet-34: uniform bit widths as in the paper's Table 6, and the mixed-precision spaces.

Table 6 prints BitOps in units of 2^30, over the convolutions of the residual blocks including 1x1 shortcuts: counted
like this, its six rows of uniform networks match to the last digit. Least and greatest were computed by hand as the sum
over the blocks of weight bits * activation bits * (width * MACs of both 3x3 convolutions + MACs of the shortcut).
"""

import pytest
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from toolchain.costs.counters import bitops_cost, macs_cost, params_cost, weight_bits_cost
from toolchain.spaces import load_space

RESNETS = ("resnet18_bits", "resnet34_bits")
FLOAT = "bits=float,widths=1.0"


@pytest.mark.parametrize(
    ("name", "pair", "printed"),
    [  # paper Table 6, "ResNet-18" and "ResNet-34", BitOps column
        ("resnet18_bits", "w2a2", "6.32"),
        ("resnet18_bits", "w3a3", "14.21"),
        ("resnet18_bits", "w4a4", "25.27"),
        ("resnet34_bits", "w2a2", "13.21"),
        ("resnet34_bits", "w3a3", "29.72"),
        ("resnet34_bits", "w4a4", "52.83"),
    ],
)
def test_the_uniform_networks_of_table_6(name: str, pair: str, printed: str) -> None:
    space = load_space(f"{name}:bits={pair},widths=1.0")
    assert space.size == 1
    assert f"{bitops_cost(space).least / 2**30:.2f}" == printed


@pytest.mark.parametrize(("name", "macs"), [("resnet18_bits", 1_695_547_392), ("resnet34_bits", 3_545_235_456)])
def test_the_uniform_networks_of_the_space(name: str, macs: int) -> None:
    bitops = bitops_cost(space := load_space(name))
    for weights, activations in ((1, 2), (2, 2), (1, 4), (2, 4), (3, 4), (4, 4)):
        arch = space.all_same(f"basic:w{weights}a{activations}")
        assert bitops.cost(arch) == weights * activations * macs


@pytest.mark.parametrize(
    ("name", "blocks", "least", "greatest"),
    [
        ("resnet18_bits", 8, 1_714_814_976, 40_538_996_736),
        ("resnet34_bits", 16, 3_564_503_040, 84_931_510_272),
    ],
)
def test_size_and_extremes_of_the_spaces(name: str, blocks: int, least: int, greatest: int) -> None:
    space = load_space(name)
    bitops = bitops_cost(space)
    assert space.size == 18**blocks  # paper Sec. 4: 6 bit pairs x 3 widths a block
    assert (bitops.least, bitops.greatest) == (least, greatest)
    assert bitops.cost(space.all_same("basic@0.5:w1a2")) == least
    assert bitops.cost(space.all_same("basic@1.5:w4a4")) == greatest


@pytest.mark.parametrize("name", RESNETS)
def test_the_float_network_has_the_macs_of_torchvisions(name: str) -> None:
    space = load_space(f"{name}:{FLOAT}")
    arch = space.all_same("basic")
    with torch.device("meta"):
        reference = getattr(torchvision.models, name.removesuffix("_bits"))().eval()
        with FlopCounterMode(display=False) as counter:
            reference(torch.empty(1, 3, 224, 224))
    assert 2 * macs_cost(space).cost(arch) == counter.get_total_flops()
    assert params_cost(space).cost(arch) == sum(p.numel() for p in reference.parameters())
    assert weight_bits_cost(space).cost(arch) == 32 * params_cost(space).cost(arch)


def test_weight_bits_count_quantized_layers_at_their_bit_width() -> None:
    fixed = 9_408 + 128 + 513_000  # stem and its normalization, classifier
    norms = 2 * 4_736  # scale and offset of each output channel of the blocks' convolutions
    convs = 11_689_512 - fixed - norms  # parameters of ResNet-18 in torchvision's documentation
    space = load_space("resnet18_bits:bits=w2a4,widths=1.0")
    clips = 19  # one clipping level for each convolution of the blocks
    assert weight_bits_cost(space).least == 32 * (fixed + norms + clips) + 2 * convs
