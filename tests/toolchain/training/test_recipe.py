"""Recipes by name, with changes on top."""

import pytest

from toolchain.errors import BadConfig
from toolchain.training.recipe import Augmentation, Recipe, load_recipe, names


def test_the_papers_recipe() -> None:
    """Sec. 4 "Training": batch 1024, lr 0.5 falling in a line, decay 4e-5, smoothing 0.1; 120 and 240 epochs."""
    recipe = load_recipe("imagenet", "supernet", {})
    assert (recipe.batch, recipe.lr, recipe.momentum, recipe.weight_decay) == (1024, 0.5, 0.9, 4e-5)
    assert (recipe.schedule, recipe.warmup_steps, recipe.label_smoothing, recipe.epochs) == ("linear", 0, 0.1, 120)
    assert recipe.augmentation == Augmentation(random_resized_crop=True, color_jitter=0.4, flip=True)
    assert load_recipe("imagenet", "retrain", {}).epochs == 240
    # 1.23 M images without the 50 k held out: the paper's 150,000 iterations at batch 1024 are 120 epochs of 1.28 M
    assert recipe.steps(1_281_167) == pytest.approx(150_000, rel=1e-3)


def test_changes_override_the_recipe() -> None:
    changed = load_recipe("quick", "supernet", {"epochs": 0.5, "augmentation": {"flip": True}})
    assert (changed.epochs, changed.augmentation) == (0.5, Augmentation(flip=True))
    assert changed.batch == load_recipe("quick", "supernet", {}).batch


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epoch": 1}, "recipe 'quick', epoch: Extra inputs"),
        ({"lr": 0}, "recipe 'quick', lr: "),
        ({"augmentation": {"flop": True}}, "recipe 'quick', augmentation.flop: "),
        ({"schedule": "step"}, "recipe 'quick', schedule: "),
    ],
)
def test_a_wrong_change_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load_recipe("quick", "supernet", changes)
    assert words in str(caught.value)


def test_an_unknown_recipe_is_answered_with_those_there_are() -> None:
    with pytest.raises(BadConfig, match=r"unknown recipe 'slow'\. Known recipes: imagenet, quick"):
        load_recipe("slow", "supernet", {})
    assert names() == ("imagenet", "quick")


def test_steps() -> None:
    recipe = Recipe(epochs=2, batch=64, lr=0.1)
    assert recipe.steps(6400) == 200
    assert recipe.steps(3) == 1
