"""Print the class of each image and its probability. Needs onnxruntime, numpy and pillow."""

import argparse
import json
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

HERE = Path(__file__).parent
HOW = json.loads((HERE / "preprocessing.json").read_text())
LABELS = (HERE / "labels.txt").read_text(encoding="utf-8").splitlines()


def shown(image):
    """The image as a viewer shows it: upright, 8 bits, transparent pixels on white."""
    inverted = getattr(image, "tag_v2", {}).get(262) == 0  # TIFF; Pillow inverts 8 bits only
    image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":
        levels = np.asarray(image, np.float64) * (255 / HOW["white"][image.mode[0]])
        if not np.isfinite(levels).all() or levels.min() < 0 or inverted:
            raise ValueError("pixel values below 0, not finite, or with 0 as white. Save it with 8 or 16 bits")
        return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image


def prepare(path):
    """An image file -> float32 (channels, size, size), the same as where the network was tested."""
    image, size, short = shown(Image.open(path)).convert(HOW["mode"]), HOW["size_px"], HOW["short_side_px"]
    if short:
        width, height = (int(short * side / min(image.size)) for side in image.size)
        left, top = round((width - size) / 2), round((height - size) / 2)
        image = image.resize((width, height), Image.BILINEAR).crop((left, top, left + size, top + size))
    image = image.resize((size, size), Image.BILINEAR)
    pixels = np.asarray(image, np.float32).reshape(size, size, -1) / np.float32(255)
    return ((pixels - np.float32(HOW["mean"])) / np.float32(HOW["std"])).transpose(2, 0, 1)


def prepared(paths):
    """Each image file, and those in folders at any depth, with its input; unreadable ones are named and left out."""
    for path in paths:
        inside = [file for file in path.rglob("*") if file.suffix.lower() in Image.registered_extensions()]
        for file in sorted(inside) if path.is_dir() else [path]:
            try:
                yield file, prepare(file)
            except Exception as problem:  # Pillow documents no set of errors for damaged files
                print(f"{file}: {problem}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="ONNX file, such as model.onnx")
    parser.add_argument("images", nargs="+", type=Path, help="image files, or folders with images at any depth")
    parser.add_argument("--batch", type=int, default=1, help="images that are computed together (default: 1)")
    args = parser.parse_args(sys.argv[1:] or ["--help"])
    if not args.model.is_file():
        parser.error(f"there is no file {args.model}")
    session = onnxruntime.InferenceSession(args.model, providers=["CPUExecutionProvider"])
    fixed = session.get_inputs()[0].shape[0]  # of a file for one batch size only; otherwise a name
    size, images = fixed if isinstance(fixed, int) else max(1, args.batch), prepared(args.images)
    while batch := list(islice(images, size)):
        pixels = np.stack([image for _, image in batch])
        (logits,) = session.run(None, {"images": np.resize(pixels, (size, *pixels.shape[1:]))})
        for (file, _), scores in zip(batch, np.exp(logits.astype(np.float64)), strict=False):
            print(file, LABELS[scores.argmax()], f"{scores.max() / scores.sum():.1%}", sep="\t")


if __name__ == "__main__":
    main()
