"""Without a space in flags, file or run, the preset that suits the data is used, and a line says which."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from toolchain.config import Config, preset_text, read_given
from toolchain.errors import BadConfig
from toolchain.training import recipe_choice
from toolchain.training.image_survey import SurveyedFolders
from toolchain.training.preset_choice import assumes_space, fitted_preset_text, suited_config
from toolchain.training.recipe_choice import count_images

QUICK = "shufflenet_v2_quick:stage_widths=32-64,stage_repeats=2-2,ops=choice_3-choice_7,widths=0.5-1.0-2.0-4.0"
PHOTOS = "shufflenet_v2_quick:stage_widths=48-96-192,stage_repeats=2-3-2,widths=0.5-1.0"


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)


def suited(command: str = "train", **flags: Any) -> tuple[Config, str]:
    given = read_given(None, {key.replace("__", "."): value for key, value in flags.items()})
    return suited_config(given, command, SurveyedFolders())


def test_color_images_have_the_preset_photos(two_classes: Path) -> None:
    config, note = suited(data=f"folder:{two_classes}")
    preset = Config(**tomllib.loads(preset_text("photos", f"folder:{two_classes}")))
    assert config == preset.model_copy(update={"run": "main"})
    assert (config.space, config.train.recipe, config.retrain.recipe) == (PHOTOS, "photos", "photos")
    assert note == ("settings: preset photos, since the images are in color. Choose others with --space and --recipe")


def test_known_data_sets_have_the_preset_quick() -> None:
    config, note = suited(data="fashion-mnist")
    assert config == Config(**tomllib.loads(preset_text("quick"))).model_copy(update={"run": "main"})
    assert (config.space, config.search.population) == (QUICK, 20)
    assert "preset quick, since fashion-mnist has small gray images" in note
    digits, _ = suited(data="digits")
    assert (digits.train.changes["epochs"], digits.retrain.changes["epochs"]) == (13, 39)  # a fortieth of the images
    assert digits.search.finalist_epochs == 0.5


def test_the_papers_settings_need_a_gpu_or_their_name(two_classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = f"folder:{two_classes}"
    monkeypatch.setattr(recipe_choice, "MANY_IMAGES", 8)
    config, note = suited(data=data)
    assert config.space == PHOTOS
    assert "preset photos, since there are 8 images or more, but no GPU" in note
    named, note = suited(data=data, train__recipe="imagenet")
    assert (named.space, named.train.recipe, named.profile.device) == ("shufflenet_v2", "imagenet", "cpu")
    assert "preset imagenet, since it is that of the recipe" in note
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    config, note = suited(data=data)
    assert (config.space, config.retrain.recipe, config.search.population) == ("shufflenet_v2", "imagenet", 50)
    assert "preset imagenet, since there are 8 images or more, and a GPU" in note


def test_what_is_given_comes_before_the_preset(two_classes: Path) -> None:
    data = f"folder:{two_classes}"
    Path("nastool.toml").write_text(f'data = "{data}"\n[search]\npopulation = 7\n[profile]\ndevice = "gpu"\n')
    config, note = suited(seed=3, train__changes__epochs=2.0, profile__batch=4)
    assert (config.space, config.seed, config.train.changes) == (PHOTOS, 3, {"epochs": 2.0})
    assert (config.search.population, config.search.generations) == (7, 8)
    assert (config.profile.device, config.profile.devices, config.profile.batch) == ("gpu", ("gpu",), 4)
    assert note
    quick, _ = suited(train__recipe="quick")
    assert (quick.space, quick.train.recipe, quick.retrain.recipe) == (QUICK, "quick", "quick")
    finetuned, _ = suited(data="digits", train__recipe="finetune")
    assert (finetuned.train.recipe, finetuned.train.changes, finetuned.retrain.recipe) == ("finetune", {}, "quick")


def test_a_space_or_a_run_or_weights_leave_the_defaults(two_classes: Path) -> None:
    for flags in ({"space": "proxyless"}, {"train__start_from": "resnet18.pt"}, {"data": None}):
        config, note = suited(**({"data": f"folder:{two_classes}"} | flags))
        assert (config.search.population, note) == (50, "")
    run = Path("runs/main")
    run.mkdir(parents=True)
    (run / "config.toml").write_text('data = "digits"\nspace = "shufflenet_v2"\n[search]\npopulation = 9\n')
    config, note = suited()
    assert (config.space, config.search.population, note) == ("shufflenet_v2", 9, "")
    other, note = suited(run="other", data="digits")
    assert (other.space, bool(note)) == (QUICK, True)


def test_an_error_names_its_source() -> None:
    Path("nastool.toml").write_text('data = "digits"\n[search]\npopulation = "many"\n')
    with pytest.raises(BadConfig, match=r"nastool.toml, search.population: "):
        suited()


def test_the_space_is_assumed_only_where_nothing_names_one() -> None:
    def assumed(**flags: str) -> bool:
        given = read_given(None, flags)
        return assumes_space(given, given.config(), "")

    assert assumed()
    assert not assumed(space="shufflenet_v2")
    assert not assumed(data="digits")


def test_the_epochs_of_quick_follow_the_number_of_images(two_classes: Path) -> None:
    folders = SurveyedFolders()
    assert count_images(f"folder:{two_classes}", folders) == 8
    assert [count_images(name, folders) for name in ("digits", "folder:missing", "wds:a;b")] == [1433, 0, 0]
    text = fitted_preset_text("quick", f"folder:{two_classes}", folders)
    assert tomllib.loads(text)["train"]["changes"]["epochs"] == 170  # 2 x sqrt(60,000 / 8)
    assert "\nepochs = 170 " in text
    assert "# passes over the training images" in text
    assert fitted_preset_text("quick", "fashion-mnist", folders) == preset_text("quick")
    assert fitted_preset_text("photos", "digits", folders) == preset_text("photos", "digits")


def test_commands_say_what_they_chose(nastool: Callable[..., Any], tmp_path: Path) -> None:
    trained = nastool("train", "--data", "digits", "--epochs", "0.1", cwd=tmp_path)
    assert trained.code == 0, trained.stderr
    first, second, *_ = trained.stderr.splitlines()
    assert first == (
        "settings: preset quick, since digits has small gray images. Choose others with --space and --recipe"
    )
    assert second == f"run main: digits, {QUICK}"
    assert "settings:" not in nastool("train", cwd=tmp_path).stderr  # the run names them
    spaces = nastool("space", "--space", "shufflenet_v2", cwd=tmp_path)
    assert spaces.stderr.startswith("space: shufflenet_v2\n")
    assert "space: shufflenet_v2 (the paper's, for ImageNet), since nothing names one" in (
        nastool("space", cwd=tmp_path).stderr
    )


def test_the_hint_chooses_the_same(tmp_path: Path, nastool: Callable[..., Any]) -> None:
    """It names the data set alone, so that all settings of its preset follow."""
    refused = nastool("search", "--data", "digits", "--latency", "1ms", cwd=tmp_path)
    assert refused.code == 2
    assert "latency.sqlite does not exist yet. Run nastool profile --data digits first" in refused.stderr
