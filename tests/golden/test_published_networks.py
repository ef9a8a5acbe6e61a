"""MACs and parameters of published networks, exactly. Those of the five networks of Table 5 were computed from their
configuration files with a closed formula. The parameters of ProxylessNAS equal those in osmr/imgclsmob (a1c844d), and
those of FBNet agree with the figures of mobile-vision below."""

import json

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from cli.main import commands
from toolchain.costs.counters import macs_cost, params_cost
from toolchain.errors import BadArchitecture, BadConfig
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.nets.published import PUBLISHED, published
from toolchain.spaces import load_space
from toolchain.spaces.core import Choice

NUMBERS = {  # MACs, parameters
    "fbnet_a": (244_452_664, 4_321_232),
    "fbnet_b": (291_004_424, 4_818_216),
    "fbnet_c": (378_136_224, 5_592_784),
    "proxyless_mobile": (320_427_584, 4_080_512),
    "proxyless_gpu": (465_260_160, 7_119_848),
    "spos_blocks": (318_729_024, 3_345_088),
    "spos_channels": (327_857_920, 3_432_579),
    "spos_released": (322_918_720, 3_558_464),
}
FBNET_REPOSITORY = {  # flops_m, params_m of mobile_cv/model_zoo/models/model_info/fbnet_v2/model_info_fbnet.json
    "fbnet_a": (244.52636, 4.27029),
    "fbnet_b": (291.10164, 4.76667),
    "fbnet_c": (378.23344, 5.52542),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_macs_and_parameters(name: str) -> None:
    known = published(name)
    space = load_space(known.space)
    arch = space.architecture(known.architecture)
    assert (macs_cost(space).cost(arch), params_cost(space).cost(arch)) == NUMBERS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_macs_are_within_2_percent_of_the_printed_ones(name: str) -> None:
    """Tolerance: the paper prints whole millions (0.2 %), and counts the FBNets with a 1x1 convolution in blocks
    without expansion; FBNet-A differs by 1.83 %."""
    assert NUMBERS[name][0] / (published(name).macs_m * 1e6) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", FBNET_REPOSITORY)
def test_fbnets_agree_with_their_repository(name: str) -> None:
    """The repository also counts the global pool, and as parameters only weights of convolutions and classifier."""
    known = published(name)
    space = load_space(known.space)
    arch = space.architecture(known.architecture)
    with torch.device("meta"):
        net = Network(space, arch, STANDALONE)
    weights = sum(layer.weight.numel() for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear))
    flops = macs_cost(space).cost(arch) + 49 * space.head.channels
    assert (round(flops / 1e6, 5), round(weights / 1e6, 5)) == FBNET_REPOSITORY[name]


def test_the_channels_of_the_328m_network() -> None:
    """The official network.py has an id for each block; its width is 0.2 * (id + 1), truncated to whole channels."""
    ids = [6, 5, 3, 5, 2, 6, 3, 4, 2, 5, 7, 5, 4, 6, 7, 4, 4, 5, 4, 3]
    space = load_space("shufflenet_v2_joint")
    blocks = load_space("shufflenet_v2").architecture(published("spos_blocks").architecture)
    keys = [Choice(op, round(0.2 * (number + 1), 1)).key for op, number in zip(blocks.choices, ids, strict=True)]
    arch = space.architecture(keys)
    assert str(arch) == published("spos_channels").architecture
    mids = [choice.mid(block.c_out // 2) for choice, block in zip(space.choices_of(arch), space.blocks, strict=True)]
    assert mids[:8] == [44, 38, 25, 38, 48, 112, 64, 80]
    assert mids[8:] == [96, 192, 256, 192, 160, 224, 256, 160, 320, 384, 320, 256]


def test_the_cost_command_shows_the_published_figures() -> None:
    answer = CliRunner().invoke(commands, ["cost", "--published", "fbnet_a", "--json"])
    assert answer.exit_code == 0, answer.output
    document = json.loads(answer.stdout)
    assert (document["macs"], document["published"]["macs_m"], document["published"]["titan_xp_batch32_ms"]) == (
        244_452_664,
        249,
        13,
    )
    refused = CliRunner().invoke(commands, ["cost", "--published", "fbnet_a", "--space", "fbnet"])
    assert isinstance(refused.exception, BadConfig)
    assert "--published" in str(refused.exception)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(BadArchitecture, match=r"unknown published network 'resnet'. Known: fbnet_a, fbnet_b"):
        published("resnet")
