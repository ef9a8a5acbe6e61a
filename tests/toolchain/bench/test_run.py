"""`nastool bench` on the fake device, whose latency is known."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from exporters.backends.fake import Backend, latency_ms
from exporters.graph.model import Model
from exporters.graph.to_onnx import export_onnx
from exporters.manifest import sha256
from latency_db.table import Sample
from toolchain.bench import run
from toolchain.bench.results import Accuracy
from toolchain.bench.run import Bench, BenchSettings, bench, points_of
from toolchain.bench.subjects import Subject
from toolchain.errors import BadConfig, Inconclusive
from toolchain.measuring.target import ReadyTarget, ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.measuring.timed_file import TimedFile
from toolchain.progress import Quiet

FAKE = ready_target(TargetSpec(backend="fake", batch=8))
SLOWER = ready_target(TargetSpec(backend="fake:slowdown=0.5", batch=8))
ORT = ready_target(TargetSpec(backend="onnxruntime", batch=8))


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> tuple[Subject, ...]:
    """One layer, three layers, and the first again."""
    folder = tmp_path_factory.mktemp("files")
    for layers in (1, 3):
        net = nn.Sequential(*[nn.Conv2d(1, 1, 3) for _ in range(layers)], nn.Flatten())
        export_onnx(net, torch.zeros(2, 1, 16, 16), folder / f"{layers}.onnx")
    return tuple(Subject(name, Model(folder / f"{name[0]}.onnx"), FAKE) for name in ("1", "3", "1"))


def settings(rounds: int) -> BenchSettings:
    return BenchSettings(rounds, confidence=0.99, min_ms=1.0, seed=0, db="latency.sqlite")


def benched(subjects: Sequence[Subject], rounds: int = 9, **scores: Accuracy | str) -> Bench:
    by_subject = {subject: scores[subject.name] for subject in subjects if subject.name in scores}
    return bench(subjects, settings(rounds), by_subject, Quiet())


def on(subject: Subject, *targets: ReadyTarget) -> list[Subject]:
    return [replace(subject, target=target) for target in targets]


def test_latencies_and_ratios_to_the_first(subjects: tuple[Subject, ...]) -> None:
    result = benched(subjects)
    one, three = (latency_ms(subject.file, 8) for subject in subjects[:2])
    assert [entry.latency_ms.middle for entry in result.entries] == [one, three, one]
    assert [entry.ratio.middle for entry in result.entries] == pytest.approx([1.0, three / one, 1.0])
    assert result.entries[1].ratio.low == pytest.approx(three / one)  # the device is steady
    assert result.entries[1].mad_ms == 0.0
    assert (result.rounds, result.noisy_rounds, result.entries[0].target.batch) == (9, (), 8)


def test_each_backend_in_the_same_rounds(subjects: tuple[Subject, ...]) -> None:
    """Two fake devices, one 1.5 times as slow, and the real ONNX Runtime."""
    one, three = subjects[:2]
    result = benched([*on(one, FAKE, SLOWER, ORT), *on(three, FAKE, SLOWER, ORT)])
    ms = {(entry.name, entry.backend): entry.latency_ms.middle for entry in result.entries}
    first = latency_ms(one.file, 8)
    assert ms[("1", "fake")] == first
    assert ms[("1", "fake:slowdown=0.5")] == pytest.approx(1.5 * first)
    assert ms[("3", "fake:slowdown=0.5")] == pytest.approx(1.5 * latency_ms(three.file, 8))
    ratios = [entry.ratio.middle for entry in result.entries]
    assert ratios[1] == pytest.approx(1.5)
    real = [entry for entry in result.entries if entry.backend == "onnxruntime"]
    assert [entry.target.backend for entry in real] == ["onnxruntime"] * 2
    assert all(entry.median_ms != latency_ms(subjects[0].file, 8) for entry in real)
    assert result.places == ("fake@cpu", "fake:slowdown=0.5@cpu", "onnxruntime@cpu")


def test_points_and_json_name_the_backend(subjects: tuple[Subject, ...]) -> None:
    result = benched(on(subjects[0], FAKE, SLOWER, ORT))
    assert [point.name for point in points_of(result)] == [
        "1, fake@cpu",
        "1, fake:slowdown=0.5@cpu",
        "1, onnxruntime@cpu",
    ]
    document = json.loads(json.dumps(result.as_dict()))
    fake, slower, ort = document["entries"]
    assert [entry["backend"] for entry in document["entries"]] == ["fake", "fake:slowdown=0.5", "onnxruntime"]
    assert document["targets"][ort["target"]]["backend"] == "onnxruntime"
    assert document["targets"][fake["target"]]["backend"] == "fake"
    assert (ort["device"], slower["device"]) == ("cpu", "cpu")


def test_the_default_backend_is_named(subjects: tuple[Subject, ...]) -> None:
    (entry,) = benched(on(subjects[0], ready_target(TargetSpec(batch=8)))).entries
    assert entry.place == "onnxruntime@cpu"


def test_accuracy_is_per_backend(subjects: tuple[Subject, ...]) -> None:
    one, other = on(subjects[0], FAKE, ORT)
    result = bench([one, other], settings(9), {other: Accuracy(0.5, 4)}, Quiet())
    assert [entry.accuracy for entry in result.entries] == [None, Accuracy(0.5, 4)]


def test_the_file_of_an_engine_is_hashed_instead_of_its_graph(subjects: tuple[Subject, ...], tmp_path: Path) -> None:
    file = tmp_path / "model.engine"
    Backend().build(subjects[0].model, FAKE.compile_spec).save(file)
    (entry,) = benched([Subject("model.engine", Model(file), FAKE.for_precision("unknown"))]).entries
    assert (entry.graph_hash, entry.file_hash, entry.precision) == (None, sha256(file), "unknown")


def test_json_of_accuracies_and_hashes(subjects: tuple[Subject, ...]) -> None:
    document = json.loads(json.dumps(benched(subjects, **{"3": Accuracy(0.75, 4), "1": "unknown: why"}).as_dict()))
    assert document["schema_version"] == 2
    one, three, _ = document["entries"]
    assert (one["accuracy"], one["accuracy_note"]) == (None, "unknown: why")
    assert (three["accuracy"], three["accuracy_images"], three["accuracy_note"]) == (0.75, 4, "")
    assert one["graph_hash"] == Model(subjects[0].file).graph_hash
    assert one["file_hash"] == sha256(subjects[0].file)
    assert (one["backend"], one["device"]) == ("fake", "cpu")
    assert list(document["targets"]) == [one["target"]]
    assert one["file_bytes"] == subjects[0].file.stat().st_size


def test_points_of_the_picture(subjects: tuple[Subject, ...]) -> None:
    one, three, _ = points_of(benched(subjects, **{"3": Accuracy(0.5, 100)}))
    assert one.accuracy is None
    assert three.accuracy == pytest.approx((0.5, 0.4038, 0.5962), abs=1e-4)  # Wilson's interval of 50 in 100
    assert three.ends_ms == (three.latency_ms, three.latency_ms)


def test_too_few_rounds_for_an_interval(subjects: tuple[Subject, ...]) -> None:
    with pytest.raises(BadConfig, match=r"7 rounds are too few for intervals of 99 %\. Give --rounds 8 or more"):
        benched(subjects, rounds=7)


def test_noisy_rounds_do_not_count(subjects: tuple[Subject, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of three rounds are throttled, and ten times as slow; of 30 that leaves 10, of 9 too few."""

    def time_rounds(files: dict[str, TimedFile], *_: object) -> Iterator[tuple[int, dict[str, Sample]]]:
        for number in range(30):
            slow, why = (10.0, "throttled") if number % 3 else (1.0, "")
            yield number, {key: Sample(1, slow, slow, slow, slow, (slow,), why) for key in files}

    monkeypatch.setattr(run, "time_rounds", time_rounds)
    result = benched(subjects, rounds=30)
    assert (result.rounds, len(result.noisy_rounds)) == (10, 20)
    assert result.entries[0].latency_ms.middle == 1.0
    monkeypatch.setattr(run, "time_rounds", lambda *given: (pair for pair in time_rounds(*given) if pair[0] < 9))
    with pytest.raises(Inconclusive, match=r"6 of 9 rounds were noisy \(the last: throttled\)"):
        benched(subjects, rounds=9)
