"""A ranking: which networks it takes, what it answers, and that nothing of it is done twice."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from toolchain.config import Config, parse_config, preset_text
from toolchain.costs.counters import macs_cost, params_cost
from toolchain.errors import BadCheckpoint, BadConfig
from toolchain.progress import Quiet
from toolchain.ranking import rank as module
from toolchain.ranking.rank import check_request, rank, sample
from toolchain.runs import Run, open_run
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.data import Data, load_data
from toolchain.training.job import Job
from toolchain.training.retrained import Retrained
from toolchain.training.supernet_training import train_supernet

SPACE = (
    "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32,"
    "ops=choice_3,widths=0.2-0.6-1.0-1.6,round_to=1"
)
NETWORKS, REPEATS = 4, 2


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load_space(SPACE)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    flags = {
        "space": SPACE,
        "data": "digits",
        "runs": str(tmp_path_factory.mktemp("runs")),
        "holdout_per_class": 20,
        "threads": 1,
        "train.changes": {"epochs": 1, "batch": 64},
        "retrain.changes": {"epochs": 0.5, "batch": 64},
        "search": {"bn_images": 128, "batch": 64},
    }
    return parse_config(preset_text("quick"), flags, "test")


@pytest.fixture(scope="module")
def data(space: SearchSpace) -> Data:
    return load_data("digits", space, 20, 0)


@pytest.fixture(scope="module")
def run(config: Config, space: SearchSpace, data: Data) -> Run:
    with open_run(config, make=True) as folder:
        train_supernet(Job(config, space, data, folder, Quiet()))
    return folder


def test_a_sample_has_a_network_at_each_level_of_cost(space: SearchSpace) -> None:
    cost = macs_cost(space)
    sampled = sample(space, cost, 10, seed=0)
    width = (cost.greatest - cost.least) / 10
    levels = [min(9, int((cost.cost(arch) - cost.least) / width)) for arch in sampled]
    assert levels == list(range(10))
    assert sampled == sample(space, cost, 10, seed=0) != sample(space, cost, 10, seed=1)
    uniform = [cost.cost(space.draw(Random(seed))) for seed in range(10)]
    assert max(map(cost.cost, sampled)) - min(map(cost.cost, sampled)) > max(uniform) - min(uniform)


def test_a_sample_of_a_coarse_space_is_filled_up(tiny_space: SearchSpace) -> None:
    sampled = sample(tiny_space, macs_cost(tiny_space), 100, seed=0)
    assert len(set(sampled)) == 100


@pytest.mark.long
def test_a_killed_ranking_resumes_and_trains_nothing_twice(
    config: Config, space: SearchSpace, data: Data, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[str, int]] = []
    retrain = module.retrain

    def counted(job: Job, arch: Architecture) -> Retrained:
        if len(trained) == 3:
            raise Killed
        trained.append((str(arch), job.config.seed))
        return retrain(job, arch)

    with monkeypatch.context() as patch:
        patch.setattr(module, "retrain", counted)
        with pytest.raises(Killed):
            rank(Job(config, space, data, run, Quiet()), NETWORKS, REPEATS)
    answer = rank(Job(config, space, data, run, Quiet()), NETWORKS, REPEATS)
    archs = [str(arch) for arch in sample(space, macs_cost(space), NETWORKS, config.seed)]
    assert trained == [(arch, seed) for arch in archs for seed in range(REPEATS)][:3]
    assert [" ".join(network.architecture) for network in answer.networks] == archs
    assert all(len(network.standalone) == REPEATS for network in answer.networks)
    assert set(answer.tau) == {
        "inherited_and_standalone",
        "batch_statistics_and_standalone",
        "inherited_and_batch_statistics",
        "loss_and_standalone",
        "macs_and_standalone",
        "params_and_standalone",
        "first_and_second_repeat",
    }
    for network in answer.networks:
        assert len({network.inherited, *network.standalone}) > 1
    assert answer.seconds.standalone > 0
    assert {name: set(band.tau) for name, band in answer.within.items()} == {
        "third": set(answer.tau),
        "10_percent": set(answer.tau),
    }
    assert answer.within["third"].pairs == 1  # of four networks, two are in the first third
    losses = [network.loss for network in answer.networks]
    assert len(set(losses)) == NETWORKS
    assert all(0 < loss < 10 for loss in losses)
    params = params_cost(space)
    assert [network.params for network in answer.networks] == [
        int(params.cost(space.architecture(network.architecture))) for network in answer.networks
    ]

    with monkeypatch.context() as patch:
        patch.setattr(module, "retrain", lambda *_: pytest.fail("this was trained before"))
        again = rank(Job(config, space, data, run, Quiet()), NETWORKS, REPEATS)
    assert (again.networks, again.tau) == (answer.networks, answer.tau)
    assert again.seconds.standalone == answer.seconds.standalone

    other = config.model_copy(
        update={"search": config.search, "retrain": config.retrain.model_copy(update={"changes": {"epochs": 2}})}
    )
    with pytest.raises(BadCheckpoint, match="epochs"):
        rank(Job(other, space, data, run, Quiet()), NETWORKS, REPEATS)


@pytest.mark.parametrize(
    ("networks", "repeats", "text"),
    [(3, 1, "too few for an order"), (257, 1, "has 256 architectures"), (4, 0, "trains nothing")],
)
def test_what_cant_be_done_is_refused(networks: int, repeats: int, text: str, tiny_space: SearchSpace) -> None:
    assert tiny_space.size == 256
    with pytest.raises(BadConfig, match=text):
        check_request(networks, repeats, tiny_space)


@pytest.mark.long
def test_the_command(nastool: Callable[..., Any], config: Config, run: Run, tmp_path: Any) -> None:
    (tmp_path / "nastool.toml").write_text(config.as_toml())
    answer = nastool("rank", "--networks", "4", "--repeats", "2", "--json", cwd=tmp_path)
    assert answer.code == 0, answer.stderr
    assert answer.json["cost"] == "macs"
    shown = nastool("rank", "--networks", "4", "--repeats", "2", cwd=tmp_path)
    for words in ("inherited", "loss", "params", "thirds", "10%"):
        assert words in shown.stdout
    assert "standard deviation" in shown.stderr
    refused = nastool("rank", "--networks", "2", cwd=tmp_path)
    assert (refused.code, refused.stdout) == (2, "")
    assert "--networks 4" in refused.stderr


def test_a_ranking_that_trained_nothing_does_not_block_other_settings(
    config: Config, space: SearchSpace, data: Data, tmp_path: Path
) -> None:
    """It was killed in its first training, whose checkpoint has the same settings."""
    run = Run(tmp_path / "r")
    module._open_journal(Job(config, space, data, run, Quiet()))
    checkpoint = run.repeat(0).retrain(space.all_same("choice_3@0.6")) / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    module._open_journal(Job(config, space, data, run, Quiet()))
    assert checkpoint.exists()
    module._open_journal(Job(config.model_copy(update={"seed": 1}), space, data, run, Quiet()))
    assert not checkpoint.exists()
