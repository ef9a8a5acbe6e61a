"""The pixels of an image that evaluation and augmentation need."""

from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from toolchain.training.recipe import Augmentation

RESIZE_RATIO = 256 / 224  # evaluation scales the short side to this much above the crop, as on ImageNet


@dataclass(frozen=True)
class Resolution:
    """What is kept of a decoded image: the center crop of evaluation, or the whole image for random crops.

    Args:
        channels: 1 for gray, 3 for RGB.
        size_px: side of the center crop; the largest short side of the whole image, where 0 is any.
    """

    channels: int
    size_px: int
    whole: bool = False

    @property
    def name(self) -> str:
        """The folder of the cache, e.g. `rgb-64-center`."""
        return f"{'gray' if self.channels == 1 else 'rgb'}-{self.size_px}-{'whole' if self.whole else 'center'}"

    def pixels(self, image: Image.Image) -> Tensor:
        """uint8 (C, H, W) of an image as `decode.shown` gives it.

        Pillow resizes, not torch: a service with Pillow and without torch gets the same pixels.
        """
        converted = image.convert("L" if self.channels == 1 else "RGB")
        if self.whole:
            if self.size_px and min(converted.size) > self.size_px:
                converted = tv.resize(converted, [self.size_px])
            whole: Tensor = tv.pil_to_tensor(converted)
            return whole
        resized = tv.resize(converted, [round(self.size_px * RESIZE_RATIO)])
        center: Tensor = tv.pil_to_tensor(tv.center_crop(resized, [self.size_px, self.size_px]))
        return center


def evaluated(channels: int, size_px: int) -> Resolution:
    """The center crops that evaluation takes, and training without random crops."""
    return Resolution(channels, size_px)


def cropped_from(center: Resolution, augmentation: Augmentation) -> Resolution:
    """What training takes from an image: for random crops all of it, reduced as the recipe says."""
    if not augmentation.random_resized_crop:
        return center
    return Resolution(center.channels, round(augmentation.source_ratio * center.size_px), whole=True)


@dataclass(frozen=True)
class Needed:
    """The pixels that a command needs of each image.

    Args:
        center: of evaluation.
        sources: of the trainings, where they differ from it.
        cache: whether decoded images are kept.
    """

    center: Resolution
    sources: tuple[Resolution, ...] = ()
    cache: bool = True

    @classmethod
    def of(cls, center: Resolution, augmentations: Iterable[Augmentation], cache: bool) -> "Needed":
        """The pixels of evaluation, and of trainings with these augmentations.

        Whole images of any size are not kept: a photo of 12 megapixels takes 36 MB.
        """
        sources = {cropped_from(center, source): None for source in augmentations}
        return cls(center, tuple(source for source in sources if source != center and source.size_px), cache)
