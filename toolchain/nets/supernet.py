"""The single-path supernet: weights for every choice of every block, of which each step uses one path (Sec. 3.2, 3.3).

A block has one set of weights for each op, those of its widest choice. A narrower choice uses leading slices of them
(paper Fig. 4, "Weights[:c_out, :c_in, :]"). The module that computes with them has the same class as in profiling,
retraining and export.
"""

from collections.abc import Collection, Mapping, Sequence
from copy import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from toolchain.nets.blocks import SUPERNET, Norm
from toolchain.nets.network import Builder, Network, builder_of
from toolchain.spaces.core import Architecture, Choice, ChoiceBlock, SearchSpace

Slices = tuple[slice, ...]
Mixture = Sequence[Mapping[str, Tensor]]  # of each block, the weights (scalars) of the choices that it computes


class SharedBlock(nn.Module):
    """A choice block of a supernet: (N, c_in, S, S) -> (N, c_out, S/stride, S/stride) by any of its choices."""

    def __init__(self, spec: ChoiceBlock, builder: Builder, norm: Norm) -> None:
        super().__init__()
        self._norm = norm
        self.ops = nn.ModuleDict()
        self._op: dict[str, str] = {choice.key: choice.op for choice in spec.choices}
        self._widest: set[str] = set()  # keys of choices that use all weights of their op
        self._modules_by_key: dict[str, nn.Module] = {}  # each choice's module on the meta device, without weights
        self._names: dict[str, tuple[str, ...]] = {}  # names of each choice's weights in its module
        self._slices: dict[str, dict[str, Slices]] = {}  # slices of those weights of which a choice uses only a part
        for op in dict.fromkeys(self._op.values()):
            self._add(spec, [choice for choice in spec.choices if choice.op == op], builder)

    def forward(self, x: Tensor, key: str) -> Tensor:
        """Apply the choice `key` to `x` (N, c_in, S, S)."""
        shared = self.ops[self._op[key]]
        out: Tensor
        if key in self._widest:
            out = shared(x)
        else:
            out = functional_call(self._modules_by_key[key], self.weights(key), (x,), strict=True)
        return out

    def weights(self, key: str) -> dict[str, Tensor]:
        """The weights of one choice by their names in its module. Slices share the supernet's memory."""
        shared, slices = dict(self.ops[self._op[key]].named_parameters()), self._slices[key]
        return {name: shared[name][slices[name]] if name in slices else shared[name] for name in self._names[key]}

    def choice_module(self, key: str) -> nn.Module:
        """The module of one choice with the supernet's weights, which are not copied."""
        block = replicate(self._modules_by_key[key])
        weights = {name: weight.detach() for name, weight in self.weights(key).items()}
        block.load_state_dict(weights, assign=True)
        return block

    def slices(self, keys: Collection[str]) -> dict[str, Slices]:
        """The slices of weights that these choices together use only partly, by the weights' names in this module.

        All slices begin at 0, and a wider choice has the larger ones, so that together they are those of the widest.
        """
        result: dict[str, Slices] = {}
        whole: set[str] = set()
        for key in dict.fromkeys(keys):
            for name in self._names[key]:
                shared, part = f"ops.{self._op[key]}.{name}", self._slices[key].get(name)
                if part is None:
                    whole.add(shared)
                else:
                    result[shared] = _larger(part, result.get(shared, part))
        return {name: part for name, part in result.items() if name not in whole}

    def choice_modules(self) -> list[nn.Module]:
        """The modules that forward passes use: those with the shared weights, and those that use slices of them."""
        narrower = (module for key, module in self._modules_by_key.items() if key not in self._widest)
        return [*self.ops.children(), *narrower]

    def train(self, mode: bool = True) -> "SharedBlock":
        for module in self._modules_by_key.values():  # not registered as submodules, since they have no weights
            module.train(mode)
        return super().train(mode)

    def _add(self, spec: ChoiceBlock, choices: list[Choice], builder: Builder) -> None:
        """Add the weights for all choices of one op: those of the widest, and those that only other choices have."""
        widest = max(choices, key=lambda choice: choice.width)
        shared = builder.build_block(spec, widest, self._norm)
        self.ops[widest.op] = shared
        self._widest.add(widest.key)
        for choice in choices:
            with torch.device("meta"):  # names and shapes without memory
                self._modules_by_key[choice.key] = builder.build_block(spec, choice, self._norm)
            for name, weight in self._modules_by_key[choice.key].named_parameters():
                if name not in dict(shared.named_parameters()):  # a clipping level for other activation bits
                    parent, _, leaf = name.rpartition(".")
                    shared.get_submodule(parent).register_parameter(leaf, nn.Parameter(torch.empty(weight.shape)))
        full = {name: weight.shape for name, weight in shared.named_parameters()}
        for choice in choices:
            sizes = {name: weight.shape for name, weight in self._modules_by_key[choice.key].named_parameters()}
            self._names[choice.key] = tuple(sizes)
            self._slices[choice.key] = {
                name: tuple(
                    slice(size) if size < most else slice(None) for size, most in zip(shape, full[name], strict=True)
                )
                for name, shape in sizes.items()
                if shape != full[name]
            }


class Supernet(nn.Module):
    """Weights for all architectures of a space. The path is an argument of `forward`; there is no active path."""

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

    def mix(self, x: Tensor, mixture: Mixture) -> Tensor:
        """Images (N, C, H, W) -> logits (N, classes), where each block computes the weighted sum of several choices.

        A block with one choice computes that choice, whatever its weight.
        """
        x = self.stem(x)
        for block, weights in zip(self.blocks, mixture, strict=True):
            if len(weights) == 1:
                x = block(x, *weights)
            else:
                parts = [weight.to(x.device) * block(x, key) for key, weight in weights.items()]
                x = sum(parts[1:], parts[0])
        logits: Tensor = self.head(x)
        return logits

    def slices(self, *archs: Architecture) -> Mapping[nn.Parameter, Slices]:
        """The weights that `archs` together use only partly, with the slices used. An update must not change others."""
        return self.slices_of(list(zip(*(arch.choices for arch in archs), strict=True)))

    def slices_of(self, keys_by_block: Sequence[Collection[str]]) -> Mapping[nn.Parameter, Slices]:
        """The same for the choices of each block that a step computes."""
        result = {}
        for block, keys in zip(self.blocks, keys_by_block, strict=True):
            assert isinstance(block, SharedBlock)
            result.update({block.get_parameter(name): part for name, part in block.slices(keys).items()})
        return result

    def extract(self, arch: Architecture) -> Network:
        """The path `arch` as a separate network with copies of the supernet's weights.

        Its output equals `supernet(x, arch)` bit for bit. It has no running BN statistics until it is recalibrated.
        """
        with torch.device("meta"):  # needs no memory and no random numbers for weights that are replaced
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


def _larger(first: Slices, second: Slices) -> Slices:
    """The slices that contain both, in each dimension; `slice(None)` is all of it."""
    return tuple(
        slice(None) if None in (a.stop, b.stop) else slice(max(a.stop, b.stop))
        for a, b in zip(first, second, strict=True)
    )


def replicate(module: nn.Module) -> nn.Module:
    """A copy of `module` with the same weight tensors, whose buffers can be set independently.

    Like the replicas of torch's DataParallel. It is ten times faster than `deepcopy`, and a search makes thousands.
    """
    replica = copy(module)
    replica._parameters = dict(module._parameters)
    replica._buffers = dict(module._buffers)
    replica._modules = {name: child and replicate(child) for name, child in module._modules.items()}
    return replica
