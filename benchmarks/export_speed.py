"""Compare the speed of a network exported by nastool with that of a manual export.

    python benchmarks/export_speed.py [--batch N] [--threads N] [--rounds N] [--seed N]

The paper's block-search network (Table 3, 319M MACs) twice: exported by nastool, and written here as in the published
code, with its channel shuffle by reshapes, and exported with torch.onnx.export as in torch's documentation. Both files
run in ONNX Runtime alternately, in random order; the ratio is that of each round's pair.
"""

import argparse
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from exporters.backends import CompileSpec
from exporters.backends.onnxruntime import Backend
from exporters.devices.attached import attached
from exporters.graph.to_onnx import export_onnx
from exporters.graph.torch_exporter import quiet
from exporters.timing import interleaved
from toolchain.costs.counters import count_macs, count_params
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network, initialize
from toolchain.nets.published import published
from toolchain.spaces import load_space

CHOICES = (0, 0, 3, 1, 1, 1, 0, 0, 2, 0, 2, 1, 1, 0, 2, 0, 2, 1, 3, 2)  # kernels 3, 5, 7; 3 is Xception
STAGES = ((4, 64), (4, 160), (8, 320), (4, 640))
OURS, BY_HAND = "nastool", "by hand"


class Block(nn.Module):
    """A block of SinglePathOneShot's ShuffleNet v2."""

    def __init__(self, c_in: int, c_out: int, stride: int, choice: int) -> None:
        super().__init__()
        self.stride = stride
        half = c_out // 2
        outputs = c_out - (c_in if stride == 2 else c_in // 2)
        inputs = c_in if stride == 2 else c_in // 2
        if choice == 3:
            layers = [*depthwise(inputs, 3, stride), *pointwise(inputs, half)]
            layers += [*depthwise(half, 3, 1), *pointwise(half, half), *depthwise(half, 3, 1)]
        else:
            layers = [*pointwise(inputs, half), *depthwise(half, (3, 5, 7)[choice], stride)]
        self.main = nn.Sequential(*layers, *pointwise(half, outputs))
        kernel = 3 if choice == 3 else (3, 5, 7)[choice]
        if stride == 2:
            self.projection = nn.Sequential(*depthwise(c_in, kernel, 2), *pointwise(c_in, c_in))

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 2:
            return torch.cat((self.projection(x), self.main(x)), 1)
        n, c, h, w = x.shape
        kept, x = x.reshape(n, c // 2, 2, h, w).unbind(2)
        return torch.cat((kept, self.main(x)), 1)


def pointwise(c_in: int, c_out: int) -> list[nn.Module]:
    return [nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]


def depthwise(channels: int, kernel: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
    return [conv, nn.BatchNorm2d(channels)]


def by_hand() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    c_in, choices = 16, iter(CHOICES)
    for blocks, c_out in STAGES:
        for number in range(blocks):
            layers.append(Block(c_in, c_out, 1 if number else 2, next(choices)))
            c_in = c_out
    layers += [*pointwise(c_in, 1024), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1)]
    return nn.Sequential(*layers, nn.Linear(1024, 1000, bias=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    network = published("spos_blocks")
    space = load_space(network.space)
    nets = {OURS: Network(space, space.architecture(network.architecture), STANDALONE), BY_HAND: by_hand()}
    for name, net in nets.items():
        initialize(net, torch.Generator().manual_seed(args.seed))
        with torch.device("meta"):
            macs = count_macs(net.to("meta"), space.input_shape)
        print(f"{name}: {macs:,} MACs, {count_params(net, space.input_shape):,} parameters")
    with TemporaryDirectory(prefix="nastool-") as folder:
        files = export(folder)
        spec = CompileSpec(args.batch, args.threads)
        compiled = {name: Backend().compile(file, spec) for name, file in files.items()}
        results = [
            {name: timing.busy_ms_min if args.threads == 1 else timing.wall_ms_min for name, timing in round_.items()}
            for _, round_ in interleaved(compiled, range(args.rounds), 300.0, args.seed)
        ]
    device = attached()[0].model
    for name in files:
        print(f"{name}: {median(round_[name] for round_ in results):.2f} ms a batch of {args.batch} on {device}")
    low, middle, high = quantiles((round_[OURS] / round_[BY_HAND] for round_ in results), n=4)
    print(f"nastool / manual: {middle:.3f} (quartiles {low:.3f} - {high:.3f}) over {args.rounds} rounds")


def export(folder: str) -> dict[str, Path]:
    """Export both files with new random weights (the networks above are on the meta device)."""
    network = published("spos_blocks")
    space = load_space(network.space)
    ours, hand = Network(space, space.architecture(network.architecture), STANDALONE), by_hand()
    for net in (ours, hand):
        initialize(net, torch.Generator().manual_seed(0))
        net.eval()
    files = {OURS: Path(folder) / "nastool.onnx", BY_HAND: Path(folder) / "by_hand.onnx"}
    example = torch.zeros(2, *space.input_shape)
    export_onnx(ours, example, files[OURS])
    with quiet():
        torch.onnx.export(
            hand,
            (example,),
            files[BY_HAND],
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            verbose=False,
        )
    return files


if __name__ == "__main__":
    main()
