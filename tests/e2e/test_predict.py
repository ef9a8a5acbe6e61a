"""An exported folder in an environment without nastool and torch, on 1,000 test images as files."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from toolchain.export.bundle import write_companions
from toolchain.spaces import load_space
from toolchain.training import fashion_mnist
from toolchain.training.data import load_data
from toolchain.training.images import FolderImages
from toolchain.training.retrained import load_retrained

SPACE, ARCH = "shufflenet_v2_quick", "0 1 2 3 0 1 2 3"
NEEDED = ("onnxruntime", "numpy", "pillow")
IMAGES = 1000


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python environment with the three packages and their dependencies only."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    done = subprocess.run([python, "-m", "pip", "install", "--quiet", *NEEDED], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no package index can be reached: {done.stderr.strip()[-200:]}")
    for package in ("torch", "torchvision", "toolchain"):
        there = subprocess.run([python, "-c", f"import {package}"], capture_output=True, cwd=folder, env={})
        assert there.returncode != 0
    return python


@pytest.mark.long
@pytest.mark.skipif(fashion_mnist.find() is None, reason="Fashion-MNIST is not on this machine")
def test_predict_gives_the_same_classes_as_torch(
    nastool: Callable[..., Any], bare_python: Path, tmp_path: Path
) -> None:
    (tmp_path / "nastool.toml").write_text(
        f'run = "r"\nspace = "{SPACE}"\ndata = "fashion-mnist"\n[retrain]\nrecipe = "quick"\n'
        "changes = { epochs = 0.3 }\n[profile]\nrounds = 2\nmin_ms = 1.0\n"
    )
    for command in ("retrain", "export"):
        answer = nastool(command, "--arch", ARCH, cwd=tmp_path)
        assert answer.code == 0, answer.stderr

    space = load_space(SPACE)
    data = load_data("fashion-mnist", space, 50, 0)
    pixels, labels = data.test.fetch(range(IMAGES)), data.test.labels[:IMAGES]
    run = tmp_path / "runs" / "r"
    net = load_retrained(space, space.architecture(ARCH), data, _run(run))
    with torch.no_grad():
        expected = [data.classes[label] for label in net(data.preprocessing(pixels)).argmax(1).tolist()]
    for number, image in enumerate(pixels):
        Image.fromarray(image[0].numpy()).save(tmp_path / f"{number:04}.png")

    files = sorted(path.name for path in tmp_path.glob("*.png"))
    example = run / "export" / "predict.py"
    done = subprocess.run(
        [bare_python, example, "model.onnx", *files], cwd=tmp_path, env={}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    predictions = [line.split("\t") for line in done.stdout.splitlines()]
    assert [name for name, _ in predictions] == files
    assert [label for _, label in predictions] == expected
    correct = sum(label == data.classes[truth] for (_, label), truth in zip(predictions, labels.tolist(), strict=True))
    assert correct > 0.5 * IMAGES  # the network is better than chance, so agreement is meaningful


def test_predict_is_short() -> None:
    lines = (Path(__file__).parents[2] / "toolchain" / "templates" / "predict.py").read_text().splitlines()
    assert sum(bool(line.strip()) and '"""' not in line for line in lines) <= 40


def gradient(size: tuple[int, int]) -> Any:
    return np.linspace(0, 1, size[0] * size[1]).reshape(size)


IMAGES_OF_USERS: dict[str, Callable[[Path, Image.Image], None]] = {
    "upright.jpg": lambda path, image: image.save(path),
    "turned.jpg": lambda path, image: image.save(path, exif=orientation(6)),
    "mirrored.png": lambda path, image: image.save(path, exif=orientation(2)),
    "transparent.png": lambda path, image: transparent(image).save(path),
    "palette.gif": lambda path, image: transparent(image).save(path),
    "gray and alpha.png": lambda path, image: transparent(image).convert("LA").save(path),
    "cmyk.jpg": lambda path, image: image.convert("CMYK").save(path),
    "bilevel.tif": lambda path, image: image.convert("1").save(path),
    "12 bits.png": lambda path, image: Image.fromarray((gradient((31, 40)) * 4095).astype(np.uint16)).save(path),
    "integers.tif": lambda path, image: Image.fromarray((gradient((31, 40)) * 4095).astype(np.int32)).save(path),
    "floats.tif": lambda path, image: Image.fromarray(gradient((31, 40)).astype(np.float32)).save(path),
}


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def transparent(image: Image.Image) -> Image.Image:
    copy = image.convert("RGBA")
    copy.putalpha(image.convert("L"))
    return copy


@pytest.mark.parametrize("channels", [1, 3])
def test_predict_prepares_files_like_training(channels: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (31, 40, 3), np.uint8)
    for part in ("train", "val"):
        for name in ("a", "b"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for file, save in IMAGES_OF_USERS.items():
                save(folder / file, Image.fromarray(noise))
    space = load_space(f"shufflenet_v2_quick:size_px=20,classes=2,in_channels={channels}")
    data = load_data(f"folder:{tmp_path}", space, 1, 0)
    write_companions(tmp_path, data)
    example: dict[str, Any] = {"__file__": str(tmp_path / "predict.py"), "__name__": "predict"}
    exec(compile((tmp_path / "predict.py").read_text(), "predict.py", "exec"), example)
    assert isinstance(data.test, FolderImages)
    expected = data.preprocessing(data.test.fetch(range(len(data.test.paths)))).numpy()
    for path, prepared in zip(data.test.paths, expected, strict=True):
        np.testing.assert_allclose(example["prepare"](path), prepared, atol=1e-6, err_msg=path.name)  # float32 rounding
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(ValueError, match="pixel values below 0, not finite, or with 0 as white"):
        example["prepare"](tmp_path / "nan.tif")


def _run(folder: Path) -> Any:
    from toolchain.runs import Run

    return Run(folder)
