"""The builder of a space that is derived from a model: the Protocol `Builder` of `toolchain/nets/network.py`."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from toolchain.nets.blocks import Norm
from toolchain.nets.model_space.between import Narrowing
from toolchain.nets.model_space.channel_groups import Freedom
from toolchain.nets.model_space.parts import Part
from toolchain.nets.model_space.shapes import Shape
from toolchain.nets.model_space.traced_part import build_part
from toolchain.spaces.core import Choice, ChoiceBlock, SearchSpace
from toolchain.spaces.model_source import SKIP

Position = tuple[str, Shape, Shape]  # (op, input shape, output shape)


@dataclass(frozen=True)
class BlockPart:
    """A choice block of a model.

    Attributes:
        path: the module in the model; empty for a piece of a chain, or between two blocks.
        op: of its choices; blocks with the same op and geometry are built alike.
        can_skip: the block adds its input to its output, and may be left out.
    """

    path: str
    op: str
    part: Part
    freedom: Freedom
    can_skip: bool

    @property
    def position(self) -> Position:
        """Blocks at the same position are built alike."""
        return self.op, self.part.input_shape, self.part.output_shape


class ModelBuilder:
    """Builds stem, blocks and head from the parts of a traced model.

    Batch normalization keeps its scale and offset in a supernet as well, since they are part of the model's weights.

    Attributes:
        model: with the channels that the space has between blocks.
        first_layer, classifier: names of layers in the model; None if it has none.
        narrowing: what was removed from the user's model; None if nothing was.
    """

    def __init__(
        self,
        model: nn.Module,
        stem: Part,
        blocks: tuple[BlockPart, ...],
        head: Part,
        first_layer: str | None,
        classifier: str | None,
        narrowing: Narrowing | None = None,
    ) -> None:
        self.model, self.stem, self.blocks, self.head = model, stem, blocks, head
        self.first_layer, self.classifier, self.narrowing = first_layer, classifier, narrowing
        self._prototypes: Mapping[Position, BlockPart] = {block.position: block for block in reversed(blocks)}

    def build_stem(self, space: SearchSpace, norm: Norm) -> nn.Module:
        """Images (N, in_channels, size_px, size_px) -> the input of the first block."""
        return build_part(self.stem, norm)

    def build_block(self, spec: ChoiceBlock, choice: Choice, norm: Norm) -> nn.Module:
        """The module of a choice: the identity for `skip`, else the block at the width of the choice."""
        if choice.op == SKIP:
            return nn.Identity()
        entry, result = (spec.c_in, spec.size_px, spec.size_px), (spec.c_out, spec.out_px, spec.out_px)
        block = self._prototypes[choice.op, entry, result]
        return build_part(block.part, norm, block.freedom.groups, choice)

    def build_head(self, space: SearchSpace, norm: Norm) -> nn.Module:
        """The output of the last block -> logits (N, classes)."""
        return build_part(self.head, norm)
