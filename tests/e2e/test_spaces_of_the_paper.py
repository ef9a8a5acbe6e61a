"""Channel and bit width searches by command: one supernet, several budgets, a winner within each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from toolchain.costs.counters import bitops_cost
from toolchain.spaces import load_space
from toolchain.training import fashion_mnist

pytestmark = pytest.mark.long  # whole commands, tens of seconds in all

Nastool = Callable[..., Any]

RESNET = (
    "resnet18_bits:size_px=16,in_channels=1,classes=10,stem_kernel=3,stem_stride=1,stem_pool=false,"
    "stage_widths=8-16-32-64,stage_repeats=1-1-1-1"
)
SMALL = ["--population", "8", "--generations", "3"]


@pytest.mark.long
@pytest.mark.skipif(fashion_mnist.find() is None, reason="Fashion-MNIST is not on this machine")
def test_bit_widths_under_three_limits_from_one_supernet(nastool: Nastool, tmp_path: Path) -> None:
    (tmp_path / "nastool.toml").write_text(
        f'run = "bits"\nspace = "{RESNET}"\ndata = "fashion-mnist"\nthreads = 1\n'
        "[profile]\nbatch = 8\nrounds = 2\nmin_ms = 1.0\nnetworks = 6\nquiet_timeout_s = 1\n"
        '[train]\nrecipe = "quick"\nchanges = { epochs = 0.2 }\n'
        "[search]\nbn_images = 500\ntop_k = 4\n"
        '[retrain]\nrecipe = "quick"\nchanges = { epochs = 0.05 }\n'
    )
    assert nastool("train", cwd=tmp_path).code == 0
    cost = bitops_cost(load_space(RESNET))
    limits = [int(cost.least + share * (cost.greatest - cost.least)) for share in (0.1, 0.3, 0.6)]
    flags = [word for limit in limits for word in ("--bitops", str(limit))]
    answer = nastool("search", *flags, "--no-random-search", *SMALL, "--json", cwd=tmp_path)
    assert answer.code == 0, answer.stderr
    winners = list(answer.json["winners"].values())
    assert [winner["limits"]["bitops"] for winner in winners] == limits
    assert all(winner["bitops"] <= limit for winner, limit in zip(winners, limits, strict=True))
    assert all(winner["measured_latency_ms"] > 0 for winner in winners)  # of its int8 container
    front = answer.json["front"]
    assert front == sorted(front, key=lambda point: (point["bitops"], point["holdout_accuracy"]))
    assert (tmp_path / "runs/bits/search/front.png").exists()

    retrained = nastool("retrain", "--json", cwd=tmp_path)
    assert retrained.code == 0, retrained.stderr
    assert retrained.json["architecture"] == winners[-1]["architecture"]


def test_latency_and_bitops_together(nastool: Nastool, tmp_path: Path) -> None:
    """Both limits hold in the winner, and the file that ships is the one that the latency limit was met in."""
    space = (
        "resnet18_bits:size_px=16,in_channels=1,classes=10,stem_kernel=3,stem_stride=1,stem_pool=false,"
        "stage_widths=8-16,stage_repeats=1-1"
    )
    (tmp_path / "nastool.toml").write_text(
        f'space = "{space}"\ndata = "digits"\nholdout_per_class = 20\nthreads = 1\n'
        "[profile]\nbatch = 8\nrounds = 3\nmin_ms = 2.0\nnetworks = 6\nquiet_timeout_s = 1\n"
        '[train]\nrecipe = "quick"\nchanges = { epochs = 2, batch = 32 }\n[search]\nbn_images = 128\ntop_k = 4\n'
        '[retrain]\nrecipe = "quick"\nchanges = { epochs = 3, batch = 32 }\n'
    )
    assert nastool("train", cwd=tmp_path).code == 0
    profiled = nastool("profile", "--json", cwd=tmp_path)
    assert profiled.code == 0, profiled.stderr
    assert profiled.json["target"]["precision"] == "int8"
    assert len(profiled.json["rows"]) == 2 * 3 + 2  # geometries x widths, stem and head: all bits share a container
    latencies = [network["latency_ms"] for network in profiled.json["networks"]]
    cost = bitops_cost(load_space(space))
    limit_ms, most = 2 * max(latencies), int((cost.least + cost.greatest) / 2)
    limits = ["--latency", f"{limit_ms}ms", "--bitops", str(most)]
    answer = nastool("search", *limits, "--no-random-search", *SMALL, "--json", cwd=tmp_path)
    assert answer.code == 0, answer.stderr
    winner = answer.json
    assert winner["bitops"] <= most
    assert winner["measured_latency_ms"] <= winner["measured_upper_ms"] <= limit_ms
    assert nastool("retrain", cwd=tmp_path).code == 0
    exported = nastool("export", "--json", cwd=tmp_path)
    assert exported.code == 0, exported.stderr
    (model,) = exported.json["models"].values()
    assert model["precision"] == "int8"
    assert model["convolutions"] == {"int8": 5, "fp32": 1}  # the stem stays in float
    assert exported.json["costs"]["latency_ms"] > 0
    assert nastool("check", cwd=tmp_path).code in (0, 3)  # 3: inconclusive on a busy machine


def test_channel_search_with_fixed_ops(finished_job: Any, nastool: Nastool, tmp_path: Path) -> None:
    """The paper's better pipeline (Table 4): search blocks first, then the widths of these blocks."""
    best = finished_job.answers["search"].json
    source = finished_job.folder / "runs/r/search/best.json"
    (tmp_path / "nastool.toml").write_text((finished_job.folder / "nastool.toml").read_text())
    flags = ["--fixed-ops", str(source), "--widths", "1.0-2.0-3.0", "--run", "channels"]
    assert nastool("train", *flags, cwd=tmp_path).code == 0
    answer = nastool("search", *flags, "--macs", "60k", "--json", cwd=tmp_path)
    assert answer.code == 0, answer.stderr
    assert answer.json["macs"] <= 60_000
    assert [key.partition("@")[0] for key in answer.json["architecture"]] == best["architecture"]
    shown = nastool("cost", *flags[:4], "--arch", " ".join(answer.json["architecture"]), "--json", cwd=tmp_path)
    assert shown.json["macs"] == answer.json["macs"]
    best_file = json.loads((tmp_path / "runs/channels/search/best.json").read_text())
    assert answer.json["folder"] == "runs/channels/search/macs_60k"
    assert answer.json | best_file == answer.json


