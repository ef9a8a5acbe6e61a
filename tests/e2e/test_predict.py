"""An exported folder in an environment without nastool and torch, on 1,000 test images as files."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from scipy.special import softmax

from toolchain.export.bundle import write_companions
from toolchain.spaces import load_space
from toolchain.training import fashion_mnist
from toolchain.training.data import load_data
from toolchain.training.images import FolderImages
from toolchain.training.recipe import Augmentation
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
    data = load_data("fashion-mnist", space, "auto", 0)
    pixels, labels = data.test.fetch(range(IMAGES)), data.test.labels[:IMAGES]
    run = tmp_path / "runs" / "r"
    net = load_retrained(space, space.architecture(ARCH), data, _run(run))
    with torch.no_grad():
        expected = [data.classes[label] for label in net(data.preprocessing(pixels)).argmax(1).tolist()]
    for number, image in enumerate(pixels):
        Image.fromarray(image[0].numpy()).save(tmp_path / f"{number:04}.png")

    files = sorted(path.name for path in tmp_path.glob("*.png"))
    example = run / "export" / "predict.py"
    model = run / "export" / "model.onnx"
    done = subprocess.run([bare_python, example, model, *files], cwd=tmp_path, env={}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    predictions = [line.split("\t") for line in done.stdout.splitlines()]
    assert [name for name, *_ in predictions] == files
    assert [label for _, label, _ in predictions] == expected
    correct = sum(
        label == data.classes[truth] for (_, label, _), truth in zip(predictions, labels.tolist(), strict=True)
    )
    assert correct > 0.5 * IMAGES  # the network is better than chance, so agreement is meaningful


def test_predict_is_short() -> None:
    lines = (Path(__file__).parents[2] / "toolchain" / "templates" / "predict.py").read_text().splitlines()
    assert (
        sum(bool(line.strip()) and '"""' not in line for line in lines) <= 60
    )  # 40 for preprocessing, the rest for arguments and batches


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """An exported folder beside images: the network is a linear layer on gray images of 4 px, for any batch or of 3."""
    folder, photos = tmp_path / "export", tmp_path / "photos" / "deep"
    photos.mkdir(parents=True)
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (5, 9, 7), np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(photos / f"{number}.png")
    how = {"mode": "L", "short_side_px": 5, "size_px": 4, "white": {}, "mean": [0.5], "std": [0.5]}
    (folder / "preprocessing.json").write_text(json.dumps(how))
    (folder / "labels.txt").write_text("cat\ndog\nhamster\n")
    shutil.copy(Path(__file__).parents[2] / "toolchain" / "templates" / "predict.py", folder)
    weights = np.random.default_rng(1).normal(size=(16, 3)).astype(np.float32)
    for name, batch in (("model.onnx", "batch"), ("model3.onnx", 3)):
        nodes = [
            onnx.helper.make_node("Flatten", ["images"], ["flat"]),
            onnx.helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        ]
        ends = [
            onnx.helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, [batch, *rest])
            for end, rest in (("images", [1, 4, 4]), ("logits", [3]))
        ]
        tensor = onnx.numpy_helper.from_array(weights, "weights")
        graph = onnx.helper.make_graph(nodes, "linear", [ends[0]], [ends[1]], [tensor])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, folder / name)
    return tmp_path


def predicted(cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "export/predict.py", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


def probabilities(folder: Path, files: list[Path]) -> Any:
    """Class probabilities (N, 3) of the linear network."""
    example: dict[str, Any] = {"__file__": str(folder / "predict.py"), "__name__": "predict"}
    exec(compile((folder / "predict.py").read_text(), "predict.py", "exec"), example)
    weights = np.random.default_rng(1).normal(size=(16, 3)).astype(np.float32)
    logits = np.stack([example["prepare"](file).ravel() for file in files]) @ weights
    return softmax(logits, axis=1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("export/model.onnx", *(f"photos/deep/{number}.png" for number in range(5))),
        ("export/model.onnx", "photos"),
        ("export/model.onnx", "photos", "--batch", "2"),
        ("export/model3.onnx", "photos"),  # of one batch size: the last batch is filled up
    ],
)
def test_predict_prints_class_and_probability_of_files_and_folders(shipped: Path, arguments: tuple[str, ...]) -> None:
    done = predicted(shipped, *arguments)
    files = sorted((shipped / "photos" / "deep").iterdir())
    odds = probabilities(shipped / "export", files)
    classes = ("cat", "dog", "hamster")
    assert len({int(row.argmax()) for row in odds}) > 1
    expected = [
        f"photos/deep/{file.name}\t{classes[row.argmax()]}\t{row.max():.1%}"
        for file, row in zip(files, odds, strict=True)
    ]
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, expected, "")


def test_predict_without_arguments_prints_its_usage(shipped: Path) -> None:
    done = predicted(shipped)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: predict.py [-h] [--batch BATCH] model images [images ...]")
    assert "Print the class of each image and its probability" in done.stdout


def test_predict_names_a_missing_model_and_unreadable_images(shipped: Path) -> None:
    done = predicted(shipped, "model.onnx", "photos")  # relative to the working directory, not to predict.py
    assert done.returncode == 2
    assert done.stderr.endswith("error: there is no file model.onnx\n")
    (shipped / "photos" / "a.png").write_bytes(b"no image")
    done = predicted(shipped, "export/model.onnx", "photos", "missing.jpg")
    assert len(done.stdout.splitlines()) == 5
    assert "photos/a.png: cannot identify image file" in done.stderr
    assert "missing.jpg: [Errno 2]" in done.stderr
    assert "Traceback" not in done.stderr


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


def test_a_rotated_photo_is_upright_in_training_evaluation_and_prediction(tmp_path: Path) -> None:
    upright = np.zeros((24, 24), np.uint8)
    upright[:12, :12] = 255  # white in the upper left quarter
    for part in ("train", "val"):
        for name in ("a", "b"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(2):
                stored = Image.fromarray(
                    np.rot90(upright)
                )  # a camera turned to the right stores this, and orientation 6
                stored.save(folder / f"{number}.jpg", exif=orientation(6), quality=95)
    space = load_space("shufflenet_v2_quick:size_px=21,classes=2,in_channels=1")
    data = load_data(f"folder:{tmp_path}", space, 1, 0)
    assert isinstance(data.test, FolderImages)
    write_companions(tmp_path, data)
    example: dict[str, Any] = {"__file__": str(tmp_path / "predict.py"), "__name__": "predict"}
    exec(compile((tmp_path / "predict.py").read_text(), "predict.py", "exec"), example)
    evaluated = data.test.fetch([0])[0, 0]
    trained = data.train.fetch_augmented([0], Augmentation(), [0])[0, 0]
    predicted = (example["prepare"](data.test.paths[0])[0] * 0.5 + 0.5) * 255
    for pixels in (evaluated.numpy(), trained.numpy(), predicted):
        quarters = [
            pixels[rows, columns].mean() for rows in (slice(8), slice(13, 21)) for columns in (slice(8), slice(13, 21))
        ]
        assert [quarter > 128 for quarter in quarters] == [True, False, False, False]


def _run(folder: Path) -> Any:
    from toolchain.runs import Run

    return Run(folder)
