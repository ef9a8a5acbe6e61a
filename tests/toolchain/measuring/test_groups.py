"""Files that do not fit in a device's memory together are timed in groups."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporters.devices.attached import Device
from exporters.errors import BackendUnavailable
from exporters.graph import anchor
from exporters.graph.footprint import CODE_BYTES
from exporters.graph.model import Model
from toolchain.measuring import groups
from toolchain.measuring.groups import groups_of, memory_for_files
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.rounds import NO_ROUNDS, Round, on_target, time_until_stable
from toolchain.measuring.target import ReadyTarget, ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.progress import Quiet

BATCH, ROUNDS = 8, 3
CHANNELS = (48, 64, 96, 128, 160, 224)
PLAN = MeasurementPlan(ROUNDS, 1.0, 0.0)


def save(path: Path, channels: int) -> Path:
    weight = numpy_helper.from_array(np.zeros((channels, channels, 1, 1), np.float32), "w")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, 16, 16]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | Model]:
    folder = tmp_path_factory.mktemp("files")
    return {str(c): Model(save(folder / f"{c}.onnx", c)) for c in CHANNELS}


def device(memory_mb: int) -> ReadyTarget:
    return ready_target(TargetSpec(backend=f"fake:memory_mb={memory_mb}", batch=BATCH))


def rounds_on(
    target: ReadyTarget, files: dict[str, Path | Model], done: dict[int, Round] | None = None
) -> dict[int, Round]:
    timed = on_target(files, target)
    return dict(time_until_stable(timed, PLAN, "latency.sqlite", Quiet(), "time", done or NO_ROUNDS))


def keys_of(rounds: dict[int, Round]) -> list[list[str]]:
    return [sorted(key for key in round_ if key != anchor.KEY) for round_ in rounds.values()]


def test_the_footprint_of_a_convolution(files: dict[str, Path | Model]) -> None:
    """Weights once; of each image the ends of the graph, and the layer's again with as much workspace."""
    model = files["48"]
    assert isinstance(model, Model)
    tensor = 48 * 16 * 16 * 4
    assert model.footprint.fixed_bytes == CODE_BYTES + 48 * 48 * 4
    assert model.footprint.image_bytes == 2 * tensor + 2 * 2 * tensor
    assert model.footprint.at(8) - model.footprint.at(7) == model.footprint.image_bytes


def test_groups_fit_in_half_of_the_memory(files: dict[str, Path | Model]) -> None:
    assert [list(group) for group in groups_of(on_target(files, device(120)))] == [
        ["48", "64", "96"],
        ["128", "160"],
        ["224"],
    ]
    assert [list(group) for group in groups_of(on_target(files, device(400)))] == [list(files)]
    assert [list(group) for group in groups_of(on_target(files, device(1)))] == [[key] for key in files], (
        "alone, whatever it takes"
    )
    assert [list(group) for group in groups_of(on_target(files, device(0)))] == [list(files)], "no limit"


def test_the_memory_of_a_gpu_is_its_drivers(files: dict[str, Path | Model]) -> None:
    cpu = ready_target(TargetSpec(batch=BATCH))
    assert memory_for_files(cpu) is None
    gpu = Device("titanxp", "gpu", "NVIDIA TITAN Xp", 3840, memory_bytes=12 * 2**30)
    assert memory_for_files(replace(cpu, device=gpu)) == 6 * 2**30
    assert memory_for_files(replace(cpu, device=replace(gpu, memory_bytes=0))) is None


def test_each_group_has_its_rounds_and_the_anchor(files: dict[str, Path | Model]) -> None:
    rounds = rounds_on(device(120), files)
    assert list(rounds) == list(range(3 * ROUNDS))
    expected = [["48", "64", "96"]] * ROUNDS + [["128", "160"]] * ROUNDS + [["224"]] * ROUNDS
    assert keys_of(rounds) == expected
    assert all(sample.anchor_ms for round_ in rounds.values() for sample in round_.values())


def test_all_files_at_once_would_not_fit(files: dict[str, Path | Model], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "SHARE", 100.0)
    with pytest.raises(BackendUnavailable, match=r"bytes of memory free, and \d+ are needed. Use a smaller batch"):
        rounds_on(device(120), files)


def test_latencies_do_not_depend_on_the_groups(files: dict[str, Path | Model]) -> None:
    together, apart = rounds_on(device(0), files), rounds_on(device(120), files)
    for key in files:
        one, other = (
            {round_[key].busy_ms_min for round_ in rounds.values() if key in round_} for rounds in (together, apart)
        )
        assert one == other


@pytest.mark.parametrize("completed", range(3 * ROUNDS + 1))
def test_resumes_in_the_group_in_which_it_was_killed(completed: int, files: dict[str, Path | Model]) -> None:
    target = device(120)
    whole = rounds_on(target, files)
    stored = {
        number: {key: sample for key, sample in whole[number].items() if key in files} for number in range(completed)
    }
    rest = rounds_on(target, files, stored)
    assert list(rest) == list(range(completed, 3 * ROUNDS))
    assert keys_of(rest) == keys_of(whole)[completed:]
    assert [sorted(round_) for round_ in rest.values()] == [sorted(round_) for round_ in whole.values()][completed:]
