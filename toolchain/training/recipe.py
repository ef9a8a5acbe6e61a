"""Training recipes, as TOML presets in `recipes/`."""

import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from toolchain.config.keys import all_keys, unknown_key
from toolchain.errors import BadConfig

# Fields that are written only where they differ from their defaults: versions before 0.2 did not have them.
OPTIONS = frozenset(
    {
        "epoch_images",
        "optimizer",
        "mixup_alpha",
        "cutmix_alpha",
        "ema_decay",
        "auto_augment",
        "distillation",
        "temperature",
        "source_ratio",
        "reference_images",
        "patience",
    }
)

Stage = Literal["supernet", "retrain"]
AutoAugment = Literal["none", "trivialaugment", "randaugment"]


class _Part(BaseModel):
    """Base of a recipe's tables."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    @model_serializer(mode="wrap")
    def _without_unused_options(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without options that are off, so that fingerprints equal those of versions without them."""
        content: dict[str, Any] = serialize(self)
        return {
            name: value
            for name, value in content.items()
            if name not in OPTIONS or value != type(self).model_fields[name].default
        }


class Augmentation(_Part):
    """Random changes of training images."""

    random_resized_crop: bool = False
    """A random part of the image, resized (the paper's recipe)."""
    source_ratio: float = Field(0.0, ge=0, le=100)
    """Short side that images are reduced to before `random_resized_crop`, as a multiple of the input size; they are
    kept so in the cache. 0: not reduced, and decoded again in each epoch.
    """
    crop_padding: int = Field(0, ge=0)
    """Pixels of zero around the image, then a random crop of its size."""
    color_jitter: float = Field(0.0, ge=0)
    """Strength of random brightness, contrast and saturation."""
    flip: bool = False
    """Mirror half of the images."""
    auto_augment: AutoAugment = "none"
    """A random operation for each image (TrivialAugment), or two (RandAugment)."""

    @property
    def nothing(self) -> bool:
        return self == Augmentation()


class Recipe(_Part):
    """SGD or AdamW with a linear or cosine decay to zero (in the paper: SGD, linear, without warm-up)."""

    epochs: float = Field(gt=0, le=1_000_000)
    """Passes over the training images."""
    reference_images: int = Field(0, ge=0)
    """Training images that `epochs` is meant for: others are trained `epochs` x sqrt(reference_images / images); 0: the
    number of epochs is the same for all.
    """
    epoch_images: int = Field(0, ge=0)
    """Images that count as one epoch; 0: the training images without the hold-out."""
    batch: int = Field(gt=0)
    """Images of a step, of all processes together."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """Optimizer."""
    lr: float = Field(gt=0)
    """Learning rate at its highest."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of SGD; beta1 of AdamW."""
    weight_decay: float = Field(0.0, ge=0)
    """Decay of weights; none on batch normalization."""
    clip_lr_scale: float = Field(1.0, gt=0)
    """Learning rate of PACT's clipping levels, as a multiple of lr."""
    clip_weight_decay: float = Field(0.0, ge=0)
    """L2 decay of PACT's clipping levels."""
    schedule: Literal["linear", "cosine"] = "linear"
    """Decay of the learning rate to zero."""
    warmup_steps: int = Field(0, ge=0)
    """Steps in which the learning rate rises to `lr`."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that is spread over all classes."""
    mixup_alpha: float = Field(0.0, ge=0)
    """Blends pairs of images and their labels by Beta(alpha, alpha); 0: off."""
    cutmix_alpha: float = Field(0.0, ge=0)
    """Pastes a box of another image; with `mixup_alpha`, one of both in each batch; 0: off."""
    ema_decay: float = Field(0.0, ge=0, lt=1)
    """Decay of the moving average of the weights that a training ends with; 0: off."""
    patience: int = Field(0, ge=0)
    """Evaluations on the hold-out that are clearly below the best one until the training ends early; 0: it does not."""
    distillation: float = Field(0.5, ge=0, le=1)
    """Share of a teacher's predictions in the loss; labels have the rest."""
    temperature: float = Field(1.0, gt=0)
    """Temperature that softens the predictions of teacher and network."""
    augmentation: Augmentation = Augmentation()
    """Random changes of training images."""

    def steps(self, images: int) -> int:
        """Number of updates in a training on `images`; at least one."""
        return max(1, round(self.epochs_for(images) * self.images_per_epoch(images) / self.batch))

    def epochs_for(self, images: int) -> float:
        """Number of passes over `images`, or over `epoch_images` if that is set: few images take more of them."""
        return self.epochs * math.sqrt(self.reference_images / images) if self.reference_images else self.epochs

    def with_epochs(self, epochs: float) -> "Recipe":
        """The same with exactly so many epochs."""
        return self.model_copy(update={"epochs": epochs, "reference_images": 0})

    def images_per_epoch(self, images: int) -> int:
        """The images that count as one epoch of a training on `images`."""
        return self.epoch_images or images


def names() -> tuple[str, ...]:
    """Names of the presets."""
    folder = resources.files("toolchain.training") / "recipes"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir()))


def load_recipe(name: str, stage: Stage, changes: Mapping[str, object]) -> Recipe:
    """The preset `name` for one stage, with `changes` from the configuration on top.

    Raises:
        BadConfig: there is no such preset, or a change is not valid.
    """
    if name not in names():
        raise BadConfig(f"unknown recipe {name!r}. Known recipes: {', '.join(names())}")
    preset = tomllib.loads((resources.files("toolchain.training") / "recipes" / f"{name}.toml").read_text())
    augmentation = preset["common"].pop("augmentation", {})
    if "epochs" in changes:  # exactly so many
        preset[stage].pop("reference_images", None)
    try:
        return Recipe.model_validate({**preset["common"], "augmentation": augmentation, **preset[stage], **changes})
    except ValidationError as problem:
        first = problem.errors()[0]
        key = ".".join(map(str, first["loc"]))
        unknown = first["type"] == "extra_forbidden"
        reason = unknown_key(key, tuple(all_keys(Recipe))) if unknown else first["msg"]
        raise BadConfig(f"recipe {name!r}, {key}: {reason}") from None
