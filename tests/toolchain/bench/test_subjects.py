"""Names -> files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exporters.backends import CompileSpec
from exporters.backends.onnxruntime import Backend
from exporters.to_onnx import export_onnx
from toolchain.bench.subjects import find_subjects
from toolchain.config import Config
from toolchain.errors import BadConfig, BadModel, MissingStage
from toolchain.progress import Quiet


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    export_onnx(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), torch.zeros(2, 1, 8, 8), path)
    return path


def test_in_the_order_of_their_names_and_twice_if_named_twice(file: Path, tiny_config: Config, tmp_path: Path) -> None:
    run = tiny_config.runs / "small" / "export" / "model.onnx"
    run.parent.mkdir(parents=True)
    run.write_bytes(file.read_bytes())
    names = ["run:small", str(file), "run:small"]
    found = find_subjects(names, tiny_config, tmp_path, Quiet())
    assert [subject.name for subject in found] == names
    assert [subject.file for subject in found] == [run, file, run]


def test_a_network_of_torchvision_takes_images_of_the_size_and_gives_the_classes(
    tiny_config: Config, tmp_path: Path
) -> None:
    state = torch.get_rng_state()
    (subject,) = find_subjects(["torchvision:squeezenet1_1:size_px=32,classes=7"], tiny_config, tmp_path, Quiet())
    assert torch.equal(torch.get_rng_state(), state), "drawing weights is nobody else's business"
    compiled = Backend().compile(subject.file, CompileSpec(batch=2))
    (logits,) = compiled.run({"images": np.zeros((2, 3, 32, 32), np.float32)}).values()
    compiled.close()
    assert logits.shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torchvision:mobilenet_v9", "torchvision has no classifier 'mobilenet_v9'. It has .*mobilenet_v2"),
        ("torchvision:fasterrcnn_resnet50_fpn", "torchvision has no classifier"),
        ("torchvision:mobilenet_v2:size=3", "'size=3' is no option. Write it as torchvision:mobilenet_v2:size_px=224"),
        ("torchvision:mobilenet_v2:size_px=0", "'size_px=0' is no option"),
        ("torchvision:mobilenet_v2:classes=many", "'classes=many' is no option"),
    ],
)
def test_what_torchvision_does_not_have(name: str, expected: str, tiny_config: Config, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=expected):
        find_subjects([name], tiny_config, tmp_path, Quiet())


def test_what_can_be_refused_is_before_anything_is_exported(tiny_config: Config, tmp_path: Path) -> None:
    names = ["torchvision:squeezenet1_1:size_px=32", str(tmp_path / "none.onnx")]
    with pytest.raises(MissingStage, match=r"none\.onnx is not there"):
        find_subjects(names, tiny_config, tmp_path, Quiet())
    with pytest.raises(MissingStage, match=r"Type nastool export --run nobody first"):
        find_subjects([*names[:1], "run:nobody"], tiny_config, tmp_path, Quiet())
    assert not list(tmp_path.glob("*.onnx"))


def test_a_file_of_another_batch_is_refused(tiny_config: Config, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    images, logits = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "fixed", [images], [logits])
    onnx.save(helper.make_model(graph), tmp_path / "fixed.onnx")
    with pytest.raises(BadModel, match="takes batches of 3 only"):
        find_subjects([str(tmp_path / "fixed.onnx")], tiny_config, tmp_path, Quiet())
