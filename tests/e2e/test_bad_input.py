"""Each mistake has its own message: what is wrong, for which input, and what to run next.

The exit code is 2, there is no traceback, all existing files are unchanged, and no partial file is left. (The fixture
`nastool` does not catch unexpected exceptions, so a traceback fails the test.)
"""

import fcntl
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Nastool = Callable[..., Any]
ARCH = ("--arch", "0 1 2 3")


def refused(nastool: Nastool, folder: Path, words: str | tuple[str, ...], *expected: str, code: int = 2) -> str:
    """Run a command that must be refused with `expected` in its message and change no file; return the message."""
    before = contents(folder)
    answer = nastool(*(words.split() if isinstance(words, str) else words), cwd=folder)
    assert answer.code == code, answer
    assert answer.stdout == "", "an error is no answer"
    text = " ".join(answer.stderr.split())
    assert "error:" in text
    assert "Traceback" not in text
    for piece in expected:
        assert piece in text
    assert contents(folder) == before
    return text


def contents(folder: Path) -> dict[str, bytes]:
    """The content of all files except the lock, which is empty and stays."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# Command line -> required parts of the message: the input, then the next step.
BAD_COMMANDS = {
    "unknown space": (
        "cost --space mobilenet --arch 0",
        ["unknown space 'mobilenet'", "Known spaces: shufflenet_v2"],
    ),
    "unknown space option": (
        "train --space shufflenet_v2:depth=3",
        ["'shufflenet_v2:depth=3' has no option 'depth'", "Options:", "size_px"],
    ),
    "space option without a number": (
        "train --space shufflenet_v2:classes=many",
        ["'shufflenet_v2:classes=many'", "'many' is not a valid value for classes"],
    ),
    "odd stage width": ("train --space shufflenet_v2:stage_widths=64-161,stage_repeats=1-1", ["must be even"]),
    "patience without a unit": ("profile --quiet-timeout 60", ["time '60' has no unit", "60s"]),
    "unknown dial": ("profile --backend fake:noize=1", ["the backend fake has no dial 'noize'", "Its dials:", "noise"]),
    "unknown device": (
        "profile --device gpu7",
        ["the device 'gpu7' is not attached", "Attached: cpu", "Give --device cpu"],
    ),
    "unknown backend": ("profile --backend tflite", ["unknown backend 'tflite'", "Known backends:", "onnxruntime"]),
    "unknown data": ("train --data cifar", ["unknown data set 'cifar'", "Known: digits, fashion-mnist, folder:PATH"]),
    "latency without a unit": (
        "search --latency 17",
        ["latency '17' has no unit", "Write us, ms or s, as in --latency 17ms"],
    ),
    "latency below zero": (
        "search --latency=-3ms",
        ["latency '-3ms' is not above zero. Write it as in --latency 17ms"],
    ),
    "latency of zero": ("search --latency 0ms", ["latency '0ms' is not above zero"]),
    "latency in words": ("search --latency quick", ["latency 'quick' is not an amount", "Write it as in 17ms"]),
    "latency in minutes": ("search --latency 1min", ["unknown unit 'min'", "--latency 1ms"]),
    "MACs in an unknown unit": ("search --macs 3X", ["macs '3X' has the unknown unit 'X'", "--macs 330M"]),
    "impossible latency": ("search --latency 1us", ["latency_ms", "the least reachable is", "Give latency_ms a limit"]),
    # The tiny space's cheapest architecture has 26,000 MACs: choice_3 in every block (nastool cost).
    "impossible MACs": ("search --macs 20k", ["macs", "the least reachable is 26,000", "Give macs a limit"]),
    "impossible together": (
        "search --macs 26k --params 3.3k",
        ["together", "macs alone reaches", "Relax one of these limits"],
    ),
    "unknown recipe": ("train --recipe slow", ["unknown recipe 'slow'", "Known recipes: imagenet, quick"]),
    "unknown recipe to retrain": ("retrain --recipe slow --arch 0,1,2,3", ["unknown recipe 'slow'"]),
    "unknown preset": ("init --preset tiny", ["unknown preset 'tiny'", "Known presets: quick, imagenet"]),
    "too few choices": (
        ("retrain", "--arch", "0 1 2"),
        ["has 4 choice blocks, but 3 choices were given", "Give one choice for each block"],
    ),
    "too many choices": (("cost", "--arch", "0 1 2 3 0"), ["4 choice blocks, but 5 choices were given"]),
    "unknown choice": (
        ("export", "--arch", "0 1 2 choice_9"),
        ["choice block 3", "no choice 'choice_9'", "Available: choice_3, choice_5, choice_7, choice_x"],
    ),
    "choice index too high": (("cost", "--arch", "0 1 2 4"), ["choice block 3", "no choice '4'", "indices 0 to 3"]),
    "not retrained": (
        ("export", "--arch", "3 3 3 3"),
        ["best.pt does not exist yet", "Run nastool retrain --run r first"],
    ),
    "no such run": (
        "search --macs 31k --run other",
        ["the run runs/other does not exist yet", "Run nastool train --run other first"],
    ),
    "no search to retrain from": ("retrain --run other", ["best.json does not exist yet", "Run nastool search"]),
    "no export to check": ("check --run other", ["model.onnx does not exist yet", "Run nastool export --run other"]),
    "no file to check": ("check nowhere.onnx --latency 1s", ["nowhere.onnx is not there", "Run nastool export first"]),
    "not ONNX": ("check nastool.toml --latency 1s", ["nastool.toml is not a valid ONNX file", "Export it again"]),
    "no baseline": (
        "check --baseline nastool.toml",
        ["nastool.toml is not a baseline", "--json > nastool.toml"],
    ),
    "regression without percent": (
        "check --latency 1s --max-regression 5",
        ["percentage '5' cannot be read", "Write it as in 5%"],
    ),
    "classes of data and space": (
        "train --space shufflenet_v2_quick:classes=7",
        ["digits has 10 classes", "has 7", "Write --space shufflenet_v2_quick:classes=10"],
    ),
    "too many held out": (
        "train --holdout-per-class 500",
        ["training images, and 500 of each class are held out", "Write --holdout-per-class"],
    ),
    "other seed than the supernet's": (
        "search --macs 31k --seed 1",
        ["supernet/checkpoint.pt was made with other settings", "seed was 0 and is now 1", "--run NAME"],
    ),
    "other space than the supernet's": (
        "train --space shufflenet_v2_quick:size_px=16",
        ["supernet/checkpoint.pt was made with other settings", "space was", "--run NAME"],
    ),
    "other recipe than the retrained": (
        "retrain --epochs 3",
        ["result.json was made with other settings", "recipe.epochs was 1.0 and is now 3.0"],
    ),
    "batch of none": ("profile --batch 0", ["--batch", "greater than 0"]),
    "a run's name with a slash": ("train --run a/b", ["run", "'a/b'"]),
    "not profiled at that batch": (
        "search --latency 1s --batch 3",
        ["was not measured on", "batch 3", "Run nastool profile"],
    ),
    "nastool.toml is there": ("init", ["nastool.toml exists", "Run nastool init --force"]),
    "no such configuration": ("train --config none.toml", ["none.toml does not exist", "Run nastool init"]),
}


@pytest.mark.parametrize("mistake", BAD_COMMANDS)
def test_bad_command_is_refused(mistake: str, job: Any, nastool: Nastool) -> None:
    words, expected = BAD_COMMANDS[mistake]
    refused(nastool, job.folder, words, *expected)


def test_impossible_latency_names_the_least_reachable(job: Any, nastool: Nastool) -> None:
    """The limit in the message can be used unchanged: it is reachable to its last digit."""
    text = refused(nastool, job.folder, "search --latency 1us")
    least = re.search(r"the least reachable is ([\d.]+) ms", text)
    assert least is not None, text
    answer = nastool("search", "--latency", f"{least[1]}ms", cwd=job.folder)
    assert "least reachable" not in answer.stderr  # measurements may still exceed it


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("sede = 3", ["nastool.toml", "sede"]),
        ("[search]\nlatencies = '1ms'", ["nastool.toml", "search.latencies"]),
        ("seed = 'many'", ["nastool.toml", "seed", "'many'"]),
        ("seed = many", ["nastool.toml is not TOML", "line 1"]),
    ],
)
def test_wrong_line_in_nastool_toml(content: str, expected: list[str], tmp_path: Path, nastool: Nastool) -> None:
    (tmp_path / "nastool.toml").write_text(content)
    refused(nastool, tmp_path, "train --data digits", *expected)


@pytest.mark.parametrize("kept", [0, 100, 20_000])
@pytest.mark.parametrize("command", ["train", "search --macs 31k"])
def test_truncated_supernet(command: str, kept: int, job: Any, nastool: Nastool) -> None:
    checkpoint = job.folder / "runs/r/supernet/checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:kept])
    refused(nastool, job.folder, command, "runs/r/supernet/checkpoint.pt is damaged", "Remove it")


def test_truncated_winner(job: Any, nastool: Nastool) -> None:
    (best,) = (job.folder / "runs/r/retrain").glob("*/best.pt")
    best.write_bytes(best.read_bytes()[:1000])
    refused(nastool, job.folder, "export", "best.pt is damaged", "Remove it to train again")


def test_checkpoint_with_other_content(job: Any, nastool: Nastool) -> None:
    shutil.copy(next((job.folder / "runs/r/retrain").glob("*/best.pt")), job.folder / "runs/r/supernet/checkpoint.pt")
    refused(
        nastool,
        job.folder,
        "search --macs 31k",
        "supernet/checkpoint.pt: the field format is missing",
        "Remove it to train again",
    )


def test_checkpoint_of_another_space(job: Any, nastool: Nastool) -> None:
    """A space with the same name and other blocks, as after an update of nastool, has another digest."""
    toml = job.folder / "nastool.toml"
    toml.write_text(toml.read_text().replace("stage_widths=16-24", "stage_widths=16-26"))
    refused(nastool, job.folder, "train", "supernet/checkpoint.pt was made with other settings", "space was")
    refused(nastool, job.folder, "search --macs 50k", "supernet/checkpoint.pt was made with other", "space was")
    refused(
        nastool, job.folder, "export", "best.json is a winner of the space", "stage_widths=16-24", "Give its --space"
    )


REMEDIES = {
    "search": "Remove it and run nastool search",
    "retrain": "Remove it and run nastool retrain",
    "export": "Run nastool export again",
}


@pytest.mark.parametrize("file", ["search/best.json", "retrain/*/result.json", "export/manifest.json"])
def test_damaged_result_of_an_earlier_command(file: str, job: Any, nastool: Nastool) -> None:
    (path,) = (job.folder / "runs/r").glob(file)
    path.write_text(path.read_text()[:20])
    command = {"search": "retrain", "retrain": "export", "export": "check"}[file.split("/")[0]]
    refused(nastool, job.folder, command, f"{path.name} is damaged", REMEDIES[file.split("/")[0]])


@pytest.mark.parametrize("file", ["candidates.jsonl", "measured.jsonl"])
def test_damaged_journal_line(file: str, job: Any, nastool: Nastool) -> None:
    journal = job.folder / "runs/r/search" / file
    lines = journal.read_bytes().splitlines(keepends=True)
    lines.insert(1, b'{"architecture": ["choi\n')
    journal.write_bytes(b"".join(lines))
    refused(nastool, job.folder, "search --macs 31k", f"line 2 of runs/r/search/{file} is damaged", "Fix or remove")


def test_incomplete_last_journal_line_is_ignored(job: Any, nastool: Nastool) -> None:
    """A kill may truncate the last line; that candidate is scored again."""
    journal = job.folder / "runs/r/search/candidates.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-30])
    answer = nastool("search", "--latency", "100ms", "--macs", "31k", "--json", cwd=job.folder)
    assert answer.json == job.answers["search"].json
    assert journal.read_bytes() == whole


def test_journal_of_another_supernet(job: Any, nastool: Nastool) -> None:
    journal = job.folder / "runs/r/search/candidates.jsonl"
    first, *rest = journal.read_text().splitlines(keepends=True)
    target = json.loads(first)
    target["fingerprint"]["supernet_sha256"] = "0" * 64
    journal.write_text(json.dumps(target) + "\n" + "".join(rest))
    refused(
        nastool, job.folder, "search --macs 31k", "candidates.jsonl was made with other settings", "supernet_sha256"
    )


USES_OF_THE_TABLE = ["profile", "search --latency 1s", "export", ("cost", *ARCH)]


@pytest.mark.parametrize("command", USES_OF_THE_TABLE, ids=lambda words: str(words).split()[0])
def test_table_of_a_newer_nastool(command: str | tuple[str, ...], job: Any, nastool: Nastool) -> None:
    connection = sqlite3.connect(job.folder / "latency.sqlite")
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    refused(
        nastool,
        job.folder,
        command,
        "latency.sqlite has schema 9",
        "Run pip install --upgrade nastool, or name another file with --db",
    )


@pytest.mark.parametrize("command", USES_OF_THE_TABLE, ids=lambda words: str(words).split()[0])
def test_table_file_that_is_not_a_database(command: str | tuple[str, ...], job: Any, nastool: Nastool) -> None:
    (job.folder / "latency.sqlite").write_text("a letter to the editor\n" * 100)
    refused(nastool, job.folder, command, "latency.sqlite is not a latency table", "Name another file with --db")


def test_database_of_another_program(job: Any, nastool: Nastool) -> None:
    connection = sqlite3.connect(job.folder / "diary.sqlite")
    connection.execute("CREATE TABLE days (text)")
    connection.close()
    refused(nastool, job.folder, "profile --db diary.sqlite", "is a database of another program", "with --db")


def test_table_with_a_damaged_page(job: Any, nastool: Nastool) -> None:
    table = job.folder / "latency.sqlite"
    content = bytearray(table.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    table.write_bytes(content)
    refused(
        nastool, job.folder, "search --latency 1s", "latency.sqlite is damaged", "remove it and run nastool profile"
    )


def test_table_in_a_folder_that_is_a_file(job: Any, nastool: Nastool) -> None:
    refused(nastool, job.folder, "profile --db nastool.toml/x.sqlite", "the latency table", "--db")
    refused(nastool, job.folder, "profile --db runs", "cannot open the latency table runs: it is a folder", "--db")


def test_table_name_with_special_characters(job: Any, nastool: Nastool) -> None:
    """Characters with a meaning in URLs are ordinary characters in a path."""
    odd = "50% of #3? really.sqlite"
    shutil.copy(job.folder / "latency.sqlite", job.folder / odd)
    before = contents(job.folder)
    shown = nastool("cost", *ARCH, "--db", odd, "--json", cwd=job.folder)
    assert shown.code == 0, shown.stderr
    assert shown.json == nastool("cost", *ARCH, "--json", cwd=job.folder).json
    assert contents(job.folder) == before


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder in the layout of folder:PATH, and settings for it."""
    for part in ("train", "val"):
        for number, name in enumerate(("cat", "dog")):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for image in range(6):
                shade = 40 * image + 20 * number
                Image.new("L", (20, 20), shade).save(folder / f"{image}.jpg")
    (tmp_path / "nastool.toml").write_text(
        'data = "folder:pets"\nholdout_per_class = 2\nworkers = 0\n'
        'space = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,classes=2"\n'
        '[train]\nrecipe = "quick"\nchanges = { epochs = 2, batch = 4 }\n'
    )
    return tmp_path


