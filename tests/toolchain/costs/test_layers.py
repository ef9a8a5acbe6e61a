"""Costs from the layers of built-in spaces equal those that are counted on their modules, to the last digit."""

import subprocess
import sys
from dataclasses import replace

import pytest

from toolchain.costs.counted import counted_costs
from toolchain.costs.counters import bitops_cost, macs_cost, params_cost, weight_bits_cost
from toolchain.costs.layers import FAMILIES, has_layers
from toolchain.nets import network, shufflenet_v2
from toolchain.spaces import PRESETS, load_space
from toolchain.spaces.core import SearchSpace


def on_modules(space: SearchSpace) -> tuple[object, ...]:
    return macs_cost(space), params_cost(space), bitops_cost(space), weight_bits_cost(space)


@pytest.mark.parametrize(
    "text",
    [
        *(pytest.param(preset, marks=pytest.mark.long) for preset in PRESETS),
        "shufflenet_v2",
        "shufflenet_v2_quick:stage_widths=48-96-192,stage_repeats=2-3-2,widths=0.5-1.0,classes=8,in_channels=3,size_px=64",
        "shufflenet_v2_quick:size_px=29,classes=3",
        "shufflenet_v2:size_px=97,in_channels=1",
        "proxyless:size_px=33,classes=7,in_channels=1",
        "fbnet:size_px=71,classes=7",
        pytest.param("resnet18_bits:size_px=45,classes=11", marks=pytest.mark.long),
        "resnet34_bits:bits=float",
    ],
)
def test_costs_equal_the_count_on_the_modules(text: str) -> None:
    space = load_space(text)
    assert has_layers(space)
    assert counted_costs(space) == on_modules(space)


def test_every_family_with_modules_has_layers() -> None:
    assert FAMILIES.keys() == network.FAMILIES.keys()


def test_the_modules_of_a_user_are_counted(tiny_space: SearchSpace) -> None:
    own = replace(tiny_space, builder=shufflenet_v2)
    assert not has_layers(own)
    assert counted_costs(own) == on_modules(tiny_space)


def test_torch_is_not_imported() -> None:
    script = (
        "import sys; from toolchain.costs.counted import counted_costs; from toolchain.spaces import load_space\n"
        "print(counted_costs(load_space('shufflenet_v2'))[0].fixed, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(macs_cost(load_space("shufflenet_v2")).fixed), "False"]
