"""The class of each image: python predict.py model.onnx IMAGE...  (needs onnxruntime, numpy and pillow)."""

import json
import sys
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


if __name__ == "__main__":
    model, *images = sys.argv[1:]
    session = onnxruntime.InferenceSession(HERE / model, providers=["CPUExecutionProvider"])
    for path in images:
        (logits,) = session.run(None, {"images": prepare(path)[None]})
        print(path, LABELS[int(logits.argmax())], sep="\t")
