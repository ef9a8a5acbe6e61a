"""Measure the speed of 8-bit containers: a mixed-precision ResNet-18 compared with the same network in float32.

    python benchmarks/int8_speed.py [--batch N] [--size PX] [--threads N] [--rounds N] [--arch TEXT] [--seed N]

Three files run in ONNX Runtime alternately, in random order; ratios are those of each round's pair: float32 (the space
with `bits=float` and the same widths), and the two profiles in which a network of 1 to 4 bits ships. Weights and
statistics are random; neither changes the cost of a file.
"""

import argparse
import re
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import torch

from exporters.backends import CompileSpec
from exporters.backends.onnxruntime import Backend
from exporters.devices.attached import attached
from exporters.graph.model import Model
from exporters.graph.onnx_file import load_model, write_model
from exporters.graph.optimized import convolutions
from exporters.graph.to_onnx import export_onnx
from exporters.quantize.qcdq import write_codes
from exporters.timing import interleaved
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.deploy import dequantized, integer_layers
from toolchain.nets.network import Network, initialize
from toolchain.spaces import load_space

ARCH = "basic:w4a4 basic:w2a4 basic:w3a4 basic:w2a2 basic:w1a4 basic:w4a4 basic:w2a4 basic:w1a2"
FLOAT = "float32"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--arch", default=ARCH, help="choice keys of resnet18_bits, separated by spaces")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory(prefix="nastool-") as folder:
        files = write_files(args.arch, args.size, args.seed, Path(folder))
        for name, file in files.items():
            counts = ", ".join(f"{count} in {kind}" for kind, count in convolutions(file).items())
            print(f"{name}: {file.stat().st_size / 1e6:.1f} MB; convolutions: {counts}")
        compiled = {
            name: Backend().compile(file, CompileSpec(args.batch, args.threads, Model(file).precision))
            for name, file in files.items()
        }
        results = [
            {name: timing.busy_ms_min if args.threads == 1 else timing.wall_ms_min for name, timing in round_.items()}
            for _, round_ in interleaved(compiled, range(args.rounds), 500.0, args.seed)
        ]
    print(f"{args.size} px, batch {args.batch}, {args.threads} thread, {attached()[0].model}")
    for name in files:
        low, middle, high = quantiles((round_[FLOAT] / round_[name] for round_ in results), n=4)
        took = median(round_[name] for round_ in results)
        print(f"{name}: {took:.1f} ms, {middle:.2f} times as fast as float32 (quartiles {low:.2f} - {high:.2f})")


def write_files(arch: str, size_px: int, seed: int, folder: Path) -> dict[str, Path]:
    """Export the architecture in float32 and in both low-bit profiles."""
    bits = network(f"resnet18_bits:size_px={size_px}", arch, seed)
    floats = network(f"resnet18_bits:size_px={size_px},bits=float", re.sub(r":w\da\d", "", arch), seed)
    files = {name: folder / f"{name}.onnx" for name in (FLOAT, "exact", "int8")}
    example, pictures = torch.zeros(2, 3, size_px, size_px), torch.randn(8, 3, size_px, size_px)
    export_onnx(floats, example, files[FLOAT])
    export_onnx(dequantized(bits), example, folder / "plain.onnx")
    for profile, images in (("exact", None), ("int8", pictures.numpy())):
        written = write_codes(load_model(folder / "plain.onnx"), integer_layers(bits), images)
        write_model(written, files[profile])
    return files


def network(space_name: str, arch: str, seed: int) -> Network:
    space = load_space(space_name)
    net = Network(space, space.architecture(arch), STANDALONE)
    generator = torch.Generator().manual_seed(seed)
    initialize(net, generator)
    with torch.no_grad():
        for _ in range(4):
            net.train()(torch.randn(4, *space.input_shape, generator=generator))
    return net.eval()


if __name__ == "__main__":
    main()
