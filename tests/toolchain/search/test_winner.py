"""Files of a search as nastool 0.1.0 wrote them, made by hand from its keys."""

import json
from pathlib import Path

import numpy as np
import pytest

from toolchain.errors import BadDocument
from toolchain.runs import Run
from toolchain.search.journal import Journal
from toolchain.search.measured import MeasuredLine
from toolchain.search.scores import CandidateLine, pack, unpack
from toolchain.search.winner import select_architecture
from toolchain.spaces.core import SearchSpace
from toolchain.training.retrained import read_retrained

KEYS = ["choice_3", "choice_5", "choice_7", "choice_x"]
BEST = {
    "architecture": KEYS,
    "holdout_accuracy": 0.75,
    "macs": 30000,
    "params": 3000,
    "bitops": 30720000,
    "weight_bits": 96000,
    "latency_ms": 0.9,
    "latency_margin": 0.02,
    "latency_upper_ms": 0.918,
    "measured_latency_ms": 0.91,
    "measured_upper_ms": 0.92,
    "measured_unstable": "",
    "measured_reference_ms": 0.0,
    "calibration": None,
    "estimate": False,
    "not_measured": "",
    "limits": {"latency_ms": 1.0},
    "context": "0123456789abcdef",
    "conventions": {"macs": "multiply-adds"},
    "passed_over": [],
    "evaluations": 18,
    "data": "digits",
    "data_digest": "fedcba9876543210",
}


@pytest.fixture
def run(tmp_path: Path, tiny_space: SearchSpace) -> Run:
    run = Run(tmp_path / "r")
    run.best.parent.mkdir(parents=True)
    run.best.write_text(json.dumps(BEST | {"space": tiny_space.name, "space_digest": tiny_space.digest}))
    return run


def test_best_json_of_0_1_0(run: Run, tiny_space: SearchSpace) -> None:
    selected = select_architecture(None, None, tiny_space, run)
    assert list(selected.architecture.choices) == KEYS
    assert (selected.limits, selected.target, selected.anchor_ms) == ({"latency_ms": 1.0}, "0123456789abcdef", None)


def test_journals_of_0_1_0(run: Run, tiny_space: SearchSpace) -> None:
    head = {"context": {"seed": 0}}
    scored = {"architecture": KEYS, "accuracy": 0.75, "strategy": "evolution", "generation": 0, "origin": "random"}
    raced = scored | {"right": "4:4A=="}
    timed = {"architecture": KEYS, "time": 0, "latency_ms": 0.9, "upper_ms": 0.92, "reference_ms": 0.0, "context": "a"}
    run.candidates.write_text("".join(json.dumps(line) + "\n" for line in (head, scored, raced)))
    run.measured.write_text("".join(json.dumps(line) + "\n" for line in (head, timed)))
    first, second = Journal(run.candidates, {"seed": 0}, CandidateLine, tiny_space).lines
    assert (first.accuracy, first.correct) == (0.75, None)
    assert second.score.correct is not None
    assert second.score.correct.tolist() == [True, True, True, False]
    (measured,) = Journal(run.measured, {"seed": 0}, MeasuredLine, tiny_space).lines
    assert (measured.target, measured.anchor_ms, measured.unstable) == ("a", None, "")


def test_result_json_of_0_1_0(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    result = {"architecture": KEYS, "space": "s", "test_accuracy": 0.9, "holdout_accuracy": 0.8, "steps": 39}
    path.write_text(json.dumps(result | {"belongs": {"seed": 0}}))
    assert read_retrained(path).fingerprint == {"seed": 0}


@pytest.mark.parametrize("text", ["4:", "99999999999999:4A==", "-4:4A==", "4:4A", "4:" + "A" * 400, "x:4A==", "4"])
def test_damaged_flags_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"flags|padding|base64|Base64|multiple of 4"):
        unpack(text)


def test_flags_read_back() -> None:
    for count in (1, 7, 8, 9, 700):
        flags = np.arange(count) % 3 == 0
        assert unpack(pack(flags)).tolist() == flags.tolist()


def test_an_architecture_of_another_space_is_damage(run: Run, tiny_space: SearchSpace) -> None:
    content = json.loads(run.best.read_text()) | {"architecture": ["choice_9"] * 4}
    run.best.write_text(json.dumps(content))
    with pytest.raises(BadDocument, match=r"best\.json is damaged: architecture: .* Remove it and run nastool search"):
        select_architecture(None, None, tiny_space, run)
