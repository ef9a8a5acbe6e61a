"""The single-path supernet: every choice of every block, one of them taken at a time (paper Sec. 3.2, 3.3)."""

import torch
from torch import Tensor, nn

from toolchain.nets.blocks import SUPERNET
from toolchain.nets.network import Network, build_block, build_head, build_stem
from toolchain.spaces.core import Architecture, SearchSpace


class Supernet(nn.Module):
    """Weights for all architectures of a space. The path comes in as an argument; there is no active state."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        self.stem = build_stem(space, SUPERNET)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({choice.key: build_block(spec, choice, SUPERNET) for choice in spec.choices})
            for spec in space.blocks
        )
        self.head = build_head(space, SUPERNET)

    def forward(self, x: Tensor, arch: Architecture) -> Tensor:
        """Images (N, C, H, W) -> logits (N, classes) along one path, normalised by the batch's own statistics."""
        x = self.stem(x)
        for position, key in enumerate(arch.choices):
            x = self._choice(position, key)(x)
        logits: Tensor = self.head(x)
        return logits

    def extract(self, arch: Architecture) -> Network:
        """The path `arch` as a network of its own, with copies of the supernet's weights.

        Its output equals `supernet(x, arch)` bit for bit. It has no BN statistics before `recalibrate`.
        """
        with torch.device("meta"):  # no memory and no random numbers spent on weights that are replaced
            net = Network(self.space, arch, SUPERNET)
        parts: dict[str, nn.Module] = {"stem": self.stem, "head": self.head}
        parts |= {f"blocks.{i}": self._choice(i, key) for i, key in enumerate(arch.choices)}
        state = {
            f"{name}.{key}": tensor.detach().clone()
            for name, part in parts.items()
            for key, tensor in part.state_dict().items()
        }
        net.load_state_dict(state, assign=True)
        return net.train(self.training)

    def _choice(self, position: int, key: str) -> nn.Module:
        choices = self.blocks[position]
        assert isinstance(choices, nn.ModuleDict)
        return choices[key]
