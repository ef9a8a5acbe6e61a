"""`nastool export` in several precisions, and its refusals."""

import hashlib
import json
import platform
import re
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

from toolchain.export.bundle import PREPROCESSING
from toolchain.export.engine_file import read_engine
from toolchain.export.precisions import ExportedFile, write_models
from toolchain.training.data import GRAY_MEAN, GRAY_STD, Preprocessing
from toolchain.training.images import FolderImages, MemoryImages

Nastool = Callable[..., Any]


@pytest.fixture(scope="module")
def exported(finished_job: Any, nastool: Nastool, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The finished job, exported in three precisions, with an engine of each for one GPU: (folder, manifest)."""
    return export_in(tmp_path_factory.mktemp("precisions") / "job", finished_job, nastool, "86")


def export_in(folder: Path, finished_job: Any, nastool: Nastool, capabilities: str) -> Any:
    shutil.copytree(finished_job.folder, folder)
    answer = nastool("export", "--precision", "fp16,int8", "--sm", capabilities, "--json", cwd=folder)
    assert answer.code == 0, answer.stderr
    return folder / "runs/r/export", answer.json


@pytest.mark.long
def test_each_precision_is_a_verified_file(exported: Any) -> None:
    folder, manifest = exported
    files = {path.name for path in folder.iterdir()}
    assert files == {"manifest.json", *manifest["files"]}
    models = manifest["models"]
    assert {name: model["precision"] for name, model in models.items()} == {
        "model.onnx": "fp32",
        "model.fp16.onnx": "fp16",
        "model.int8.onnx": "int8",
        "model.int8_fp16.onnx": "int8_fp16",  # what TensorRT builds the int8 engines from
    }
    for model in models.values():
        assert model["parity"]["batches"] == [1, 2, 32]
        assert model["parity"]["top1_agreement"] >= 0.9
        assert model["holdout_accuracy"] >= manifest["holdout_accuracy"] - 0.05  # the command itself is stricter
        assert model["compute_precision"] == model["precision"].removesuffix("_fp16")
        assert model["integer_layers"]["wrong_behind_convolutions"] == 0
    assert models["model.int8_fp16.onnx"]["convolutions"].get("int8", 0) == 0  # in ONNX Runtime
    assert models["model.onnx"]["measured_latency_ms"] > 0
    assert models["model.int8.onnx"]["measured_latency_ms"] > 0
    assert models["model.int8_fp16.onnx"]["measured_latency_ms"] is None
    sizes = {name: manifest["files"][name]["bytes"] for name in models}
    assert sizes["model.fp16.onnx"] < sizes["model.onnx"]
    assert models["model.int8.onnx"]["convolutions"] == {"int8": sum(models["model.onnx"]["convolutions"].values())}


@pytest.mark.long
def test_int8_with_fp16_for_tensorrt(job: Any, nastool: Nastool) -> None:
    answer = nastool("export", "--precision", "int8", "--sm", "86", cwd=job.folder)
    assert answer.code == 0, answer.stderr
    said = " ".join(answer.stdout.replace("│", " ").split())
    assert re.search(r"from model\.int8_fp16\.onnx by tensorrt_rtx .* (\d+) of \1 convolutions int8", said)
    graph = onnx.load(job.folder / "runs/r/export/model.int8_fp16.onnx").graph
    assert "Clip" not in {node.op_type for node in graph.node}
    assert onnx.TensorProto.FLOAT not in {tensor.data_type for tensor in graph.initializer}


@pytest.mark.long
def test_fp16_is_not_timed_where_it_runs_as_float32(exported: Any) -> None:
    runs_fp16 = platform.machine() not in ("x86_64", "AMD64")
    assert (exported[1]["models"]["model.fp16.onnx"]["measured_latency_ms"] is not None) == runs_fp16


@pytest.mark.long
def test_engines_for_two_gpus(finished_job: Any, nastool: Nastool, tmp_path: Path) -> None:
    require_engines(export_in(tmp_path / "job", finished_job, nastool, "86,8.9"), ("8.6", "8.9"))


def test_engines_for_a_named_gpu(exported: Any) -> None:
    require_engines(exported, ("8.6",))


def require_engines(exported: Any, capabilities: tuple[str, ...]) -> None:
    folder, manifest = exported
    convolutions = sum(manifest["models"]["model.onnx"]["convolutions"].values())
    assert {(engine["precision"], engine["capability"]) for engine in manifest["engines"].values()} == {
        (precision, capability) for precision in ("fp32", "fp16", "int8_fp16") for capability in capabilities
    }
    for name, engine in manifest["engines"].items():
        assert engine["batches"] == [8, 8, 8]
        assert engine["convolutions"] == {engine["precision"].removesuffix("_fp16"): convolutions}
        assert engine["built_from"] in manifest["models"]
        assert engine["not_verified"] == f"no GPU of compute capability {engine['capability']}"
        assert (engine["parity"], engine["measured_latency_ms"], engine["onnx_latency_ms"]) == (None, None, None)
        read = read_engine(folder / name)  # like nastool bench
        assert (read.runtime, read.capability, read.batches) == ("tensorrt_rtx", engine["capability"], (8, 8))
        assert read.precision == engine["precision"].removesuffix("_fp16")
        content = (folder / name).read_bytes()
        assert manifest["files"][name]["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(("flags", "code", "word"), [("--sm 99", 2, "no engines for the compute capability '99'")])
def test_engine_that_cannot_be_built_is_refused_before_any_work(
    flags: str, code: int, word: str, job: Any, nastool: Nastool
) -> None:
    before = contents(job.folder / "runs/r/export")
    answer = nastool("export", *flags.split(), cwd=job.folder)
    assert (answer.code, word in answer.stderr) == (code, True), answer.stderr
    assert contents(job.folder / "runs/r/export") == before


def test_each_file_says_its_precision(exported: Any) -> None:
    folder, manifest = exported
    for name, model in manifest["models"].items():
        said = {entry.key: entry.value for entry in onnx.load(folder / name).metadata_props}
        assert json.loads(said["nastool.precision"]) == model["precision"]
        assert json.loads(said["nastool.architecture"]) == manifest["architecture"]


def test_float_in_and_out_in_every_precision(exported: Any) -> None:
    folder, manifest = exported
    options = onnxruntime.SessionOptions()
    # ONNX Runtime fuses the float16 scales of the file for TensorRT into something that it then refuses
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for name in manifest["models"]:
        chosen = options if name == "model.int8_fp16.onnx" else None
        session = onnxruntime.InferenceSession(folder / name, chosen, providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {"images": np.zeros((3, 1, 16, 16), np.float32)})
        assert (logits.dtype, logits.shape) == (np.float32, (3, 10))


def test_exported_files_contain_no_local_path(exported: Any) -> None:
    folder, _ = exported
    for path in folder.iterdir():
        assert str(Path(onnx.__file__).parent.parent).encode() not in path.read_bytes()


@pytest.mark.long
def test_static_batch(job: Any, nastool: Nastool) -> None:
    answer = nastool("export", "--onnx", "--static", "--json", cwd=job.folder)
    assert answer.code == 0, answer.stderr
    (value,) = onnx.load(job.folder / "runs/r/export/model.onnx").graph.input
    assert value.type.tensor_type.shape.dim[0].dim_value == 8
    assert answer.json["parity"]["batches"] == [8]


@pytest.mark.long
def test_files_of_an_earlier_export_are_removed(exported: Any, job: Any, nastool: Nastool) -> None:
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


@pytest.mark.long
def test_nothing_is_written_over_the_budget(job: Any, nastool: Nastool) -> None:
    limit(job, 1e-4)
    before = contents(job.folder / "runs/r/export")
    answer = nastool("export", cwd=job.folder)
    assert answer.code == 1
    assert "over the budget by" in answer.stderr
    assert "Nothing was exported" in answer.stderr
    assert contents(job.folder / "runs/r/export") == before


def damaged(index: int) -> Callable[..., Any]:
    """`write_models`, with the weights `index` of the first file 1 % off."""

    def write(*given: Any) -> tuple[ExportedFile, ...]:
        models = write_models(*given)
        model = onnx.load(models[0].file)
        weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) > 1]
        value = onnx.numpy_helper.to_array(weights[index])
        assert value.dtype == np.float32
        weights[index].CopyFrom(onnx.numpy_helper.from_array(value * np.float32(1.01), weights[index].name))
        onnx.save(model, models[0].file)
        return models

    return write


@pytest.mark.long
@pytest.mark.parametrize("index", [0, -1])  # stem and classifier
def test_file_with_wrong_weights_is_refused(
    index: int, job: Any, nastool: Nastool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(job.folder / "runs/r/export")
    assert {"model.onnx", "manifest.json"} <= set(before)
    monkeypatch.setattr("toolchain.export.pipeline.write_models", damaged(index))
    answer = nastool("export", "--precision", "int8", cwd=job.folder)
    assert answer.code == 1
    said = " ".join(answer.stderr.replace("│", " ").split())
    assert "the exported fp32 file does not compute what the network does: relative error" in said
    assert "Nothing was exported" in said
    assert "Traceback" not in answer.stderr
    assert contents(job.folder / "runs/r/export") == before


@pytest.mark.long
def test_slower_machine_is_distinguished_from_slower_file(job: Any, nastool: Nastool) -> None:
    """The manifest claims that the anchor network was ten times as fast when the budget was met."""
    best = json.loads((job.folder / "runs/r/search/best.json").read_text())
    limit(job, best["measured_latency_ms"] / 5, measured_anchor_ms=best["measured_anchor_ms"] / 10)
    answer = nastool("export", "--json", cwd=job.folder)
    assert answer.code == 0, answer.stderr
    assert "the machine is busy: " in answer.stderr
    assert answer.json["measured_anchor_ms"] == best["measured_anchor_ms"] / 10
    check = nastool("check", "--max-seconds", "1", cwd=job.folder)
    assert check.code == 3
    assert "the machine is slower now" in " ".join(check.stderr.split())
    limit(job, best["measured_latency_ms"] / 20, measured_anchor_ms=best["measured_anchor_ms"] / 10)
    assert nastool("export", cwd=job.folder).code == 1


def test_budget_of_another_target_is_refused(job: Any, nastool: Nastool) -> None:
    answer = nastool("export", "--batch", "1", cwd=job.folder)
    assert answer.code == 4
    assert "batch: 1 here, 8 there" in answer.stderr
    limit(job, 100.0, target="of a table that is gone")
    answer = nastool("export", cwd=job.folder)
    assert answer.code == 4
    assert "target of a table that is gone" in answer.stderr


def test_unknown_precision_is_named(job: Any, nastool: Nastool) -> None:
    answer = nastool("export", "--precision", "int4", cwd=job.folder)
    assert answer.code == 2
    assert "unknown precision 'int4'" in answer.stderr
    assert "fp32 or fp16 or int8" in answer.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_predict_prepares_files_like_digits(exported: Any, tmp_path: Path) -> None:
    """Images of 8 px, resized to the 16 px of the space."""
    pixels = torch.from_numpy(load_digits().images[:20] * (255 / 16)).to(torch.uint8).unsqueeze(1)
    images = MemoryImages.resized(pixels, torch.zeros(20), channels=1, size_px=16)
    expected = Preprocessing(16, GRAY_MEAN, GRAY_STD)(images.fetch(range(20))).numpy()
    prepare = example_in(exported[0])
    for image, prepared in zip(pixels, expected, strict=True):
        Image.fromarray(image[0].numpy()).save(tmp_path / "digit.png")
        assert np.array_equal(prepare(tmp_path / "digit.png"), prepared)


def example_in(folder: Path) -> Any:
    space: dict[str, Any] = {"__file__": str(folder / "predict.py"), "__name__": "predict"}
    exec(compile((folder / "predict.py").read_text(), "predict.py", "exec"), space)
    return space["prepare"]


@pytest.mark.parametrize("size", [(24, 24), (40, 31), (23, 61), (500, 375)])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "I;16"])
def test_predict_prepares_files_like_folder_data(
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
    decoded = example_in(tmp_path / "export")(path)
    assert np.array_equal(decoded.round().astype(int), expected.numpy())


LOW_BIT = (
    "resnet18_bits:size_px=16,in_channels=1,classes=10,stem_kernel=3,stem_stride=1,stem_pool=false,"
    "stage_widths=8-16,stage_repeats=1-1"
)


@pytest.fixture(scope="module")
def low_bit(nastool: Nastool, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A network of 2 and 4 bits, retrained and exported in both profiles: (folder, manifest)."""
    folder = tmp_path_factory.mktemp("bits")
    (folder / "nastool.toml").write_text(
        f'run = "bits"\nspace = "{LOW_BIT}"\ndata = "digits"\nholdout_per_class = 20\n'
        "[profile]\nbatch = 8\nrounds = 2\nmin_ms = 1.0\n"
        '[retrain]\nrecipe = "quick"\nchanges = { epochs = 3, batch = 32 }\n'
    )
    for command in ("retrain", "export"):
        flags = ["--precision", "int8"] if command == "export" else []
        answer = nastool(command, "--arch", "basic:w4a4 basic@1.5:w2a4", *flags, "--json", cwd=folder)
        assert answer.code == 0, answer.stderr
    return folder, answer.json


@pytest.mark.long
def test_low_bit_network_is_exported_in_two_profiles(low_bit: Any) -> None:
    _, manifest = low_bit
    models = manifest["models"]
    assert {name: model["precision"] for name, model in models.items()} == {
        "model.onnx": "exact",
        "model.int8.onnx": "int8",
    }
    # two blocks of two convolutions and one on a shortcut; the stem stays in float
    assert models["model.int8.onnx"]["convolutions"] == {"int8": 5, "fp32": 1}
    assert models["model.onnx"]["convolutions"] == {"int8": 2, "fp32": 4}
    for model in models.values():
        assert model["integer_layers"]["wrong_behind_convolutions"] == 0
        assert model["integer_layers"]["codes"] > 10_000
        assert model["parity"]["top1_agreement"] >= 0.9
        assert model["measured_latency_ms"] > 0
    assert manifest["costs"]["bitops"] > 0


@pytest.mark.long
def test_low_bit_export_reports_four_costs_and_no_speedup(low_bit: Any, nastool: Nastool) -> None:
    folder, _ = low_bit
    answer = nastool("export", "--arch", "basic:w4a4 basic@1.5:w2a4", cwd=folder)
    assert answer.code == 0, answer.stderr
    said = " ".join(answer.stdout.replace("│", " ").split())
    for words in ("BitOps", "packed at its bits", " MB", " ms a batch of 8", "below 8 bits nothing runs faster"):
        assert words in said


@pytest.mark.long
def test_low_bit_network_has_no_fp16(low_bit: Any, nastool: Nastool) -> None:
    folder, _ = low_bit
    answer = nastool("export", "--arch", "basic:w4a4 basic@1.5:w2a4", "--precision", "fp16", cwd=folder)
    assert answer.code == 2
    assert "A network of 1 to 4 bits is exported as exact or int8" in answer.stderr
