"""The benchmark of reading data measures real things."""

from pathlib import Path

import pytest
from PIL import Image

from toolchain.config import Config
from toolchain.progress import Quiet
from toolchain.spaces.core import SearchSpace
from toolchain.training import throughput
from toolchain.training.throughput import Throughput, bench_data


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "ROUNDS", 2)
    monkeypatch.setattr(throughput, "ROUND_S", 0.05)


def check(throughput: Throughput, workers: int) -> None:
    values = throughput.as_dict()
    rates = {key: value for key, value in values.items() if key.endswith(("images_per_s", "cpu_ms"))}
    assert len(rates) == 9
    assert all(isinstance(value, float) and value > 0 for value in rates.values())
    assert values["workers"] == workers
    assert values["loader_share_of_bare"] == rates["loader_images_per_s"] / rates["bare_images_per_s"]
    assert values["waits"] == ("loader" if rates["loader_images_per_s"] > rates["step_images_per_s"] else "step")


def test_data_in_memory(tiny_config: Config, tiny_space: SearchSpace) -> None:
    measured = bench_data(tiny_config, tiny_space, Quiet())
    check(measured, workers=0)
    assert measured.processes == 1
    # a step computes a network, forward and back; fetching 32 rows of a tensor is less on any machine
    assert measured.step.cpu_ms > measured.bare.cpu_ms


@pytest.mark.long
def test_files(tiny_config: Config, tiny_space: SearchSpace, tmp_path: Path) -> None:
    for number in range(60):
        path = tmp_path / ("train" if number < 40 else "val") / str(number % 10) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 30), 80).save(path)
    config = tiny_config.model_copy(update={"data": f"folder:{tmp_path}", "holdout_per_class": 1, "workers": 2})
    check(bench_data(config, tiny_space, Quiet()), workers=2)
