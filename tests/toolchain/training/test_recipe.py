"""Recipes by name, with changes on top."""

import pytest

from toolchain.config import parse_config, preset_text
from toolchain.errors import BadConfig
from toolchain.training.recipe import Augmentation, Recipe, load_recipe, names


def test_the_papers_recipe() -> None:
    """Sec. 4 "Training": batch 1024, lr 0.5 falling in a line, decay 4e-5, smoothing 0.1; 120 and 240 epochs."""
    recipe = load_recipe("imagenet", "supernet", {})
    assert (recipe.batch, recipe.lr, recipe.momentum, recipe.weight_decay) == (1024, 0.5, 0.9, 4e-5)
    assert (recipe.schedule, recipe.warmup_steps, recipe.label_smoothing, recipe.epochs) == ("linear", 0, 0.1, 120)
    assert recipe.augmentation == Augmentation(
        random_resized_crop=True, source_ratio=3.6, color_jitter=0.4, flip=True
    )  # a ratio at which no crop has fewer pixels than the input
    assert load_recipe("imagenet", "retrain", {}).epochs == 240


def test_the_preset_has_the_papers_steps() -> None:
    """Sec. 4 "Training": 120 epochs are 150,000 iterations and 240 are 300,000, with 50,000 images held out."""
    config = parse_config(preset_text("imagenet"), {}, "test")
    supernet = load_recipe(config.train.recipe, "supernet", config.train.changes)
    retrain = load_recipe(config.retrain.recipe, "retrain", config.retrain.changes)
    assert (supernet.steps(1_231_167), retrain.steps(1_231_167)) == (150_000, 300_000)
    shorter = parse_config(preset_text("imagenet"), {"train.changes.epochs": 1.0}, "test")
    assert load_recipe("imagenet", "supernet", shorter.train.changes).steps(1_231_167) == 1250
    assert config.profile.device == "gpu"


def test_changes_override_the_recipe() -> None:
    changed = load_recipe("quick", "supernet", {"epochs": 0.5, "augmentation": {"flip": True}})
    assert (changed.epochs, changed.augmentation) == (0.5, Augmentation(flip=True))
    assert changed.batch == load_recipe("quick", "supernet", {}).batch


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epoch": 1}, "recipe 'quick', epoch: unknown key; the nearest is epochs"),
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
    with pytest.raises(BadConfig, match=r"unknown recipe 'slow'\. Known recipes: finetune, imagenet, photos, quick"):
        load_recipe("slow", "supernet", {})
    assert names() == ("finetune", "imagenet", "photos", "quick")


def test_options_that_are_off_leave_no_trace_in_fingerprints() -> None:
    """Checkpoints and journals of versions without these options stay usable."""
    stored = load_recipe("imagenet", "supernet", {}).model_dump(mode="json")
    assert set(stored) == {
        "epochs", "batch", "lr", "momentum", "weight_decay", "clip_lr_scale", "clip_weight_decay", "schedule",
        "warmup_steps", "label_smoothing", "augmentation",
    }  # fmt: skip
    assert set(stored["augmentation"]) == {
        "random_resized_crop", "crop_padding", "color_jitter", "flip", "source_ratio",
    }  # fmt: skip
    earlier = {"random_resized_crop": True, "color_jitter": 0.4, "flip": True}  # of version 0.1.0
    same = load_recipe("imagenet", "supernet", {"augmentation": earlier}).model_dump(mode="json")
    assert set(same["augmentation"]) == {"random_resized_crop", "crop_padding", "color_jitter", "flip"}
    changes = {"optimizer": "adamw", "ema_decay": 0.99, "augmentation": {"auto_augment": "randaugment"}}
    changed = load_recipe("imagenet", "supernet", changes)
    assert (changed.model_dump()["optimizer"], changed.model_dump()["ema_decay"]) == ("adamw", 0.99)
    assert Recipe.model_validate(changed.model_dump(mode="json")) == changed


def test_steps() -> None:
    recipe = Recipe(epochs=2, batch=64, lr=0.1)
    assert recipe.steps(6400) == 200
    assert recipe.steps(3) == 1
    assert Recipe(epochs=2, batch=64, lr=0.1, epoch_images=640).steps(6400) == 20
