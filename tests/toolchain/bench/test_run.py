"""Files side by side on the device whose latency is known."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from exporters.backends.fake import latency_ms
from exporters.to_onnx import export_onnx, graph_hash
from latency_db.table import Sample
from toolchain.bench import run
from toolchain.bench.accuracy import Accuracy
from toolchain.bench.run import Bench, bench, points_of
from toolchain.bench.subjects import Subject
from toolchain.config import ProfileConfig
from toolchain.errors import BadConfig, Inconclusive
from toolchain.progress import Quiet

FAKE = ProfileConfig(backend="fake", batch=8, min_ms=1.0)


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> tuple[Subject, ...]:
    """One layer, three layers, and the first again."""
    folder = tmp_path_factory.mktemp("files")
    for layers in (1, 3):
        net = nn.Sequential(*[nn.Conv2d(1, 1, 3) for _ in range(layers)], nn.Flatten())
        export_onnx(net, torch.zeros(2, 1, 16, 16), folder / f"{layers}.onnx")
    return tuple(Subject(name, folder / f"{name[0]}.onnx") for name in ("1", "3", "1"))


def benched(subjects: tuple[Subject, ...], rounds: int = 9, **scores: Accuracy | str) -> Bench:
    return bench(subjects, FAKE, rounds, 0.99, 0, Quiet(), scores)


def test_latencies_and_ratios_to_the_first(subjects: tuple[Subject, ...]) -> None:
    found = benched(subjects)
    one, three = (latency_ms(subject.file, 8) for subject in subjects[:2])
    assert [entry.latency_ms.middle for entry in found.entries] == [one, three, one]
    assert [entry.ratio.middle for entry in found.entries] == pytest.approx([1.0, three / one, 1.0])
    assert found.entries[1].ratio.low == pytest.approx(three / one)  # the device is steady
    assert found.entries[1].mad_ms == 0.0
    assert (found.rounds, found.disturbed, found.context.batch) == (9, (), 8)


def test_the_answer_is_json_with_the_codes_words(subjects: tuple[Subject, ...]) -> None:
    told = json.loads(json.dumps(benched(subjects, **{"3": Accuracy(0.75, 4), "1": "unknown: why"}).as_dict()))
    assert told["schema_version"] == 1
    one, three, _ = told["entries"]
    assert (one["accuracy"], one["accuracy_note"]) == (None, "unknown: why")
    assert (three["accuracy"], three["accuracy_images"], three["accuracy_note"]) == (0.75, 4, "")
    assert one["graph_hash"] == graph_hash(subjects[0].file)
    assert one["file_bytes"] == subjects[0].file.stat().st_size


def test_points_of_the_picture(subjects: tuple[Subject, ...]) -> None:
    one, three, _ = points_of(benched(subjects, **{"3": Accuracy(0.5, 100)}))
    assert one.accuracy is None
    assert three.accuracy == (0.5, 0.05)  # sqrt(0.5 * 0.5 / 100)
    assert three.ends_ms == (three.latency_ms, three.latency_ms)


def test_too_few_rounds_bound_nothing(subjects: tuple[Subject, ...]) -> None:
    with pytest.raises(BadConfig, match=r"7 rounds bound nothing at 99 %\. Give --rounds 8 or more"):
        benched(subjects, rounds=7)


def test_an_estimate_is_no_timing(subjects: tuple[Subject, ...]) -> None:
    estimate = ProfileConfig(device="titanxp", estimate=True)
    with pytest.raises(BadConfig, match="titanxp is only estimated here"):
        bench(subjects, estimate, 9, 0.99, 0, Quiet(), {})


def test_disturbed_rounds_do_not_count(subjects: tuple[Subject, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of three rounds are throttled, and ten times as slow; of 30 that leaves 10, of 9 too few."""

    def rounds_of(files: dict[str, Path], *_: object, **__: object) -> Iterator[tuple[int, dict[str, Sample]]]:
        for number in range(30):
            slow, why = (10.0, "throttled") if number % 3 else (1.0, "")
            yield number, {key: Sample(1, slow, slow, slow, slow, (slow,), why) for key in files}

    monkeypatch.setattr(run, "rounds_of", rounds_of)
    found = benched(subjects, rounds=30)
    assert (found.rounds, len(found.disturbed)) == (10, 20)
    assert found.entries[0].latency_ms.middle == 1.0
    monkeypatch.setattr(run, "rounds_of", lambda *given, **_: (pair for pair in rounds_of(*given) if pair[0] < 9))
    with pytest.raises(Inconclusive, match=r"6 of 9 rounds were disturbed \(the last: throttled\)"):
        benched(subjects, rounds=9)
