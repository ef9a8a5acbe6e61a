"""A module in float16 with float32 inputs and outputs."""

from torch import Tensor, nn


class Half(nn.Module):
    """Runs `module` in float16, on float32 images and with float32 logits.

    The precision is part of the graph, as casts and float16 weights, so a file computes the same in every runtime;
    TensorRT 11 has no precision option. `module` itself is changed to float16.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.inside = module.half()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.inside(images.half()).float()
        return logits
