"""The recipe that suits a data set, where the configuration names none."""

from toolchain.config import Config
from toolchain.training.data_name import BUILT_IN
from toolchain.training.image_survey import SurveyedFolders

MANY_IMAGES = 200_000  # from here on, and with a GPU, the paper's recipe
LR_FROM_WEIGHTS = 0.01  # of trainings that start from trained weights, as in the recipe finetune
DIGITS, FASHION_MNIST = 1_433, 60_000  # training images
PAPER, PHOTOS, QUICK = "imagenet", "photos", "quick"


def with_chosen_recipes(config: Config, folders: SurveyedFolders | None = None) -> tuple[Config, dict[str, str]]:
    """The configuration with recipes for [train] and [retrain] that are not given, and a sentence for each of these.

    Args:
        folders: what the command has listed already.
    """
    missing = [name for name in ("train", "retrain") if "recipe" not in getattr(config, name).model_fields_set]
    if not missing or config.data is None:
        return config, {}
    recipe, reason = choose_recipe(config.data, folders or SurveyedFolders())
    sections, notes = {}, {}
    for name in missing:
        section = getattr(config, name)
        trained = section.start_from not in (None, "scratch")
        changes = {"lr": LR_FROM_WEIGHTS} | section.changes if trained else section.changes
        sections[name] = section.model_copy(update={"recipe": recipe, "changes": changes})
        lr = f", with lr = {changes['lr']:g}, since it starts from trained weights" if trained else ""
        notes[name] = f"recipe: {recipe}, since {reason}{lr}. Choose another with --recipe"
    return config.model_copy(update=sections), notes


def choose_recipe(data: str, folders: SurveyedFolders) -> tuple[str, str]:
    """The recipe, and what it was chosen by."""
    kind = data.partition(":")[0]
    if kind == "wds":
        return (
            (PAPER, "shards are for large data sets and there is a GPU") if _has_gpu() else (PHOTOS, "no GPU is used")
        )
    if kind != "folder":
        return QUICK, f"{data} has small gray images" if data in BUILT_IN else f"{data} is no folder of images"
    folder = folders.of(data)
    if folder.survey is not None and folder.survey.channels == 1:
        return QUICK, "the images are gray"
    if folder.count(MANY_IMAGES) < MANY_IMAGES:
        return PHOTOS, "the images are in color" if folder.survey else "it is for folders of images"
    many = f"there are {MANY_IMAGES:,} images or more"
    return (PAPER, f"{many}, and a GPU") if _has_gpu() else (PHOTOS, f"{many}, but no GPU")


def count_images(data: str, folders: SurveyedFolders) -> int:
    """The training images of a data set, up to 200,000; 0 if they cannot be counted without reading them."""
    if data.startswith("folder:"):
        return folders.of(data).count(MANY_IMAGES)
    return {"digits": DIGITS, "fashion-mnist": FASHION_MNIST}.get(data, 0)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
