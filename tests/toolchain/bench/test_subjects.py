"""Names -> files."""

import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exporters.backends import CompileSpec
from exporters.backends.onnxruntime import Backend
from exporters.devices.attached import Device, find
from exporters.errors import BackendUnavailable, EngineFailed
from exporters.graph.to_onnx import export_onnx
from toolchain.bench import subjects
from toolchain.bench.subjects import find_subjects, places_of
from toolchain.config import Config
from toolchain.errors import BadConfig, BadModel, MissingStage
from toolchain.export import engine_file
from toolchain.measuring.target import ReadyTarget, ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.progress import Quiet

SPEC = TargetSpec(batch=8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    export_onnx(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), torch.zeros(2, 1, 8, 8), path)
    return path


def test_in_the_order_of_their_names_and_twice_if_named_twice(
    file: Path, tiny_config: Config, tmp_path: Path, write_manifest: Callable[..., None]
) -> None:
    run = tiny_config.runs / "small" / "export" / "model.onnx"
    run.parent.mkdir(parents=True)
    run.write_bytes(file.read_bytes())
    write_manifest(run.parent)
    names = ["run:small", str(file), "run:small"]
    subjects = find_subjects(names, (SPEC,), tiny_config.runs, tmp_path, Quiet())
    assert [subject.name for subject in subjects] == names
    assert [subject.file for subject in subjects] == [run, file, run]


def test_a_network_of_torchvision_takes_images_of_the_size_and_gives_the_classes(
    tiny_config: Config, tmp_path: Path
) -> None:
    state = torch.get_rng_state()
    (subject,) = find_subjects(
        ["torchvision:squeezenet1_1:size_px=32,classes=7"], (SPEC,), tiny_config.runs, tmp_path, Quiet()
    )
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
        find_subjects([name], (SPEC,), tiny_config.runs, tmp_path, Quiet())


def test_what_can_be_refused_is_before_anything_is_exported(tiny_config: Config, tmp_path: Path) -> None:
    names = ["torchvision:squeezenet1_1:size_px=32", str(tmp_path / "none.onnx")]
    with pytest.raises(MissingStage, match=r"none\.onnx does not exist"):
        find_subjects(names, (SPEC,), tiny_config.runs, tmp_path, Quiet())
    with pytest.raises(MissingStage, match=r"Run nastool export --run nobody first"):
        find_subjects([*names[:1], "run:nobody"], (SPEC,), tiny_config.runs, tmp_path, Quiet())
    assert not list(tmp_path.glob("*.onnx"))


def test_a_file_of_another_batch_is_refused(tiny_config: Config, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    images, logits = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "fixed", [images], [logits])
    onnx.save(helper.make_model(graph), tmp_path / "fixed.onnx")
    with pytest.raises(BadModel, match="takes batches of 3 only"):
        find_subjects([str(tmp_path / "fixed.onnx")], (SPEC,), tiny_config.runs, tmp_path, Quiet())


def test_each_file_on_each_backend_in_its_own_precision(file: Path, tiny_config: Config, tmp_path: Path) -> None:
    places = places_of(["onnxruntime@cpu", "fake:noise=0.1"], SPEC)
    subjects = find_subjects([str(file), str(file)], places, tiny_config.runs, tmp_path, Quiet())
    assert [(subject.target.spec.backend, subject.target.spec.device) for subject in subjects] == [
        ("onnxruntime", "cpu"),
        ("fake:noise=0.1", "cpu"),
    ] * 2
    assert {subject.target.target.precision for subject in subjects} == {"fp32"}
    assert {subject.target.target.batch for subject in subjects} == {8}


def test_places() -> None:
    spec = TargetSpec(backend="fake", device="gpu1")
    assert places_of([], spec) == (spec,)
    assert [(place.backend, place.device) for place in places_of(["tensorrt", "onnxruntime@cpu"], spec)] == [
        ("tensorrt", "gpu1"),
        ("onnxruntime", "cpu"),
    ]
    for text in ("", "@", "@cpu", "fake@"):
        with pytest.raises(BadConfig, match=r"has no name\. Write it as onnxruntime, or with a device"):
            places_of([text], spec)


def test_an_estimate_is_no_timing() -> None:
    with pytest.raises(BadConfig, match="titanxp would only be estimated"):
        places_of([], TargetSpec(device="titanxp", estimate=True))


def test_what_can_not_run_is_refused_before_anything_is_exported(tiny_config: Config, tmp_path: Path) -> None:
    places = places_of(["onnxruntime", "tensorrt@cpu"], SPEC)
    with pytest.raises(BackendUnavailable, match="the backend tensorrt runs on a GPU, and the device cpu is a CPU"):
        find_subjects(["torchvision:squeezenet1_1:size_px=32"], places, tiny_config.runs, tmp_path, Quiet())
    assert not list(tmp_path.glob("*.onnx"))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="ONNX Runtime has fp16 kernels for other CPUs")
def test_a_file_of_a_precision_that_is_not_computed_here_is_named(
    file: Path, tiny_config: Config, tmp_path: Path
) -> None:
    half = tmp_path / "half.onnx"
    export_onnx(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), torch.zeros(2, 1, 8, 8), half, precision="fp16")
    with pytest.raises(BackendUnavailable) as caught:
        find_subjects([str(file), str(half)], places_of([], SPEC), tiny_config.runs, tmp_path, Quiet())
    assert str(caught.value).startswith(f"{half} cannot be timed on cpu: onnxruntime computes fp16 files in fp32")
    assert str(caught.value).endswith("Leave it out, or bench it on a GPU (--device gpu0)")
    fakes = places_of(["fake"], SPEC)
    assert len(find_subjects([str(file), str(half)], fakes, tiny_config.runs, tmp_path, Quiet())) == 2


def test_an_engine_is_timed_on_its_own_runtime_and_gpu_alone(
    file: Path, tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever backends the ONNX files are timed on. The GPU is made up, and so is what could run on it."""
    engine = tmp_path / "model.sm86.engine"
    engine.write_bytes(b"ftrt" + bytes(100))
    gpu = Device("rtx3090", "gpu", "NVIDIA GeForce RTX 3090", 10496, capability="8.6")
    monkeypatch.setattr(engine_file, "attached", lambda: (find("cpu"), gpu))

    def resolve(spec: TargetSpec) -> ReadyTarget:
        cpu = ready_target(replace(spec, device="cpu", backend="fake"))
        return replace(cpu, device=gpu if spec.device == "rtx3090" else cpu.device, spec=spec)

    monkeypatch.setattr(subjects, "ready_target", resolve)
    places = places_of(["onnxruntime", "fake"], SPEC)
    *others, subject = find_subjects([str(file), str(engine)], places, tiny_config.runs, tmp_path, Quiet())
    assert [subject.target.spec.backend for subject in others] == ["onnxruntime", "fake"]
    assert subject.is_engine
    assert (subject.target.spec.backend, subject.target.spec.device, subject.target.target.precision) == (
        "tensorrt",
        "rtx3090",
        "unknown",
    )


def test_a_damaged_engine_is_refused(tiny_config: Config, tmp_path: Path) -> None:
    (tmp_path / "model.engine").write_bytes(b"vtrt" + bytes(100))
    with pytest.raises(EngineFailed, match=r"model\.engine is damaged"):
        find_subjects([str(tmp_path / "model.engine")], (SPEC,), tiny_config.runs, tmp_path, Quiet())
