"""The main job, end to end, on real data: every command once, in order, as a user runs them."""

import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from matplotlib.image import imread
from PIL import Image, ImageDraw

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
    assert best == {"schema_version": 1, **written, "folder": best["folder"]}


def test_every_candidate_fits_the_limits(finished_job: Any, nastool: Nastool) -> None:
    lines = journal(finished_job.folder)
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
    pixels = imread(path)
    height, width = pixels.shape[:2]
    assert 400 <= height <= 2000
    assert 600 <= width <= 2000
    colors = np.unique((pixels[..., :3] * 255).astype(int).reshape(-1, 3), axis=0)
    assert len(colors) > 20, "nothing was drawn"


def test_retrain_names_the_file_of_weights(finished_job: Any) -> None:
    path = finished_job.folder / finished_job.answers["retrain"].json["weights"]
    assert torch.load(path, weights_only=True)["model"].keys()


def test_test_accuracy_is_that_of_the_winner(finished_job: Any) -> None:
    result, best = (finished_job.answers[name].json for name in ("retrain", "search"))
    assert result["architecture"] == best["architecture"]
    # 10 classes: chance is 10 %. One epoch of 39 steps is well above that for every seed tried.
    assert result["test_accuracy"] > 0.2
    assert finished_job.answers["export"].json["test_accuracy"] == result["test_accuracy"]


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
    names = ["labels.txt", "manifest.json", "model.onnx", "predict.py", "preprocessing.json"]
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


def test_check_passes_at_the_budget_of_the_search(finished_job: Any) -> None:
    verdict = finished_job.answers["check"].json
    assert verdict["passed"] is True
    assert verdict["limit_ms"] == 100.0
    assert verdict["problems"] == []


@pytest.mark.long
def test_check_fails_over_the_budget(finished_job: Any, nastool: Nastool) -> None:
    answer = nastool("check", "--latency", "1us", "--json", cwd=finished_job.folder)
    assert answer.code == 1
    assert answer.json["passed"] is False
    assert answer.json["limit_ms"] == 0.001
    assert "over the budget" in answer.stderr
    assert answer.json["problems"][0] in answer.stderr


@pytest.mark.long
def test_check_against_a_baseline(job: Any, nastool: Nastool) -> None:
    baseline = job.folder / "baseline.json"
    verdict = job.answers["check"].json

    def write_baseline(times: float) -> None:
        rounds = [[ms * times, reference] for ms, reference in verdict["rounds_ms"]]
        baseline.write_text(json.dumps(verdict | {"rounds_ms": rounds}))

    write_baseline(1000)
    assert nastool("check", "--baseline", baseline, cwd=job.folder).code == 0
    write_baseline(1 / 1000)
    answer = nastool("check", "--baseline", baseline, "--max-seconds", "5", cwd=job.folder)
    assert answer.code == 1
    assert "slower than the baseline by" in answer.stderr


def test_check_against_another_build(finished_job: Any, nastool: Nastool) -> None:
    """The run's export compared with itself in the same rounds: machine load affects both."""
    flags = ("--baseline", "runs/r/export/model.onnx", "--max-regression", "100%", "--json")
    answer = nastool("check", *flags, cwd=finished_job.folder)
    assert answer.code == 0, answer
    assert [finding["about"] for finding in answer.json["findings"]] == ["budget", "regression"]
    assert answer.json["ratio_interval"][0] <= answer.json["ratio"] <= answer.json["ratio_interval"][1] <= 2.0


def test_bench_scores_the_export_as_retraining_did(finished_job: Any, nastool: Nastool) -> None:
    flags = ("--accuracy", "test", "--rounds", "8", "--json")
    answer = nastool("bench", "run:r", "runs/r/export/model.onnx", *flags, cwd=finished_job.folder)
    assert answer.code == 0, answer
    by_name, by_path = answer.json["entries"]
    # parity is verified on 256 hold-out images, so at most one of these 360 may differ
    expected = pytest.approx(finished_job.answers["export"].json["test_accuracy"], abs=1 / by_name["accuracy_images"])
    assert by_name["accuracy"] == by_path["accuracy"] == expected
    assert by_name["graph_hash"] == by_path["graph_hash"]


def test_second_budget_shares_the_journal(job: Any, nastool: Nastool) -> None:
    before = journal(job.folder)
    answer = nastool("search", "--macs", "36k", "--json", cwd=job.folder)
    assert answer.code == 0, answer.stderr
    assert answer.json["macs"] <= 36_000
    lines = journal(job.folder)
    assert lines[: len(before)] == before
    scored = [(tuple(line["architecture"]), line["strategy"]) for line in lines]
    assert len(set(scored)) == len(scored), "a candidate was scored twice"
    accuracies = {(tuple(line["architecture"]), line["accuracy"]) for line in lines}  # of random search and evolution
    assert len(accuracies) == len({architecture for architecture, _ in scored})
    again = nastool("search", "--macs", "36k", "--json", cwd=job.folder)
    assert again.json == answer.json
    assert journal(job.folder) == lines


