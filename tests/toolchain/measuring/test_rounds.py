"""Which figures can be trusted, on a simulated device whose truth is known."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporters import backends
from exporters.agent import session
from exporters.agent.throttling import Throttling
from exporters.backends import fake
from exporters.graph import anchor
from exporters.graph.anchor import write_anchor
from latency_db.table import Sample, Summary, round_ms, summarize
from toolchain.measuring.idle import IdleWaiter
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.rounds import (
    NO_ROUNDS,
    Round,
    on_target,
    summaries_of,
    summarize_files,
    time_rounds,
    time_until_stable,
)
from toolchain.measuring.target import ReadyTarget, ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.measuring.timed_file import TimedFile
from toolchain.progress import Quiet

BATCH, ROUNDS = 8, 8


class Log(Quiet):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def save(path: Path, channels: int) -> Path:
    """A 1 x 1 convolution, written by hand: quicker than an export."""
    weight = numpy_helper.from_array(np.zeros((channels, channels, 1, 1), np.float32), "w")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, 16, 16]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Six parts of 0.2 to 5 ms on the fake device."""
    folder = tmp_path_factory.mktemp("files")
    return {str(c): save(folder / f"{c}.onnx", c) for c in (48, 64, 96, 128, 160, 224)}


@pytest.fixture(scope="module")
def truth(files: dict[str, Path]) -> dict[str, float]:
    return {key: fake.latency_ms(path, BATCH) for key, path in files.items()}


@pytest.fixture(scope="module")
def anchor_ms(tmp_path_factory: pytest.TempPathFactory) -> float:
    path = tmp_path_factory.mktemp("anchor") / "anchor.onnx"
    write_anchor(path)
    return fake.latency_ms(path, anchor.BATCH)


PLAN = MeasurementPlan(ROUNDS, min_ms=40.0, quiet_timeout_s=0.0)
DB = "latency.sqlite"  # a local file: the lock is not the table's


def on(settings: str) -> ReadyTarget:
    return ready_target(TargetSpec(backend=f"fake:{settings}" if settings else "fake", batch=BATCH))


def timed(
    files: dict[str, Path], target: ReadyTarget, log: Log, seed: int = 0, done: Mapping[int, Round] = NO_ROUNDS
) -> Iterator[tuple[int, Round]]:
    return time_until_stable(on_target(files, target), replace(PLAN, seed=seed), DB, log, "time", done)


def summaries(files: dict[str, Path], target: ReadyTarget, seed: int = 0) -> dict[str, Summary]:
    return summarize_files(files, target, replace(PLAN, seed=seed), DB, Quiet())


def far_off(measured: float, true: float) -> bool:
    return abs(measured / true - 1) > 0.05


@pytest.mark.parametrize("settings", ["", "noise=0.02", "noise=0.02,drift=0.1"])
@pytest.mark.parametrize("seed", range(5))
def test_a_device_without_bursts_is_never_doubted(
    files: dict[str, Path], truth: dict[str, float], settings: str, seed: int
) -> None:
    target, log = on(f"{settings},seed={seed}" if settings else ""), Log()
    rounds = dict(timed(files, target, log, seed))
    assert sorted(rounds) == list(range(ROUNDS))
    assert log.lines == []
    result = summaries(files, target, seed)
    assert {summary.unstable for summary in result.values()} == {""}
    if "drift" not in settings:  # the least of 64 draws of 2 % noise is within a thousandth of the truth
        assert {key: s.latency_ms for key, s in result.items()} == pytest.approx(truth, rel=2e-3)


@pytest.mark.parametrize("visible", [0, 1])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_what_bursts_spoil_is_marked(
    files: dict[str, Path], truth: dict[str, float], share: float, visible: int
) -> None:
    """Nobody can tell a device that throttles in each round of a part, invisibly, from one that is slow. That is so
    rare at these shares (0.8 ** 16 is 3 %) that the anchor network's time, then as slow, is all there is."""
    doubted = wrong = 0
    for seed in range(12):
        target = on(f"noise=0.01,burst={share},burst_slower=1.5,burst_visible={visible},seed={seed}")
        for key, summary in summaries(files, target, seed).items():
            off = far_off(summary.latency_ms, truth[key])
            doubted += bool(summary.unstable)
            wrong += off and not summary.unstable
            if visible:
                assert not (off and not summary.unstable)
    assert wrong <= 72 * share**ROUNDS
    assert doubted or share < 0.8


