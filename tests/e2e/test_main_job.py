"""The main job, end to end, on real data: every command once, in order, as a user runs them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image

COMMANDS = ("profile", "train", "search", "retrain", "export", "check")
Nastool = Callable[..., Any]


@pytest.mark.parametrize("command", COMMANDS)
def test_answers_with_one_json_document(command: str, finished_job: Any) -> None:
    answer = finished_job.answers[command]
    assert answer.code == 0, answer.stderr
    assert isinstance(answer.json, dict)  # json.loads accepts exactly one document
    assert answer.stderr, "progress goes to stderr"


def test_profile_has_every_variant(finished_job: Any) -> None:
    answer = finished_job.answers["profile"].json
    keys = {row["key"] for row in answer["rows"]}
    # 4 choices in each of the 4 different blocks, stem and head
    assert len(keys) == len(answer["rows"]) == 18
    assert all(row["latency_ms"] > 0 and row["rounds"] >= 2 and row["graph_hash"] for row in answer["rows"])
    assert answer["target"]["batch"] == 8
    assert (finished_job.folder / answer["db"]).exists()


def test_train_writes_a_supernet(finished_job: Any) -> None:
    answer = finished_job.answers["train"].json
    # digits: 1,797 images, every fifth of a class is a test image, 20 of each of 10 classes are held out
    assert (answer["training_images"], answer["holdout_images"]) == (1233, 200)
    assert answer["steps"] == round(1233 / 32)
    assert (finished_job.folder / answer["checkpoint"]).exists()


def test_winner_fits_the_limits(finished_job: Any) -> None:
    best = finished_job.answers["search"].json
    assert best["limits"] == {"latency_ms": 100.0, "macs": 31_000}
    assert best["macs"] <= 31_000
    assert 0 < best["measured_latency_ms"] <= 100.0
    assert 0 < best["latency_ms"] <= 100.0
    assert 0 <= best["holdout_accuracy"] <= 1
    written = json.loads((finished_job.folder / best["folder"] / "best.json").read_text())
    low, high = best["holdout_accuracy_interval"]
    assert 0 <= low <= best["holdout_accuracy"] <= high <= 1
    assert best["holdout_images"] == 200
    added = ("folder", "holdout_accuracy_interval", "holdout_images")
    assert best == {"schema_version": 1, **written, **{key: best[key] for key in added}}


def test_every_candidate_fits_the_limits(finished_job: Any, nastool: Nastool) -> None:
    lines = finished_job.journal
    assert len(lines) == finished_job.answers["search"].json["evaluations"]
    for line in lines[:4]:
        costs = nastool("cost", "--arch", " ".join(line["architecture"]), "--json", cwd=finished_job.folder).json
        assert costs["macs"] <= 31_000
        assert costs["latency_ms"] <= 100.0


def test_cost_and_search_report_the_same_costs(finished_job: Any, nastool: Nastool) -> None:
    best, manifest = finished_job.answers["search"].json, finished_job.answers["export"].json
    shown = nastool("cost", "--arch", " ".join(best["architecture"]), "--json", cwd=finished_job.folder).json
    names = ("macs", "params", "latency_ms")
    assert [shown[name] for name in names] == [best[name] for name in names]
    assert [manifest["costs"][name] for name in names] == [best[name] for name in names]


@pytest.mark.parametrize("name", ["generations", "accuracy_latency_ms", "accuracy_macs"])
def test_pictures(name: str, finished_job: Any) -> None:
    (path,) = (finished_job.folder / "runs/r/search").glob(f"*/{name}.png")  # each budget has a folder
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with Image.open(path) as image:
        assert 400 <= image.height <= 2000
        assert 600 <= image.width <= 2000
        colors = image.convert("RGB").getcolors(image.width * image.height)
    assert len(colors or ()) > 20, "nothing was drawn"


def test_retrain_names_the_file_of_weights(finished_job: Any) -> None:
    path = finished_job.folder / finished_job.answers["retrain"].json["weights"]
    assert torch.load(path, weights_only=True)["model"].keys()


def test_test_accuracy_is_that_of_the_winner(finished_job: Any) -> None:
    result, best = (finished_job.answers[name].json for name in ("retrain", "search"))
    assert result["architecture"] == best["architecture"]
    # 10 classes: chance is 10 %. One epoch of 39 steps is well above that for every seed tried.
    assert result["test_accuracy"] > 0.2
    assert finished_job.answers["export"].json["test_accuracy"] == result["test_accuracy"]
