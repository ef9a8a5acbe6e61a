"""The exported folder of the main job: what the file computes, what it says of itself, its manifest."""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

Nastool = Callable[..., Any]


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_exported_file_runs(batch: int, finished_job: Any) -> None:
    session = onnxruntime.InferenceSession(
        finished_job.folder / "runs/r/export/model.onnx", providers=["CPUExecutionProvider"]
    )
    images = np.random.default_rng(0).standard_normal((batch, 1, 16, 16), dtype=np.float32)
    (logits,) = session.run(None, {"images": images})
    assert logits.shape == (batch, 10)
    (alone,) = session.run(None, {"images": images[:1]})
    # single precision: the runtime may sum in another order at another batch size
    np.testing.assert_allclose(logits[:1], alone, rtol=1e-4, atol=1e-5)


def test_exported_file_says_what_it_is(finished_job: Any) -> None:
    model = onnx.load(finished_job.folder / "runs/r/export/model.onnx")
    said = {entry.key.removeprefix("nastool."): json.loads(entry.value) for entry in model.metadata_props}
    best = finished_job.answers["search"].json
    assert said["architecture"] == best["architecture"]
    assert said["space"] == best["space"]
    assert said["costs"] == {name: best[name] for name in said["costs"]}
    assert {"macs", "params", "latency_ms"} <= set(said["costs"])
    assert said["classes"] == [str(digit) for digit in range(10)]
    assert said["preprocessing"]["size_px"] == 16
    assert (said["preprocessing"]["mean"], said["preprocessing"]["std"]) == ([0.5], [0.5])


def test_manifest_matches_the_file(finished_job: Any) -> None:
    folder = finished_job.folder / "runs/r/export"
    names = ["check.json", "labels.txt", "manifest.json", "model.onnx", "predict.py", "preprocessing.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    manifest = json.loads((folder / "manifest.json").read_text())
    content = (folder / "model.onnx").read_bytes()
    listed = manifest["files"]["model.onnx"]
    assert listed == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert manifest["parity"]["top1_agreement"] == 1.0
    assert manifest["parity"]["batches"] == [1, 2, 32]
    assert {"schema_version": 1, **manifest} == finished_job.answers["export"].json


def test_manifest_records_the_training_of_its_weights(finished_job: Any) -> None:
    (weights,) = finished_job.folder.glob("runs/r/retrain/*/best.pt")
    training = finished_job.answers["export"].json["training"]
    assert training["steps"] == finished_job.answers["retrain"].json["steps"]
    assert {key: training[key] for key in training if key != "steps"} == torch.load(weights, weights_only=True)[
        "fingerprint"
    ]
    assert (training["data"], training["seed"], training["holdout_per_class"]) == ("digits", 0, 20)
    assert re.fullmatch("[0-9a-f]{16}", training["training_images"])
    assert (training["recipe"]["epochs"], training["recipe"]["batch"]) == (1, 32)  # the changes
    assert {"lr", "momentum", "weight_decay", "label_smoothing", "augmentation"} <= set(
        training["recipe"]
    )  # the preset
