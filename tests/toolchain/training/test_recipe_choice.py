"""Without a recipe in flags, file or run, one that suits the data is chosen, and a line says which."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from toolchain.config import Config
from toolchain.training import recipe_choice
from toolchain.training.recipe import load_recipe
from toolchain.training.recipe_choice import with_chosen_recipes


@pytest.fixture
def gray(tmp_path: Path) -> Path:
    for part in ("train", "val"):
        for name in ("a", "b"):
            folder = tmp_path / "gray" / part / name
            folder.mkdir(parents=True)
            for number in range(2):
                Image.new("L", (30, 30), 100 * number).save(folder / f"{number}.png")
    return tmp_path / "gray"


def chosen(data: str, **settings: Any) -> tuple[str, str]:
    config, _ = with_chosen_recipes(Config(data=data, **settings))
    return config.train.recipe, config.retrain.recipe


def test_the_recipe_suits_the_data(two_classes: Path, gray: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(f"folder:{two_classes}") == ("photos", "photos")
    assert chosen(f"folder:{gray}") == ("quick", "quick")
    assert chosen("digits") == ("quick", "quick")
    assert chosen("folder:missing") == ("photos", "photos")  # loading it gives the error
    assert chosen("wds:a.tar;b.tar") == ("photos", "photos")
    monkeypatch.setattr(recipe_choice, "MANY_IMAGES", 8)
    assert chosen(f"folder:{two_classes}") == ("photos", "photos")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert chosen(f"folder:{two_classes}") == ("imagenet", "imagenet")
    assert chosen("wds:a.tar;b.tar") == ("imagenet", "imagenet")
    monkeypatch.setattr(recipe_choice, "MANY_IMAGES", 9)
    assert chosen(f"folder:{two_classes}") == ("photos", "photos")


def test_a_given_recipe_stays() -> None:
    config, notes = with_chosen_recipes(Config(data="digits", train={"recipe": "imagenet"}))
    assert (config.train.recipe, config.retrain.recipe) == ("imagenet", "quick")
    assert notes == {"retrain": "recipe: quick, since digits has small gray images. Choose another with --recipe"}
    assert with_chosen_recipes(config) == (config, {})


def test_trained_weights_get_a_lower_learning_rate(two_classes: Path) -> None:
    config, notes = with_chosen_recipes(Config(data=f"folder:{two_classes}", train={"start_from": "r.pt"}))
    assert load_recipe(config.train.recipe, "supernet", config.train.changes).lr == 0.01
    assert load_recipe(config.retrain.recipe, "retrain", config.retrain.changes).lr == 0.1
    assert "photos, since the images are in color, with lr = 0.01, since it starts from" in notes["train"]
    given = {"start_from": "r.pt", "changes": {"lr": 0.3}}
    config, _ = with_chosen_recipes(Config(data=f"folder:{two_classes}", train=given))
    assert config.train.changes == {"lr": 0.3}


def test_photos_has_epochs_by_the_number_of_images() -> None:
    recipe = load_recipe("photos", "supernet", {})
    assert [round(recipe.epochs_for(images), 1) for images in (1_000, 10_000, 100_000)] == [94.9, 30.0, 9.5]
    assert load_recipe("photos", "supernet", {"epochs": 5}).epochs_for(1_000) == 5
    assert (recipe.ema_decay, recipe.patience, recipe.augmentation.source_ratio) == (0.995, 4, 2.0)


@pytest.mark.long
def test_the_command_says_and_keeps_the_recipe(nastool: Callable[..., Any], tmp_path: Path) -> None:
    space = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32"
    trained = nastool("train", "--data", "digits", "--space", space, "--epochs", "0.2", cwd=tmp_path)
    assert trained.code == 0, trained.stderr
    assert "recipe: quick, since digits has small gray images. Choose another with --recipe" in trained.stderr
    assert f"run main: digits, {space}" in trained.stderr.splitlines()[1]
    assert "--recipe" not in trained.stderr.splitlines()[-1]
    stored = (tmp_path / "runs" / "main" / "config.toml").read_text()
    assert stored.count('recipe = "quick"') == 2
    assert "small path" in trained.stdout
    again = nastool("train", "--more-epochs", "0.2", "--json", cwd=tmp_path)
    assert again.code == 0, again.stderr
    assert "recipe:" not in again.stderr
    assert again.json["steps"] == 2 * len(range(4))
    assert [score["step"] for score in again.json["holdout_scores"]["scores"]] == [4, 8]


def test_init_chooses_the_preset_by_the_images(
    nastool: Callable[..., Any], two_classes: Path, gray: Path, tmp_path: Path
) -> None:
    for data, preset in ((f"folder:{two_classes}", "photos"), (f"folder:{gray}", "quick"), ("digits", "quick")):
        answer = nastool("init", "--force", "--data", data, cwd=tmp_path)
        assert answer.code == 0, answer.stderr
        assert f"wrote nastool.toml ({preset})" in answer.stderr
