"""`nastool export` in several precisions, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from toolchain.shipped import PREPROCESSING
from toolchain.training.data import GREY_MEAN, GREY_STD, Preprocessing
from toolchain.training.images import FolderImages, MemoryImages

Nastool = Callable[..., Any]


@pytest.fixture(scope="module")
def exported(finished_job: Any, nastool: Nastool, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The finished job, exported in three precisions: (folder, manifest)."""
    folder = tmp_path_factory.mktemp("precisions") / "job"
    shutil.copytree(finished_job.folder, folder)
    answer = nastool("export", "--precision", "fp16,int8", "--json", cwd=folder)
    assert answer.code == 0, answer.stderr
    return folder / "runs/r/export", answer.json


def test_each_precision_is_a_file_with_its_proof(exported: Any) -> None:
    folder, manifest = exported
    files = {path.name for path in folder.iterdir()}
    assert files == {"manifest.json", *manifest["files"]}
    models = manifest["models"]
    assert {name: model["precision"] for name, model in models.items()} == {
        "model.onnx": "fp32",
        "model.fp16.onnx": "fp16",
        "model.int8.onnx": "int8",
    }
    for model in models.values():
        assert model["parity"]["batches"] == [1, 2, 32]
        assert model["parity"]["top1_agreement"] >= 0.9
        assert model["holdout_accuracy"] >= manifest["holdout_accuracy"] - 0.01
        assert model["measured_latency_ms"] > 0
    sizes = {name: manifest["files"][name]["bytes"] for name in models}
    assert sizes["model.fp16.onnx"] < sizes["model.onnx"]
    assert models["model.int8.onnx"]["convolutions"] == {"int8": sum(models["model.onnx"]["convolutions"].values())}


def test_each_file_says_its_precision(exported: Any) -> None:
    folder, manifest = exported
    for name, model in manifest["models"].items():
        said = {entry.key: entry.value for entry in onnx.load(folder / name).metadata_props}
        assert json.loads(said["nastool.precision"]) == model["precision"]
        assert json.loads(said["nastool.architecture"]) == manifest["architecture"]


def test_float_in_and_out_in_every_precision(exported: Any) -> None:
    folder, manifest = exported
    for name in manifest["models"]:
        session = onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {"images": np.zeros((3, 1, 16, 16), np.float32)})
        assert (logits.dtype, logits.shape) == (np.float32, (3, 10))


def test_no_path_of_this_machine_is_shipped(exported: Any) -> None:
    folder, _ = exported
    for path in folder.iterdir():
        assert str(Path(onnx.__file__).parent.parent).encode() not in path.read_bytes()


def test_a_file_of_fixed_batch(job: Any, nastool: Nastool) -> None:
    answer = nastool("export", "--static", "--json", cwd=job.folder)
    assert answer.code == 0, answer.stderr
    (value,) = onnx.load(job.folder / "runs/r/export/model.onnx").graph.input
    assert value.type.tensor_type.shape.dim[0].dim_value == 8
    assert answer.json["parity"]["batches"] == [8]


def test_what_an_earlier_export_left_does_not_stay(exported: Any, job: Any, nastool: Nastool) -> None:
    folder = job.folder / "runs/r/export"
    shutil.copytree(exported[0], folder, dirs_exist_ok=True)
    (folder / "mine.txt").write_text("the user's own")
    assert nastool("export", cwd=job.folder).code == 0
    assert not list(folder.glob("model.*.onnx"))
    assert (folder / "mine.txt").exists()


def limit(job: Any, ms: float, **changes: Any) -> None:
    path = job.folder / "runs/r/search/best.json"
    best = json.loads(path.read_text())
    path.write_text(json.dumps(best | {"limits": best["limits"] | {"latency_ms": ms}} | changes))


def test_over_the_budget_nothing_is_shipped(job: Any, nastool: Nastool) -> None:
    limit(job, 1e-4)
    before = contents(job.folder / "runs/r/export")
    answer = nastool("export", cwd=job.folder)
    assert answer.code == 1
    assert "over the budget by" in answer.stderr
    assert "Nothing was exported" in answer.stderr
    assert contents(job.folder / "runs/r/export") == before


def test_a_budget_is_not_met_on_another_stack(job: Any, nastool: Nastool) -> None:
    answer = nastool("export", "--batch", "1", cwd=job.folder)
    assert answer.code == 4
    assert "batch: 1 here, 8 there" in answer.stderr
    limit(job, 100.0, context="of a table that is gone")
    answer = nastool("export", cwd=job.folder)
    assert answer.code == 4
    assert "context of a table that is gone" in answer.stderr


def test_an_unknown_precision_is_named(job: Any, nastool: Nastool) -> None:
    answer = nastool("export", "--precision", "int4", cwd=job.folder)
    assert answer.code == 2
    assert "unknown precision 'int4'" in answer.stderr
    assert "fp32, fp16, int8" in answer.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_example_prepares_files_as_digits_are(exported: Any, tmp_path: Path) -> None:
    """8 px, scaled to the 16 px of the space."""
    pixels = torch.from_numpy(load_digits().images[:20] * (255 / 16)).to(torch.uint8).unsqueeze(1)
    images = MemoryImages.resized(pixels, torch.zeros(20), channels=1, size_px=16)
    expected = Preprocessing(16, GREY_MEAN, GREY_STD)(images.fetch(range(20))).numpy()
    prepare = example_in(exported[0])
    for image, wanted in zip(pixels, expected, strict=True):
        Image.fromarray(image[0].numpy()).save(tmp_path / "digit.png")
        assert np.array_equal(prepare(tmp_path / "digit.png"), wanted)


def example_in(folder: Path) -> Any:
    space: dict[str, Any] = {"__file__": str(folder / "predict.py"), "__name__": "predict"}
    exec(compile((folder / "predict.py").read_text(), "predict.py", "exec"), space)
    return space["prepare"]


@pytest.mark.parametrize("size", [(24, 24), (40, 31), (23, 61), (500, 375)])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "I;16"])
def test_the_example_prepares_files_as_folder_data_is(
    size: tuple[int, int], mode: str, exported: Any, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    path = tmp_path / "image.png"
    if mode == "I;16":
        Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(pixels).convert(mode).save(path)
    expected = FolderImages((path,), torch.tensor([0]), 3, 20).fetch([0])[0]
    shutil.copytree(exported[0], tmp_path / "export")
    how = json.loads((tmp_path / "export" / PREPROCESSING).read_text())
    how |= {"mode": "RGB", "size_px": 20, "short_side_px": 23, "mean": [0, 0, 0], "std": [1 / 255] * 3}
    (tmp_path / "export" / PREPROCESSING).write_text(json.dumps(how))
    found = example_in(tmp_path / "export")(path)
    assert np.array_equal(found.round().astype(int), expected.numpy())
