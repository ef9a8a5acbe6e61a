"""Low-bit convolutions: PACT activations, SAWB or DoReFa weights, integer sums (docs/quantization.md).

A quantizer turns a tensor into integer codes, stored in float32, and one positive scale: value = code * scale. The
convolution runs on the codes and multiplies its result by both scales. Its sums are exact in any order of addition, as
long as they stay below 2^24 (`spaces/resnet.py` checks this).
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Scheme = Literal["sawb", "dorefa"]

CLIP = "alpha_a"  # prefix of a clipping level's name, before its bits; training/optimizer.py relies on `alpha_`
MIN_CLIP = 1e-3  # clipping levels that training moves below this value count as this value
TINY = 1e-20  # scale of weights that are all 0

# SAWB's clipping level is c1 * sqrt(E[w^2]) - c2 * E|w|. The values for 2 and 4 bits are those of IBM's
# fms-model-optimizer, those for 3 bits an older set noted there. For a normal distribution each gives a squared error
# within 1 % of the least possible.
SAWB = {2: (3.12, 2.064), 3: (7.509, 6.892), 4: (12.68, 12.80)}


class QuantConv2d(nn.Conv2d):
    """A convolution with `w_bits` weights over `a_bits` activations: (N, c_in, H, W) -> (N, c_out, H/s, W/s).

    Negative inputs count as 0, so it must follow a ReLU. It has no bias, since a batch normalization follows it.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int, w_bits: int, a_bits: int, scheme: Scheme
    ) -> None:
        super().__init__(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)
        self.w_bits, self.a_bits, self.scheme = w_bits, a_bits, scheme
        self.clip_name = f"{CLIP}{a_bits}"
        self.register_parameter(self.clip_name, nn.Parameter(torch.tensor(initial_clip(a_bits))))

    def forward(self, x: Tensor) -> Tensor:
        a_scale = self.activation_scale()
        codes, w_scale = quantize_weight(self.weight, self.w_bits, self.scheme)
        x_codes = quantize_activation(x, a_scale, self.a_bits)
        sums = F.conv2d(x_codes, codes, None, self.stride, self.padding)
        return sums * (a_scale * w_scale)

    def activation_scale(self) -> Tensor:
        """The scale of activation codes: clipping level / (2^a_bits - 1), above 0."""
        clip: Tensor = getattr(self, self.clip_name)
        return straight_through(clip.clamp(min=MIN_CLIP), clip) / levels(self.a_bits)

    @torch.no_grad()
    def weight_codes(self) -> tuple[Tensor, Tensor]:
        """The weights for export: int8 codes of the weight's shape, and one scale."""
        codes, scale = quantize_weight(self.weight, self.w_bits, self.scheme)
        return codes.to(torch.int8), scale


def levels(bits: int) -> int:
    """The largest code of `bits` bits."""
    return (1 << bits) - 1


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """Exactly the value of `hard`, with the gradient of `soft`."""
    return hard.detach() + (soft - soft.detach())


def quantize_activation(x: Tensor, scale: Tensor, bits: int) -> Tensor:
    """PACT codes 0 to 2^bits - 1 of `x`: clamp(round(x / scale)).

    Like ONNX's QuantizeLinear it divides and rounds halves to even. The gradient of `code * scale` with respect to x is
    1 from 0 to the clipping level, and 0 outside. With respect to the clipping level it is 1 above the level; below, it
    is the rounding error relative to the level (SAT, arXiv 1912.10207), so the level is learned even without clipping.
    """
    n = levels(bits)
    steps = x / scale
    # not clamp, since half of all inputs are exactly 0, and the gradient of clamp at its bounds is up to torch
    soft = torch.where(steps < n, torch.where(steps < 0, 0.0, steps), float(n))
    return straight_through(steps.round().clamp(0, n), soft)


def quantize_weight(weight: Tensor, bits: int, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Codes of `weight` and their scale, both computed from this tensor alone, which may be a slice of a wider one.

    The codes are the odd numbers from -(2^bits - 1) to 2^bits - 1, without 0.
    """
    if bits == 1:
        return _sign(weight)
    return _dorefa(weight, levels(bits)) if scheme == "dorefa" else _sawb(weight, bits)


def _sign(weight: Tensor) -> tuple[Tensor, Tensor]:
    """DoReFa's single bit: sign(w) * E|w|, with sign(0) = +1."""
    scale = weight.detach().abs().mean().clamp(min=TINY)
    return straight_through(torch.where(weight >= 0, 1.0, -1.0), weight / scale), scale


def _dorefa(weight: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """DoReFa's codes, 2 * round(n * (tanh(w) / (2 max|tanh w|) + 1/2)) - n, with the scale that fits them to w.

    DoReFa's own scale is 1/n for weights of any size, so the output would differ by an order of magnitude from that of
    a single bit with the scale E|w|. The least-squares scale <w, codes> / <codes, codes> is E|w| for codes of +1 and
    -1, so all bit widths are comparable.
    """
    bent = weight.tanh()
    bent = bent / bent.detach().abs().max().clamp(min=TINY)
    codes = 2 * (n * (bent / 2 + 0.5)).round() - n
    w, c = weight.detach(), codes.detach()
    scale = ((w * c).sum() / (c * c).sum()).clamp(min=TINY)
    return straight_through(codes, n * bent), scale


def _sawb(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Statistics-aware weight binning: a clipping level from the weights' first two moments, then equal steps."""
    w, n = weight.detach(), levels(bits)
    mean = w.abs().mean()
    c1, c2 = SAWB[bits]
    clip = c1 * w.square().mean().sqrt() - c2 * mean
    # the formula is for bell-shaped distributions; if all |w| are similar, it can even give a negative level
    clip = clip.clamp(min=mean).clamp(min=TINY)
    codes = 2 * (n * ((w / clip).clamp(-1, 1) / 2 + 0.5)).round() - n
    return straight_through(codes, weight * (n / clip)), clip / n


def initial_clip(bits: int) -> float:
    """An initial clipping level for a normalized activation after a ReLU.

    For the positive half of a standard normal distribution, the levels with the least squared error are 1.2, 1.95, 2.5
    and 2.9 for 1 to 4 bits.
    """
    return 1.0 + bits / 2


@torch.no_grad()
def initialize_clips(module: nn.Module) -> None:
    """Set all clipping levels in `module` to their initial values, including those that only some choices use."""
    for name, parameter in module.named_parameters():
        leaf = name.rpartition(".")[2]
        if leaf.startswith(CLIP):
            parameter.fill_(initial_clip(int(leaf.removeprefix(CLIP))))
