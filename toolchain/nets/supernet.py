"""The single-path supernet: every choice of every block, one of them taken at a time (paper Sec. 3.2, 3.3).

A block keeps one set of weights for each op, at its widest. A narrower choice takes slices from the start of
them (paper Fig. 4, "Weights[:c_out, :c_in, :]"), and the plain block that computes with them is the same class
that is profiled, retrained and exported.
"""

from collections.abc import Mapping
from copy import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from toolchain.nets.blocks import SUPERNET, Norm
from toolchain.nets.network import Builder, Network, builder_of
from toolchain.spaces.core import Architecture, Choice, ChoiceBlock, SearchSpace

Slices = tuple[slice, ...]


class SharedBlock(nn.Module):
    """A choice block of a supernet: (N, c_in, S, S) -> (N, c_out, S/stride, S/stride) by any of its choices."""

    def __init__(self, spec: ChoiceBlock, builder: Builder, norm: Norm) -> None:
        super().__init__()
        self._norm = norm
        self.ops = nn.ModuleDict()
        self._op: dict[str, str] = {choice.key: choice.op for choice in spec.choices}
        self._whole: set[str] = set()  # choices that are their op's module as it is
        self._plain: dict[str, nn.Module] = {}  # each choice's module, without weights of its own
        self._names: dict[str, tuple[str, ...]] = {}  # each choice's weights, by their names in its module
        self._cut: dict[str, dict[str, Slices]] = {}  # of those that it takes a part of, that part
        for op in dict.fromkeys(self._op.values()):
            self._add(spec, [choice for choice in spec.choices if choice.op == op], builder)

    def forward(self, x: Tensor, key: str) -> Tensor:
        """`x` (N, c_in, S, S) through the choice `key`."""
        shared = self.ops[self._op[key]]
        out: Tensor
        if key in self._whole:
            out = shared(x)
        else:
            out = functional_call(self._plain[key], self.weights(key), (x,), strict=True)
        return out

    def weights(self, key: str) -> dict[str, Tensor]:
        """The weights of one choice by their names in its plain block; slices share the supernet's memory."""
        shared, cut = dict(self.ops[self._op[key]].named_parameters()), self._cut[key]
        return {name: shared[name][cut[name]] if name in cut else shared[name] for name in self._names[key]}

    def plain(self, key: str) -> nn.Module:
        """One choice as its plain block, which computes with the supernet's own weights: they are not copied."""
        block = twin(self._plain[key])
        weights = {name: weight.detach() for name, weight in self.weights(key).items()}
        block.load_state_dict(weights, assign=True)
        return block

    def cut(self, key: str) -> dict[str, Slices]:
        """The weights of which a choice takes a part only, by their names in this module, with that part."""
        return {f"ops.{self._op[key]}.{name}": part for name, part in self._cut[key].items()}

    def parts(self) -> list[nn.Module]:
        """The module of each choice, that with the weights or one that takes slices of them."""
        narrower = (plain for key, plain in self._plain.items() if key not in self._whole)
        return [*self.ops.children(), *narrower]

    def train(self, mode: bool = True) -> "SharedBlock":
        for plain in self._plain.values():  # no submodules, so that their weights are not the supernet's
            plain.train(mode)
        return super().train(mode)

    def _add(self, spec: ChoiceBlock, choices: list[Choice], builder: Builder) -> None:
        """One set of weights for choices of one op: those of the widest, and what others have beside."""
        widest = max(choices, key=lambda choice: choice.width)
        shared = builder.build_block(spec, widest, self._norm)
        self.ops[widest.op] = shared
        self._whole.add(widest.key)
        for choice in choices:
            with torch.device("meta"):  # names and shapes, no memory
                self._plain[choice.key] = builder.build_block(spec, choice, self._norm)
            for name, weight in self._plain[choice.key].named_parameters():
                if name not in dict(shared.named_parameters()):  # a clipping level of other activation bits
                    parent, _, leaf = name.rpartition(".")
                    shared.get_submodule(parent).register_parameter(leaf, nn.Parameter(torch.empty(weight.shape)))
        whole = {name: weight.shape for name, weight in shared.named_parameters()}
        for choice in choices:
            sizes = {name: weight.shape for name, weight in self._plain[choice.key].named_parameters()}
            self._names[choice.key] = tuple(sizes)
            self._cut[choice.key] = {
                name: tuple(
                    slice(size) if size < most else slice(None) for size, most in zip(shape, whole[name], strict=True)
                )
                for name, shape in sizes.items()
                if shape != whole[name]
            }


class Supernet(nn.Module):
    """Weights for all architectures of a space. The path comes in as an argument; there is no active state."""

    def __init__(self, space: SearchSpace, norm: Norm = SUPERNET) -> None:
        super().__init__()
        self.space = space
        builder = builder_of(space)
        self.stem = builder.build_stem(space, norm)
        self.blocks = nn.ModuleList(SharedBlock(spec, builder, norm) for spec in space.blocks)
        self.head = builder.build_head(space, norm)

    def forward(self, x: Tensor, arch: Architecture) -> Tensor:
        """Images (N, C, H, W) -> logits (N, classes) along one path, normalized by the batch's own statistics."""
        x = self.stem(x)
        for block, key in zip(self.blocks, arch.choices, strict=True):
            x = block(x, key)
        logits: Tensor = self.head(x)
        return logits

    def slices(self, arch: Architecture) -> Mapping[nn.Parameter, Slices]:
        """The weights of which `arch` takes a part only, with that part; an update must spare the rest."""
        found = {}
        for block, key in zip(self.blocks, arch.choices, strict=True):
            assert isinstance(block, SharedBlock)
            found.update({block.get_parameter(name): part for name, part in block.cut(key).items()})
        return found

    def extract(self, arch: Architecture) -> Network:
        """The path `arch` as a network of its own, with copies of the supernet's weights.

        Its output equals `supernet(x, arch)` bit for bit. It has no BN statistics before `recalibrate`.
        """
        with torch.device("meta"):  # no memory and no random numbers spent on weights that are replaced
            net = Network(self.space, arch, SUPERNET)
        weights: dict[str, Tensor] = {
            f"{part}.{name}": value
            for part in ("stem", "head")
            for name, value in self.get_submodule(part).named_parameters()
        }
        for position, (block, key) in enumerate(zip(self.blocks, arch.choices, strict=True)):
            assert isinstance(block, SharedBlock)
            weights |= {f"blocks.{position}.{name}": value for name, value in block.weights(key).items()}
        net.load_state_dict({name: value.detach().clone() for name, value in weights.items()}, assign=True)
        return net.train(self.training)


def twin(module: nn.Module) -> nn.Module:
    """A copy of `module` whose buffers can be set by themselves and whose weights are the same tensors.

    As torch's DataParallel makes its replicas: ten times quicker than `deepcopy`, and a search makes thousands.
    """
    other = copy(module)
    other._parameters = dict(module._parameters)
    other._buffers = dict(module._buffers)
    other._modules = {name: child and twin(child) for name, child in module._modules.items()}
    return other