def test_quantized_supernet_starts_from_float_weights(nastool: Nastool, tmp_path: Path) -> None:
    space = (
        "resnet18_bits:size_px=16,in_channels=1,classes=10,stem_kernel=3,stem_stride=1,stem_pool=false,"
        "stage_widths=4-8,stage_repeats=1-1"
    )
    (tmp_path / "nastool.toml").write_text(
        f'space = "{space}"\ndata = "digits"\nholdout_per_class = 20\nthreads = 1\n'
        '[train]\nrecipe = "quick"\nchanges = { epochs = 0.1 }\n[retrain]\nrecipe = "quick"\nchanges = { epochs = 1 }\n'
    )
    floats = f"{space},bits=float"
    retrained = nastool("retrain", "--space", floats, "--arch", "basic basic", "--run", "float", "--json", cwd=tmp_path)
    assert retrained.code == 0, retrained.stderr
    (best,) = (tmp_path / "runs/float/retrain").glob("*/best.pt")
    answer = nastool("train", "--from", str(best), "--run", "bits", cwd=tmp_path)
    assert answer.code == 0, answer.stderr
    assert nastool("train", "--run", "bits", cwd=tmp_path).code == 0, "the run remembers what it started from"
    weights = torch.load(best, weights_only=True)["model"]
    torch.save({name: value + 1 for name, value in weights.items()}, tmp_path / "other.pth")
    other = nastool("train", "--from", "other.pth", "--run", "bits", cwd=tmp_path)
    assert other.code == 2
    assert "start_from was" in other.stderr
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "odd.pth")
    for name, word in (
        ("odd.pth", "conv1.weight"),
        ("nastool.toml", "is not a file of PyTorch weights"),
        ("missing.pth", "missing.pth"),
    ):
        refused = nastool("train", "--from", name, "--run", "refused", cwd=tmp_path)
        assert refused.code == 2
        assert word in refused.stderr
        assert not (tmp_path / "runs/refused/supernet").exists()
