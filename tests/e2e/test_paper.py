"""`nastool paper` as a user runs it, on a tiny space: rows, files, and the same result after a kill."""

import json
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolchain.paper import table5

pytestmark = pytest.mark.long  # tens of trainings of a second each

SPACE = (
    "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=1-1,head_channels=32,"
    "ops=choice_3-choice_5"
)
SETTINGS = f"""
space = "{SPACE}"
data = "digits"
threads = 1
holdout_per_class = 20
profile = {{ backend = "fake", rounds = 2, min_ms = 1.0, batch = 8, networks = 3, quiet_timeout_s = 1.0 }}
train = {{ changes = {{ epochs = 1, batch = 32 }} }}
retrain = {{ changes = {{ epochs = 0.5, batch = 32 }} }}

[search]
macs = "27k"  # of 21,936 to 27,824
random_select = 2
population = 4
generations = 3
top_k = 2
bn_images = 128
batch = 64
"""
PATIENCE_S = 600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.toml").write_text(SETTINGS)
    return tmp_path


def result_of(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "runs/paper" / name / "result.json").read_bytes())
    return content


def test_table3(folder: Path, nastool: Callable[..., Any]) -> None:
    answer = nastool("paper", "table3", "--config", "mine.toml", "--seeds", "0", cwd=folder)
    assert answer.code == 0, answer.stderr
    rows = {row["name"]: row for row in result_of(folder, "table3")["rows"]}
    assert list(rows) == [
        "all choice_3",
        "all choice_5",
        "random select",
        "SPS + random search",
        "ours (evolution)",
    ]
    for row in rows.values():
        assert all(value <= 27_000 for value in row["values"]["macs"])
        assert all(0 < value < 1 for value in row["values"]["test_accuracy"])
    assert rows["ours (evolution)"]["printed"] == {"top-1 in the paper": "74.3", "MACs in the paper": "319M"}
    assert "ours (evolution) minus random select: " in answer.stdout
    assert "1 seed" in answer.stdout
    assert (folder / "runs/paper/table3/table3.png").exists()
    assert "`nastool paper table3 --seeds 0 --config mine.toml`" in (folder / "runs/paper/table3/table3.md").read_text()


@pytest.mark.parametrize("name", ["figure2", "figure3"])
def test_figures(name: str, folder: Path, nastool: Callable[..., Any]) -> None:
    answer = nastool("paper", name, "--config", "mine.toml", "--seeds", "0,1", "--json", cwd=folder)
    assert answer.code == 0, answer.stderr
    figure = answer.json["tables"][name]
    assert len(figure["curves"]) == 2
    for curve, row in zip(figure["curves"], figure["rows"], strict=True):
        assert curve["name"] == row["name"]
        assert [run[-1] for run in curve["runs"]] == row["values"]["holdout_accuracy"]
        assert all(run == sorted(run) for run in curve["runs"])
    assert (folder / f"runs/paper/{name}/{name}_curves.csv").exists()
    samplers = {path.parent.name: path.read_text() for path in folder.glob(f"runs/paper/{name}/*/config.toml")}
    if name == "figure2":
        assert sorted(samplers) == ["constraint-seed0", "constraint-seed1", "uniform-seed0", "uniform-seed1"]
        assert 'sampler = "uniform"' in samplers["uniform-seed0"]


def test_a_supernet_that_another_figure_trained_is_taken(folder: Path, nastool: Callable[..., Any]) -> None:
    words = ("--config", "mine.toml", "--seeds", "0")
    assert nastool("paper", "figure3", *words, cwd=folder).code == 0
    answer = nastool("paper", "figure2", *words, cwd=folder)
    assert answer.code == 0, answer.stderr
    runs = folder / "runs/paper"
    (trained,) = (runs / "figure3").glob("*-seed0/supernet/checkpoint.pt")
    taken = runs / "figure2/constraint-seed0/supernet/checkpoint.pt"
    assert taken.read_bytes() == trained.read_bytes()
    assert (runs / "figure2/uniform-seed0/supernet/checkpoint.pt").read_bytes() != trained.read_bytes()
    assert answer.stderr.count("the same training as in ") == 1


def test_table1(folder: Path, nastool: Callable[..., Any]) -> None:
    answer = nastool("paper", "table1", "--config", "mine.toml", "--seeds", "0", cwd=folder)
    assert answer.code == 0, answer.stderr
    rows = {row["name"]: row for row in result_of(folder, "table1")["rows"]}
    soft = [f"{name} cost x{factor}" for name in ("two-path", "gumbel", "policy") for factor in ("0.25", "1", "4")]
    assert set(rows) == {*soft, "darts", "path-dropout", "spos"}
    for row in rows.values():
        assert row["values"]["kept"] == [float(row["values"]["macs"][0] <= 27_000)]
    assert rows["spos"]["values"]["kept"] == rows["path-dropout"]["values"]["kept"] == [1.0]
    assert rows["spos"]["values"]["memory_ratio"] == [1.0]
    assert rows["gumbel cost x1"]["values"]["memory_ratio"][0] > 1.3
    weights = {
        path.parent.name: tomllib.loads(path.read_text())["train"]["architecture"]
        for path in folder.glob("runs/paper/table1/*/config.toml")
    }
    assert weights["gumbel_cost_x4-seed0"]["cost_power"] == pytest.approx(4 * 0.6)
    assert weights["two-path_cost_x0.25-seed0"]["cost_weight"] == pytest.approx(0.25 * 0.2)