@pytest.mark.long
def test_several_budgets_in_one_command(job: Any, nastool: Nastool) -> None:
    answer = nastool("search", "--macs", "31k", "--macs", "36k", "--json", cwd=job.folder)
    assert answer.code == 0, answer.stderr
    winners = answer.json["winners"].values()
    assert [best["limits"] for best in winners] == [{"macs": 31_000}, {"macs": 36_000}]
    assert all(best["macs"] <= best["limits"]["macs"] for best in winners)
    assert [best["folder"] for best in winners] == ["runs/r/search/macs_31k", "runs/r/search/macs_36k"]
    assert answer.json["front"]


def test_search_without_limits_keeps_the_winner(job: Any, nastool: Nastool) -> None:
    before = (job.folder / "runs/r/search/best.json").read_bytes()
    answer = nastool("search", "--json", cwd=job.folder)
    assert (answer.code, answer.stdout) == (2, "")
    assert "a search needs a limit. Give --latency, --macs" in answer.stderr
    assert (job.folder / "runs/r/search/best.json").read_bytes() == before


def test_test_images_are_evaluated_once(job: Any, nastool: Nastool) -> None:
    (result,) = (job.folder / "runs/r/retrain").glob("*/result.json")
    changed = json.loads(result.read_text()) | {
        "test_accuracy": 0.123
    }  # a value that a second evaluation would not give
    result.write_text(json.dumps(changed))
    for checkpoint in result.parent.glob("*.pt"):
        checkpoint.unlink()
    answer = nastool("retrain", "--json", cwd=job.folder)
    assert answer.json == job.answers["retrain"].json | {"test_accuracy": 0.123}
    assert json.loads(result.read_text()) == changed


def test_finished_commands_are_not_repeated(job: Any, nastool: Nastool) -> None:
    """Run again, train and retrain reuse their results, and search reuses its journal."""
    folder = job.folder
    kept = ("runs/r/supernet/checkpoint.pt", "runs/r/search/candidates.jsonl", "runs/r/search/measured.jsonl")
    before = [(folder / path).read_bytes() for path in kept]
    for command in ("train", "search", "retrain"):
        flags = ("--latency", "100ms", "--macs", "31k") if command == "search" else ()
        assert nastool(command, *flags, "--json", cwd=folder).json == job.answers[command].json
    assert [(folder / path).read_bytes() for path in kept] == before


@pytest.mark.long
def test_named_architecture_needs_no_search(job: Any, nastool: Nastool) -> None:
    shutil.rmtree(job.folder / "runs/r/search")
    arch = ("--arch", "choice_x,choice_3,1,0")
    retrained = nastool("retrain", *arch, "--json", cwd=job.folder)
    assert retrained.json["architecture"] == ["choice_x", "choice_3", "choice_5", "choice_3"]
    exported = nastool("export", *arch, "--json", cwd=job.folder)
    assert exported.json["limits"] == {}
    assert exported.json["architecture"] == retrained.json["architecture"]


def test_output_without_json_is_a_table(finished_job: Any, nastool: Nastool) -> None:
    answer = nastool("check", cwd=finished_job.folder)
    assert answer.code == 0
    assert "check passed" in answer.stdout
    assert "100.0 ms" in answer.stdout