def test_images_of_one_class(images: Path, nastool: Nastool) -> None:
    for part in ("train", "val"):
        shutil.rmtree(images / "pets" / part / "dog")
    refused(nastool, images, "train", "pets/train holds one class, cat", "Add a folder for each further class")


def test_missing_image_folder(images: Path, nastool: Nastool) -> None:
    refused(nastool, images, "train --data folder:fish", "fish/train does not exist", "PATH/train/CLASS/IMAGE")


def test_image_folder_without_val(images: Path, nastool: Nastool) -> None:
    shutil.rmtree(images / "pets/val")
    refused(nastool, images, "train", "pets/val does not exist", "PATH/val/CLASS/IMAGE")


def test_empty_image_folder(images: Path, nastool: Nastool) -> None:
    for name in ("cat", "dog"):
        shutil.rmtree(images / "pets/train" / name)
    refused(nastool, images, "train", "pets/train has no class folders", "Put images into pets/train/CLASS/")


def test_class_folder_without_images(images: Path, nastool: Nastool) -> None:
    for image in (images / "pets/train/dog").iterdir():
        image.unlink()
    refused(nastool, images, "train", "the class folder pets/train/dog has no images", "or remove it")


def test_train_and_val_differ_in_classes(images: Path, nastool: Nastool) -> None:
    (images / "pets/val/dog").rename(images / "pets/val/wolf")
    refused(
        nastool,
        images,
        "train",
        "differ in classes: dog (only in train/), wolf (only in val/)",
        "Give both the same class folders",
    )


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\xff\xd8\xff\xe0 a JPEG's beginning"])
def test_unreadable_image(content: bytes, images: Path, nastool: Nastool) -> None:
    (images / "pets/train/cat/3.jpg").write_bytes(content)
    refused(nastool, images, "train", "cannot read the image pets/train/cat/3.jpg", "Repair or remove that file")


