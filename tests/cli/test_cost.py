"""`nastool cost`: the published numbers, from the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

# The architecture that the authors published (their evolution's winner), and its cost counted in the official code;
# the paper's Table 1 rounds it to 319M.
ARCH = "0 0 3 1 1 1 0 0 2 0 2 1 1 0 2 0 2 1 3 2"
MACS, PARAMS = 318_729_024, 3_345_088


def test_published_architecture(nastool: Callable[..., Any], tmp_path: Path) -> None:
    answer = nastool("cost", "--space", "shufflenet_v2", "--arch", ARCH, "--json", cwd=tmp_path)
    assert answer.code == 0
    report = answer.json
    assert (report["macs"], report["params"]) == (MACS, PARAMS)
    assert report["latency_ms"] is None, "not measured is never a number"
    assert report["space"] == "shufflenet_v2"
    assert len(report["architecture"]) == len(report["blocks"]) == 20
    assert [block["choice"] for block in report["blocks"]] == report["architecture"]
    assert report["fixed_macs"] + sum(block["macs"] for block in report["blocks"]) == MACS
    assert report["blocks"][0]["block"] == "16x112px->64s2"
    assert list(tmp_path.iterdir()) == [], "counting writes nothing"


def test_keys_indices_and_commas_say_the_same(nastool: Callable[..., Any], tmp_path: Path) -> None:
    answer = nastool("cost", "--space", "shufflenet_v2", "--arch", ARCH, "--json", cwd=tmp_path)
    keys = ",".join(answer.json["architecture"])
    assert nastool("cost", "--space", "shufflenet_v2", "--arch", keys, "--json", cwd=tmp_path) == answer


def test_for_people(nastool: Callable[..., Any], tmp_path: Path) -> None:
    answer = nastool("cost", "--space", "shufflenet_v2", "--arch", ARCH, cwd=tmp_path)
    assert "318,729,024" in answer.stdout
    assert "3,345,088" in answer.stdout
    assert answer.stdout.count("px->") == 20
    assert "not measured" in answer.stderr
    assert "nastool profile" in answer.stderr
