"""The accuracy of exported files, by the runtime, against torch's."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

from exporters.graph.model import Model
from exporters.graph.to_onnx import export_onnx
from toolchain.bench.accuracy import score
from toolchain.bench.results import Accuracy, part_of
from toolchain.bench.subjects import Subject
from toolchain.config import Config
from toolchain.errors import BadConfig
from toolchain.export.bundle import preprocessing_of
from toolchain.measuring.target import ReadyTarget, ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.progress import Quiet
from toolchain.spaces.core import SearchSpace
from toolchain.training.accuracy import fixed_batches, top1
from toolchain.training.data import Data, load_data

BATCH = 8
ORT = ready_target(TargetSpec(batch=BATCH))


def digits(space: SearchSpace) -> Data:
    return load_data("digits", space, holdout_per_class=20, seed=0)


@pytest.fixture
def data(tiny_space: SearchSpace, tiny_config: Config) -> Data:
    return load_data("digits", tiny_space, tiny_config.holdout_per_class, tiny_config.seed)


@pytest.fixture
def net(data: Data) -> nn.Module:
    """The mean image of each class as its weights: no training, and far better than chance."""
    images = data.preprocessing(data.train.fetch(list(data.fit))).flatten(1)
    labels = data.train.labels[list(data.fit)]
    linear = nn.Linear(images.shape[1], 10)
    with torch.no_grad():
        means = torch.stack([images[labels == label].mean(0) for label in range(10)])
        linear.weight.copy_(means - means.mean(0))
        linear.bias.copy_(-0.5 * (means**2).sum(1))
    return nn.Sequential(nn.Flatten(), linear)


def write(
    net: nn.Module,
    data: Data,
    space: SearchSpace,
    path: Path,
    target: ReadyTarget,
    changes: dict[str, Any] | None = None,
) -> Subject:
    about = {
        "space": space.name,
        "classes": list(data.classes),
        "preprocessing": preprocessing_of(data).model_dump(mode="json"),
    }
    metadata = {f"nastool.{key}": json.dumps(value) for key, value in {**about, **(changes or {})}.items()}
    export_onnx(net, torch.zeros(2, *space.input_shape), path, metadata)
    return Subject(str(path), Model(path), target)


@pytest.mark.parametrize("part", ["holdout", "test"])
def test_accuracy_equals_that_of_torch(
    part: Any, net: nn.Module, data: Data, tiny_space: SearchSpace, tiny_config: Config, tmp_path: Path
) -> None:
    subject = write(net, data, tiny_space, tmp_path / "model.onnx", ORT)
    result = score([subject, subject], part, digits, Quiet())[subject]
    images, indices = (data.train, data.holdout) if part == "holdout" else (data.test, range(len(data.test.labels)))
    expected = top1(net, fixed_batches(images, tuple(indices), 50), data.preprocessing)
    assert isinstance(result, Accuracy)
    assert result.images == len(indices)
    assert result.share == pytest.approx(expected, abs=1 / len(indices))  # an image at the border may fall either way
    assert result.share > 0.5


def test_static_file(net: nn.Module, data: Data, tiny_space: SearchSpace, tiny_config: Config, tmp_path: Path) -> None:
    """The last batch is padded, and the padding is not counted."""
    dynamic = write(net, data, tiny_space, tmp_path / "dynamic.onnx", ORT)
    model = onnx.load(dynamic.file)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = BATCH
    onnx.save(model, tmp_path / "static.onnx")
    assert len(data.test.labels) % BATCH, "else there is nothing to fill up"
    static = Subject("static", Model(tmp_path / "static.onnx"), ORT)
    result = score([dynamic, static], "test", digits, Quiet())
    assert result[static] == result[dynamic]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"classes": ["cat", "dog"]}, "unknown: its classes are not those of digits"),
        (
            {"preprocessing": {"size_px": 8, "mean": [0.5], "std": [0.1]}},
            "differs from that of digits in size_px and std",
        ),
        ({"space": "gone"}, "unknown: unknown space 'gone'"),
        ({"space": 3}, "unknown: the file has no classes in its metadata"),
    ],
)
def test_unknown_accuracy_has_a_reason(
    changes: dict[str, Any],
    expected: str,
    net: nn.Module,
    data: Data,
    tiny_space: SearchSpace,
    tiny_config: Config,
    tmp_path: Path,
) -> None:
    subject = write(net, data, tiny_space, tmp_path / "model.onnx", ORT, changes)
    result = score([subject], "test", digits, Quiet())[subject]
    assert isinstance(result, str)
    assert expected in result


def test_a_file_of_another_program(
    net: nn.Module, tiny_space: SearchSpace, tiny_config: Config, tmp_path: Path
) -> None:
    export_onnx(net, torch.zeros(2, *tiny_space.input_shape), tmp_path / "model.onnx")
    subject = Subject("x", Model(tmp_path / "model.onnx"), ORT)
    result = score([subject], "test", digits, Quiet())
    assert result == {subject: "unknown: the file has no classes in its metadata"}


def test_accuracy_is_computed_by_each_backend(
    net: nn.Module, data: Data, tiny_space: SearchSpace, tiny_config: Config, tmp_path: Path
) -> None:
    places = [ready_target(TargetSpec(backend=name, batch=BATCH)) for name in ("onnxruntime", "fake")]
    subjects = [write(net, data, tiny_space, tmp_path / "model.onnx", place) for place in places]
    result = score(subjects, "test", digits, Quiet())
    assert list(result) == subjects
    assert result[subjects[0]] == result[subjects[1]], "fake computes with ONNX Runtime"


def test_of_an_engine_it_is_unknown(tiny_config: Config, tmp_path: Path) -> None:
    subject = Subject("model.sm86.engine", Model(tmp_path / "model.sm86.engine"), ORT)
    result = score([subject], "test", digits, Quiet())[subject]
    assert isinstance(result, str)
    assert result.startswith("unknown: an engine has no classes")


def test_parts() -> None:
    assert (part_of(None), part_of("test"), part_of("holdout")) == (None, "test", "holdout")
    with pytest.raises(BadConfig, match=r"--accuracy train is not known\. Write holdout"):
        part_of("train")
