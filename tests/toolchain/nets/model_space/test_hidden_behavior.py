"""What a traced graph does not show is kept, or the model is refused; never silently another network."""

import copy
from pathlib import Path
from random import Random

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from toolchain.costs.counters import macs_cost
from toolchain.errors import BadCheckpoint, UnknownSpace
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.checked_space import load_checked_space
from toolchain.nets.model_space.sources import build_model
from toolchain.nets.model_space.weights import builder_of_model, load_into_supernet, model_weights, network_state
from toolchain.nets.network import Network
from toolchain.nets.supernet import Supernet
from toolchain.spaces.core import SearchSpace
from toolchain.spaces.model_source import full_architecture, model_source

MODELS = Path(__file__).parent / "hidden_models.py"
KEPT = (
    "skip",
    "half",
    "identity_shortcut",
    "activations",
    "norm_inside",
    "convolves_twice",
    "Scaled",
    "Rearranged",
    "with_defaults",
    "hooked",
    "synchronized",
    "wrapped",
)


def space_of(function: str, options: str = "size_px=16,widths=0.5-1.0") -> SearchSpace:
    return load_checked_space(f"model:{MODELS}:{function}:{options}")


def ops_of(space: SearchSpace) -> list[str]:
    return [block.choices[0].op for block in space.blocks]


def randomized(space: SearchSpace) -> nn.Module:
    """The user's own module with random values of everything, in eval mode."""
    model = copy.deepcopy(build_model(model_source(space.name))).float().eval()
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            values = torch.rand(value.shape, generator=generator)
            value.copy_(values + 0.5 if name.endswith(("norm.weight", "running_var")) else values - 0.5)
    return model


@pytest.mark.parametrize("function", KEPT)
def test_the_network_computes_what_the_users_module_does(function: str) -> None:
    space = space_of(function)
    model = randomized(space)
    state = {name.removeprefix("module."): value for name, value in model.state_dict().items()}
    weights = model_weights(space, state)
    net = Network(space, full_architecture(space), STANDALONE)
    net.load_state_dict(network_state(space, weights))
    images = torch.randn(2, *space.input_shape)
    supernet = Supernet(space).eval()
    load_into_supernet(weights, supernet)
    arch = space.draw(Random(1))
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(images), model(images.clone()), rtol=1e-4, atol=1e-5)
        assert torch.equal(supernet(images, arch), supernet.extract(arch)(images))
        with FlopCounterMode(display=False) as counter:
            Network(space, arch, STANDALONE).eval()(images[:1])
    assert macs_cost(space).cost(arch) == counter.get_total_flops() // 2


def test_logits_that_are_not_finite_are_compared_with_initial_values() -> None:
    assert ops_of(space_of("growing")) == ["growing", "growing"]


def test_names_that_would_be_taken_for_something_else() -> None:
    assert ops_of(space_of("skip")) == ["skip_block", "skip_block"]
    assert ops_of(space_of("half")) == ["half_block", "half_block"]


def test_blocks_with_other_attributes_are_other_ops() -> None:
    assert ops_of(space_of("activations")) == ["withactivation", "withactivation_2", "withactivation"]
    assert ops_of(space_of("hooked")) == ["residual", "residual_2"]


def test_layers_inside_layers_keep_their_width() -> None:
    inside, other = space_of("norm_inside").blocks
    assert [choice.key for choice in inside.choices] == ["norminside", "skip"]
    assert [choice.key for choice in other.choices] == ["residual", "residual@0.5", "skip"]


def test_synchronized_normalization_becomes_that_of_one_process() -> None:
    builder = builder_of_model(space_of("synchronized"))
    assert builder is not None
    assert {type(layer) for layer in builder.model.modules() if "Norm" in type(layer).__name__} == {nn.BatchNorm2d}


def test_code_of_a_users_layer_is_part_of_the_space(tmp_path: Path) -> None:
    """Latencies of other code are other latencies."""
    spaces = []
    for number, factor in enumerate(("2.0", "3.0")):
        (tmp_path / f"net{number}.py").write_text(MODELS.read_text() + OWN_CODE.replace("FACTOR", factor))
        spaces.append(load_checked_space(f"model:{tmp_path}/net{number}.py:own_code:size_px=16,widths=0.5-1.0"))
    assert spaces[0].key_prefix.partition("#")[2] != spaces[1].key_prefix.partition("#")[2]


OWN_CODE = """

class OwnCode(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * FACTOR


def own_code() -> nn.Module:
    block = Residual()
    block.first = OwnCode(16, 32, 1)
    return Net(block, Residual())
"""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("changed_view", "computes something else than the model (relative difference of the logits "),
        ("changed_shortcut", "an operation in place (+=, relu_, inplace=True) on a tensor that has another name too"),
        ("recurrent", "or a layer of your own that is not linear in its weights. Write it without these"),
        ("fixed_shape", "the narrowest network fails on random images: "),
        ("ReadOnce", "computes with the values of a tensor, and only shapes are known while it is traced"),
        ("spectral", "the weights of blocks.0.first are computed (weight_norm, spectral_norm or another"),
        ("instance_statistics", "blocks.0.norm is a InstanceNorm2d, and of layers with running statistics only"),
    ],
)
def test_refused(function: str, message: str) -> None:
    with pytest.raises(UnknownSpace) as refused:
        space_of(function)
    assert message in str(refused.value)


def test_models_that_rearrange_channels_take_the_images_that_they_take() -> None:
    assert space_of("Rearranged").in_channels == 3
    assert space_of("Rearranged", "size_px=16,in_channels=3").in_channels == 3


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (torch.ones(16, 3, 1, 1, dtype=torch.int8), "of the type torch.int8, torch.strided"),
        (torch.ones(16, 3, 1, 1).to_sparse(), "of the type torch.float32, torch.sparse_coo"),
        (torch.ones(16, 3, 1, 1, dtype=torch.complex64), "of the type torch.complex64"),
        (torch.ones(16, 3, 1, 1, device="meta"), "without values"),
    ],
)
def test_weights_of_other_types_are_refused(value: torch.Tensor, kind: str) -> None:
    space = space_of("skip")
    weights = dict(builder_of_model(space).model.state_dict())  # type: ignore[union-attr]
    with pytest.raises(BadCheckpoint) as refused:
        model_weights(space, weights | {"stem.weight": value})
    assert f"the weight stem.weight is {kind}" in str(refused.value)


def test_prefixes_that_the_models_own_names_share_are_restored(tmp_path: Path) -> None:
    (tmp_path / "neighbor_of_nested.py").write_text(MODELS.read_text())  # which the user's file imports
    (tmp_path / "nested.py").write_text(NESTED)
    space = load_checked_space(f"model:{tmp_path}/nested.py:build:size_px=16,widths=0.5-1.0")
    weights = dict(builder_of_model(space).model.state_dict())  # type: ignore[union-attr]
    assert all(name.startswith("model.net.") for name in weights)
    without = {name.removeprefix("model.net."): value for name, value in weights.items()}
    assert model_weights(space, without).values.keys() == weights.keys()


NESTED = """
from torch import nn
from neighbor_of_nested import Net, Residual

class Wrapped(nn.Module):
    def __init__(self, **inner):
        super().__init__()
        for name, module in inner.items():
            setattr(self, name, module)

    def forward(self, x):
        return next(self.children())(x)

def build():
    return Wrapped(model=Wrapped(net=Net(Residual(), Residual())))
"""