def test_table4(folder: Path, nastool: Callable[..., Any]) -> None:
    space = SPACE.replace("ops=choice_3-choice_5", "round_to=1")
    answer = nastool(
        "paper", "table4", "--config", "mine.toml", "--space", space, "--macs", "500k", "--seeds", "0", cwd=folder
    )
    assert answer.code == 0, answer.stderr
    rows = {row["name"]: row for row in result_of(folder, "table4")["rows"]}
    assert len(rows) == 10
    for name, row in rows.items():
        assert row["values"]["macs"][0] <= 500_000, name
        assert 0 < row["values"]["test_accuracy"][0] < 1, name
    assert rows["block + channel search"]["printed"]["top-1 in the paper"] == "74.7"
    fixed = tomllib.loads((folder / "runs/paper/table4/channels_of_blocks-seed0/config.toml").read_text())
    best = json.loads((folder / "runs/paper/table4/blocks-seed0/search/best.json").read_bytes())
    assert fixed["fixed_ops"].split() == best["architecture"]


def test_table6(folder: Path, nastool: Callable[..., Any]) -> None:
    space = (
        "resnet18_bits:size_px=16,in_channels=1,classes=10,stem_kernel=3,stem_stride=1,stem_pool=false,"
        "stage_widths=8-16,stage_repeats=1-1"
    )
    answer = nastool("paper", "table6", "--config", "mine.toml", "--space", space, "--seeds", "0", cwd=folder)
    assert answer.code == 0, answer.stderr
    rows = {row["name"]: row["values"] for row in result_of(folder, "table6")["rows"]}
    assert len(rows) == 7  # float, and two of each of 2, 3 and 4 bits
    for bits in ("2W2A", "3W3A", "4W4A"):
        assert rows[f"ResNet-18 {bits}, ours"]["bitops"][0] <= rows[f"ResNet-18 {bits}"]["bitops"][0]
    assert rows["ResNet-18 4W4A"]["bitops"][0] == 4 * rows["ResNet-18 2W2A"]["bitops"][0]
    before = result_of(folder, "table6")
    (folder / "runs/paper/table6/result.json").unlink()
    assert nastool("paper", "table6", "--config", "mine.toml", "--space", space, "--seeds", "0", cwd=folder).code == 0
    assert result_of(folder, "table6") == before  # searches know nothing of each other


def test_table5(folder: Path, nastool: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With two of the five published networks: each costs half a minute."""
    names = ("FBNet-A", "Proxyless (GPU)")
    monkeypatch.setattr(table5, "NETWORKS", {key: name for key, name in table5.NETWORKS.items() if name in names})
    space = "proxyless_mobile:in_channels=1,size_px=16,classes=10,stem_stride=1,multiplier=0.1"
    answer = nastool("paper", "table5", "--config", "mine.toml", "--space", space, "--seeds", "0", cwd=folder)
    assert answer.code == 0, answer.stderr
    result = result_of(folder, "table5")
    rows = {row["name"]: row for row in result["rows"]}
    assert len(rows) == 6
    for name in names:
        baseline = rows[name]["values"]
        same_macs = rows[f"{name}, same MACs"]
        if same_macs["values"]["macs"] != [None]:
            assert same_macs["values"]["macs"][0] <= baseline["macs"][0]
        same_latency = rows[f"{name}, same latency"]
        assert same_latency["values"]["latency_ms"][0] is not None or same_latency["note"]
    assert any(
        note.startswith("latency of a batch of 8 on ") and "load of the machine" in note for note in result["notes"]
    )


def test_same_result_after_a_kill(folder: Path, tmp_path: Path) -> None:
    words = ["paper", "table3", "--config", "mine.toml", "--seeds", "0"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for each in (whole, killed):
        each.mkdir()
        (each / "mine.toml").write_text(SETTINGS)
    _kill_at(words, killed, "runs/paper/table3/supernet-seed0/search/candidates.jsonl")
    assert not (killed / "runs/paper/table3/result.json").exists()
    for each in (killed, whole):
        subprocess.run([sys.executable, "-m", "cli.main", *words], cwd=each, check=True, capture_output=True)
    assert result_of(killed, "table3") == result_of(whole, "table3")


def _kill_at(words: list[str], folder: Path, pattern: str) -> None:
    """Start the command, and kill it as soon as a file exists."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    began = time.monotonic()
    while not any(folder.glob(pattern)):
        assert process.poll() is None, "the command has ended"
        assert time.monotonic() - began < PATIENCE_S
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_table7(folder: Path, nastool: Callable[..., Any]) -> None:
    answer = nastool("paper", "table7", "--config", "mine.toml", "--seeds", "0,1", cwd=folder)
    assert answer.code == 0, answer.stderr
    rows = {row["name"]: row for row in result_of(folder, "table7")["rows"]}
    assert rows["spos"]["printed"]["total in the paper"] == "29 GPU days"
    for name, row in rows.items():
        values = row["values"]
        parts = zip(values["training_days"], values["search_days"], values["retraining_days"], strict=True)
        assert values["total_days"] == pytest.approx([sum(part) for part in parts])
        assert all(days > 0 for days in values["search_days"]) == (name in ("spos", "path-dropout"))
    assert "device-days" in (folder / "runs/paper/table7/table7.md").read_text()
