"""Training recipes, as TOML presets in `recipes/`."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toolchain.errors import BadConfig

Stage = Literal["supernet", "retrain"]


class Augmentation(BaseModel):
    """Random changes of training images."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    random_resized_crop: bool = False
    crop_padding: int = Field(0, ge=0)  # pixels of zero around the image, then a random crop of its size
    color_jitter: float = Field(0.0, ge=0)  # brightness, contrast, saturation
    flip: bool = False

    @property
    def nothing(self) -> bool:
        return self == Augmentation()


class Recipe(BaseModel):
    """SGD with a linear or cosine decay to zero (in the paper: linear, without warm-up)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: float = Field(gt=0, le=1_000_000)
    batch: int = Field(gt=0)
    lr: float = Field(gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)  # on weights only: none on batch normalization
    clip_lr_scale: float = Field(1.0, gt=0)  # PACT's clipping levels: their rate, as a multiple of lr
    clip_weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["linear", "cosine"] = "linear"
    warmup_steps: int = Field(0, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    augmentation: Augmentation = Augmentation()

    def steps(self, images: int) -> int:
        """Number of updates in `epochs` passes over `images`; at least one."""
        return max(1, round(self.epochs * images / self.batch))


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
    try:
        return Recipe.model_validate({**preset["common"], "augmentation": augmentation, **preset[stage], **changes})
    except ValidationError as problem:
        first = problem.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise BadConfig(f"recipe {name!r}, {key}: {first['msg']}") from None