@pytest.mark.long
def test_separate_processes(job: Any) -> None:
    """Each command in a separate process, with stdout in a pipe."""
    process = subprocess.run(
        [sys.executable, "-m", "cli.main", "check", "--latency", "1us", "--json"],
        cwd=job.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert json.loads(process.stdout)["passed"] is False
    assert "Traceback" not in process.stderr


@pytest.mark.long
def test_own_images(settings: str, nastool: Nastool, tmp_path: Path) -> None:
    """A folder of image files of several sizes and formats, from training to a checked file."""
    draw_classes(tmp_path / "images", "train", 24)
    draw_classes(tmp_path / "images", "val", 6)
    (tmp_path / "nastool.toml").write_text(
        settings.replace("head_channels=32", "head_channels=32,in_channels=3,classes=3")
        .replace('"digits"', '"folder:images"')
        .replace("holdout_per_class = 20", "holdout_per_class = 6\nworkers = 0")
        .replace("epochs = 1, batch = 32", "epochs = 6, batch = 16")
    )
    answers = {}
    for command in COMMANDS:
        flags = ["--macs", "40k"] if command == "search" else ["--latency", "100ms"] if command == "check" else []
        answers[command] = nastool(command, *flags, "--json", cwd=tmp_path)
        assert answers[command].code == 0, answers[command].stderr
    assert answers["train"].json["training_images"] == 3 * (24 - 6)
    manifest = answers["export"].json
    assert manifest["classes"] == ["circle", "cross", "square"]
    assert len(manifest["preprocessing"]["mean"]) == 3
    assert answers["check"].json["passed"] is True


def journal(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "runs/r/search/candidates.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines[1:]]  # the first line is the fingerprint


def draw_classes(root: Path, part: str, images: int) -> None:
    """PNG and JPEG files of three shapes: RGB, gray, palette; portrait and landscape."""
    rng = Random(part)
    for name in ("circle", "cross", "square"):
        folder = root / part / name
        folder.mkdir(parents=True)
        for number in range(images):
            width, height = rng.choice([(24, 24), (40, 30), (20, 36)])
            image = Image.new("RGB", (width, height), tuple(rng.randrange(90) for _ in range(3)))
            canvas, color = ImageDraw.Draw(image), tuple(rng.randrange(150, 256) for _ in range(3))
            left, top = rng.randrange(4, 7), rng.randrange(4, 7)
            box = (left, top, width - left, height - top)
            if name == "circle":
                canvas.ellipse(box, fill=color)
            elif name == "square":
                canvas.rectangle(box, outline=color, width=2)
            else:
                canvas.line(box, fill=color, width=3)
                canvas.line((left, height - top, width - left, top), fill=color, width=3)
            mode = ("RGB", "L", "P")[number % 3]
            kind = "jpg" if number % 2 and mode != "P" else "png"
            image.convert(mode).save(folder / f"{number}.{kind}")


def test_winner_is_not_retrained_on_other_data(job: Any, nastool: Nastool) -> None:
    """Without the flag that search had, retrain would silently train on the file's data set."""
    for part in ("train", "val"):
        for label in range(10):
            (job.folder / "other" / part / str(label)).mkdir(parents=True)
            for number in range(3):
                image = Image.new("L", (16, 16), label * 20 + number)
                image.save(job.folder / "other" / part / str(label) / f"{number}.png")
    flags = ["--data", "folder:other", "--holdout-per-class", "1"]
    for command in ("retrain", "export"):
        answer = nastool(command, *flags, cwd=job.folder)
        assert answer.code == 2
        assert "searched for on digits" in answer.stderr
    by_hand = nastool("retrain", *flags, "--arch", "0 1 2 3", "--run", "by_hand", "--json", cwd=job.folder)
    assert by_hand.code == 0, by_hand.stderr


def test_next_command_has_the_flags_that_it_needs(job: Any, nastool: Nastool) -> None:
    shutil.move(job.folder / "nastool.toml", job.folder / "my settings.toml")
    flags = ("--latency", "100ms", "--macs", "31k", "--config", "my settings.toml", "--data", "digits")
    answer = nastool("search", *flags, cwd=job.folder)
    assert "Next: nastool retrain --config 'my settings.toml'\n" in answer.stderr


def test_train_succeeds_if_the_table_has_only_another_target(job: Any, nastool: Nastool) -> None:
    """The hint suggests a limit on MACs; the records are of batch 8, the target is batch 7."""
    settings = job.folder / "nastool.toml"
    settings.write_text(settings.read_text().replace("batch = 8", "batch = 7"))
    answer = nastool("train", cwd=job.folder)
    assert answer.code == 0, answer.stderr
    assert "Next: nastool search --macs 35.4k\n" in answer.stderr


@pytest.mark.long
def test_printed_hint_exports_the_winner_of_the_chosen_budget(job: Any, nastool: Nastool) -> None:
    """`retrain --budget X` prints an export command for X, although another budget was searched last."""
    searched = nastool("search", "--macs", "27k", "--macs", "36k", "--json", cwd=job.folder)
    name, winner = next(iter(searched.json["winners"].items()))
    last = searched.json["winners"][next(reversed(searched.json["winners"]))]
    assert winner["architecture"] != last["architecture"]
    retrained = nastool("retrain", "--budget", name, cwd=job.folder)
    (hint,) = re.findall(r"^Next: nastool (.*)$", retrained.stderr, re.MULTILINE)
    exported = nastool(*shlex.split(hint), "--json", cwd=job.folder)
    assert exported.code == 0, exported.stderr
    assert exported.json["architecture"] == winner["architecture"]


@pytest.mark.long
def test_random_search_of_an_earlier_command_does_not_win_and_is_named(job: Any, nastool: Nastool) -> None:
    journal = job.folder / "runs/r/search/candidates.jsonl"
    header, *lines = journal.read_text().splitlines()
    place = max(place for place, line in enumerate(lines) if json.loads(line)["strategy"] == "random")
    better = json.loads(lines[place]) | {"accuracy": 0.99}
    lines[place] = json.dumps(better)
    journal.write_text("\n".join((header, *lines)) + "\n")
    few = ("--population", "2", "--generations", "1")  # so that evolution does not propose it now
    answer = nastool("search", "--macs", "31k", "--no-random-search", *few, "--json", cwd=job.folder)
    assert answer.code == 0, answer.stderr
    assert answer.json["strategy"] == "evolution"
    assert answer.json["architecture"] != better["architecture"]
    assert "random search scored 99.00% under macs <= 31.00k, better than the winner of evolution" in answer.stderr
    assert " ".join(better["architecture"]) in " ".join(answer.stderr.split())
