"""float16 inside, float32 outside."""

from torch import Tensor, nn


class Half(nn.Module):
    """`module` with its weights and sums in float16: float32 images in, float32 logits out.

    The precision is in the graph, as casts and float16 weights, and not a switch of the runtime: TensorRT 11 takes
    every network at its word, and a file computes the same wherever it is loaded. `module` is changed to float16.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.inside = module.half()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.inside(images.half()).float()
        return logits