@pytest.mark.parametrize("workers", [0, 1])
def test_image_that_breaks_off(workers: int, images: Path, nastool: Nastool) -> None:
    """The header is valid; decoding fails, possibly in a worker process."""
    path = images / "pets/train/cat/3.jpg"
    Image.effect_noise((64, 64), 80).save(path)
    path.write_bytes(path.read_bytes()[:900])
    toml = images / "nastool.toml"
    toml.write_text(toml.read_text().replace("workers = 0", f"workers = {workers}"))
    answer = nastool("train", "--holdout-per-class", "1", "--seed", "3", cwd=images)
    assert answer.code == 2
    assert "cannot read the image pets/train/cat/3.jpg" in answer.stderr
    assert "Repair or remove that file" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_run_in_use(job: Any, nastool: Nastool) -> None:
    """A command that writes into a run locks it."""
    with (job.folder / "runs/r/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in ("train", "search --macs 31k", "retrain", "export"):
            refused(
                nastool, job.folder, command, "another nastool command is using runs/r", "Wait until it ends, or use"
            )
    assert nastool("retrain", cwd=job.folder).code == 0


def test_baseline_of_another_target(job: Any, nastool: Nastool) -> None:
    verdict = job.answers["check"].json
    verdict["target"]["device_model"] = "Raspberry Pi 5"
    verdict["target"]["threads"] = 4
    (job.folder / "baseline.json").write_text(json.dumps(verdict))
    refused(
        nastool,
        job.folder,
        "check --baseline baseline.json",
        "baseline.json was measured on another target",
        "device_model:",
        "Raspberry Pi 5 there",
        "threads: 1 here, 4 there",
        "Measure a baseline on this one",
        code=4,
    )


def test_budget_for_another_batch(job: Any, nastool: Nastool) -> None:
    refused(nastool, job.folder, "check --batch 4", "manifest.json is for batches of 8, not of 4", "--latency")


def test_check_without_budget_or_baseline(job: Any, nastool: Nastool) -> None:
    manifest = job.folder / "runs/r/export/manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"limits": {}}))
    refused(nastool, job.folder, "check", "nothing to check against", "--latency 17ms, or --baseline FILE")


def test_refused_request_leaves_no_run(settings: str, tmp_path: Path, nastool: Nastool) -> None:
    (tmp_path / "nastool.toml").write_text(settings)
    refused(nastool, tmp_path, "train --data cifar", "unknown data set")
    assert not (tmp_path / "runs").exists()
