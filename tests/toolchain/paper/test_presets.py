"""The configuration of each table: the paper's numbers in the preset `imagenet`, and the order of file and flags."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from toolchain.config import Config
from toolchain.errors import BadConfig
from toolchain.paper.names import NAMES, require_names
from toolchain.paper.presets import paper_config
from toolchain.paper.request import TableRequest
from toolchain.paper.tables import TABLES
from toolchain.training.recipe import load_recipe

IMAGENET_IMAGES = 1_281_167  # of the training set; 50 of each of the 1,000 classes are held out


def config_of_table(
    name: str, preset: str, file: Path | None = None, flags: Mapping[str, tuple[str, ...]] | None = None
) -> Config:
    return paper_config(TableRequest(name, preset, file=file, flags=flags or {}), TABLES[name].PRESETS)


@pytest.mark.parametrize("name", NAMES)
def test_imagenet_is_the_paper(name: str) -> None:
    """Paper Sec. 3.4 and 4: P = 50, T = 20, k = 10, 0.1, 20,000 images; batch 1,024, 150,000 and 300,000 steps."""
    config = config_of_table(name, "imagenet")
    search = config.search
    assert (search.population, search.generations, search.top_k, search.mutation) == (50, 20, 10, 0.1)
    assert (search.bn_images, search.finalists, search.score) == (20_000, 0, "accuracy")
    assert (config.data, config.holdout_per_class, config.train.sampler) == ("folder:imagenet", 50, "constraint")
    fit = IMAGENET_IMAGES - 50_000
    supernet = load_recipe(config.train.recipe, "supernet", config.train.changes)
    alone = load_recipe(config.retrain.recipe, "retrain", config.retrain.changes)
    assert (supernet.batch, supernet.steps(fit)) == (1024, 150_000)
    assert (alone.batch, alone.steps(fit)) == (1024, 300_000)
    assert config.runs == Path("runs/paper") / name


@pytest.mark.parametrize(
    ("name", "space", "limit"),
    [
        ("table1", "shufflenet_v2", ("330M",)),
        ("table3", "shufflenet_v2", ("330M",)),
        ("table4", "shufflenet_v2", ("330M",)),
        ("table5", "proxyless", ()),
        ("table6", "resnet18_bits", ()),
        ("figure2", "shufflenet_v2", ("330M",)),
        ("figure3", "shufflenet_v2", ("330M",)),
    ],
)
def test_spaces_and_limits_of_the_paper(name: str, space: str, limit: tuple[str, ...]) -> None:
    config = config_of_table(name, "imagenet")
    assert (config.space, config.search.macs) == (space, limit)


@pytest.mark.parametrize("name", ["table3", "table4"])
def test_random_select_is_of_five(name: str) -> None:
    assert config_of_table(name, "imagenet").search.random_select == 5


@pytest.mark.parametrize("name", NAMES)
def test_quick_runs_on_fashion_mnist(name: str) -> None:
    config = config_of_table(name, "quick")
    assert (config.data, config.profile.device, config.search.finalists) == ("fashion-mnist", "cpu", 0)


def test_file_and_flags_change_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('data = "digits"\n[retrain]\nchanges = { epochs = 3 }\n[search]\nmacs = "1M"\n')
    config = config_of_table("table3", "quick", file, {"search.macs": ("2M",)})
    assert (config.data, config.search.macs, config.search.random_select) == ("digits", ("2M",), 5)
    assert config.retrain.changes == {"epochs": 3, "batch": 128, "lr": 0.2}


def test_unknown_names() -> None:
    with pytest.raises(BadConfig, match=r"the paper has no 'table9' that can be measured. There are table"):
        require_names(["table3", "table9"])
    with pytest.raises(BadConfig, match=r"unknown preset 'fast' of a table. Known presets: quick, imagenet"):
        config_of_table("table3", "fast")
    assert require_names(["table3", "all"]) == NAMES
    assert require_names(["table7", "table3", "table7"]) == ("table7", "table3")


def test_names_are_those_of_the_tables() -> None:
    assert tuple(TABLES) == NAMES