def test_throttling_of_a_cpu_is_said_and_marked(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a Raspberry Pi with a weak power supply."""
    firmware = tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled"
    firmware.parent.mkdir(parents=True)
    firmware.write_text("1\n")
    monkeypatch.setattr(session, "throttling", lambda: Throttling(tmp_path))
    target, log = ready_target(TargetSpec(batch=BATCH)), Log()
    timed_files = on_target(files, target)
    rounds = dict(time_until_stable(timed_files, MeasurementPlan(2, 1.0, 0.0), DB, log, "time"))
    assert len(rounds) == 4, "they are repeated"
    assert "slowed down by under-voltage in 2 of 2 rounds" in log.lines[0]
    assert log.lines[-1].startswith("still unstable, and marked as such: ")
    for summary in summaries_of(timed_files, rounds).values():
        assert "slowed down by under-voltage in 4 of 4 rounds" in summary.unstable


def test_what_is_doubted_is_measured_again_alone_and_the_reference_with_it(files: dict[str, Path]) -> None:
    rounds = dict(timed(files, on("burst=0.8,seed=2"), Log()))
    further = {number: round_.keys() for number, round_ in rounds.items() if number >= ROUNDS}
    assert sorted(rounds) == list(range(len(rounds)))
    assert len(rounds) <= 2 * ROUNDS
    for number, keys in further.items():
        before = {n: r for n, r in rounds.items() if n < number}
        doubted = {key for key in files if summarize([r[key] for r in before.values() if key in r], threads=1).unstable}
        assert keys == doubted | {anchor.KEY}
    assert further


def test_a_killed_measurement_resumes_with_the_same_plan(files: dict[str, Path]) -> None:
    target = on("burst=0.9,seed=5")
    whole = dict(timed(files, target, Log()))
    assert len(whole) > ROUNDS + 1
    for kept in (3, ROUNDS, len(whole) - 1):
        done = {number: whole[number] for number in range(kept)}
        number, round_ = next(timed(files, target, Log(), done=done))
        assert number == kept
        assert round_.keys() == whole[kept].keys()


def test_plain_rounds_have_the_reference_and_its_time(files: dict[str, Path], anchor_ms: float) -> None:
    target = on("")
    works = {key: TimedFile(file, target) for key, file in files.items()}
    rounds = dict(time_rounds(works, replace(PLAN, rounds=3), DB, Quiet(), "time"))
    assert sorted(rounds) == [0, 1, 2]
    for round_ in rounds.values():
        assert round_.keys() == files.keys() | {anchor.KEY}
        assert [sample.anchor_ms for sample in round_.values()] == pytest.approx([anchor_ms] * 7)


def test_the_anchor_network_reveals_a_machine_that_is_slower_today(
    files: dict[str, Path], truth: dict[str, float], anchor_ms: float
) -> None:
    """Drift of up to 20 % between two measurements; corrected, 1 % is left of it (what drifts during a round)."""
    worst = 0.0
    for seed in range(8):
        for key, summary in summaries(files, on(f"drift=0.2,seed={seed}")).items():
            worst = max(worst, summary.latency_ms / truth[key] - 1)
            assert summary.at_speed_of(anchor_ms) == pytest.approx(truth[key], rel=0.01)
    assert worst > 0.1


def test_on_a_gpu_rounds_are_brought_to_one_speed() -> None:
    """Half of the rounds are taken a quarter of a minute later, when the device has become slower."""
    device = fake.Backend(drift=0.2, seed=1)
    part, beside = device.simulate(2.0), device.simulate(8.0)
    samples = []
    for number in range(8):
        if number == 4:
            device.simulate(1.0).time(15_000.0)
        took, reference_took = part.time(40.0), beside.time(40.0)
        samples.append(Sample(**vars(took), anchor_ms=reference_took.busy_ms_median))
    raw = [round_ms(sample, 1, "gpu") for sample in samples]
    assert max(raw) > 1.05 * min(raw)
    summary = summarize(samples, 1, "gpu")
    assert summary.unstable == ""
    assert summary.latency_ms / summary.anchor_ms == pytest.approx(2.0 / 8.0, rel=0.005)
    assert summarize([Sample(**vars(s) | {"anchor_ms": None}) for s in samples], 1, "gpu").unstable.startswith(
        "rounds vary by "
    )


def watch(settings: str, patience_s: float, log: Log) -> IdleWaiter:
    beside = backends.load(f"fake:{settings}").simulate(8.0)  # type: ignore[attr-defined]
    return IdleWaiter(beside, patience_s, threads=1, kind="cpu", progress=log)


@pytest.mark.parametrize("settings", ["burst=0.5", "burst=0.5,burst_visible=0"])
def test_waits_until_the_device_is_quiet(settings: str) -> None:
    waits = 0
    for seed in range(8):
        log = Log()
        waiting = watch(f"{settings},seed={seed}", 60.0, log)
        waiting.wait(least_ms=8.0)
        assert not any("still busy" in line for line in log.lines)
        waits += bool(log.lines)
    assert waits >= 2  # half of the time there is nothing to wait for


def test_patience_is_bounded_over_all_waits() -> None:
    log = Log()
    waiting = watch("burst=1", 2.0, log)
    waiting.wait(least_ms=8.0)
    assert log.lines[0].startswith("the machine is busy (the device throttled): waiting at most ")
    assert log.lines[1] == "still busy after a total wait of 2 s: continuing"
    waiting.wait(least_ms=8.0)
    assert len(log.lines) == 2


def test_a_real_runtime_gives_the_same_kind_of_figures(files: dict[str, Path]) -> None:
    target, plan = ready_target(TargetSpec(batch=2)), MeasurementPlan(3, min_ms=2.0, quiet_timeout_s=0.0)
    few = {key: files[key] for key in ("48", "224")}
    result = summarize_files(few, target, plan, DB, Quiet())
    assert result["48"].latency_ms < result["224"].latency_ms  # 22 times the work
    for summary in result.values():
        assert 0 < summary.min_ms <= summary.median_ms <= summary.p90_ms
        assert summary.latency_ms >= summary.min_ms
        assert summary.rounds >= 3
        assert summary.n >= 3 * summary.rounds
        assert summary.anchor_ms > 0


def test_each_backend_has_a_reference_of_its_own(
    files: dict[str, Path], truth: dict[str, float], anchor_ms: float
) -> None:
    """And a clock of its own; ONNX Runtime, which is real, runs in the same rounds."""
    targets = [on(""), on("slowdown=0.5"), ready_target(TargetSpec(backend="onnxruntime", batch=BATCH))]
    works = {f"{key} {t.spec.backend}": TimedFile(files[key], t) for key in ("48", "224") for t in targets}
    ((_, round_),) = time_rounds(works, replace(PLAN, rounds=1, min_ms=5.0), DB, Quiet(), "")
    assert round_.keys() == {*works, "anchor", "anchor 1", "anchor 2"}
    for key in ("48", "224"):
        assert round_[f"{key} fake"].busy_ms_min == pytest.approx(truth[key])
        assert round_[f"{key} fake:slowdown=0.5"].busy_ms_min == pytest.approx(1.5 * truth[key])
        assert round_[f"{key} fake"].anchor_ms == pytest.approx(anchor_ms)
        assert round_[f"{key} fake:slowdown=0.5"].anchor_ms == pytest.approx(1.5 * anchor_ms)
        assert round_[f"{key} onnxruntime"].anchor_ms == round_["anchor 2"].busy_ms_min
