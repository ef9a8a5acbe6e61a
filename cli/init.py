"""`nastool init`: write a commented nastool.toml."""

from typing import Annotated

import typer

from cli import console

DEFAULT = "quick"


def init(
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="Settings to write: quick (small gray images, minutes on a CPU), photos (own color photos), imagenet "
            "(the paper's) or shrink. Default: photos for --data with color images, otherwise quick.",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Data set to write, e.g. folder:pets. Default: that of the preset.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing nastool.toml.")] = False,
) -> None:
    """Write a nastool.toml with a comment on every line."""
    from toolchain.config import FILE, preset_text
    from toolchain.errors import BadConfig
    from toolchain.files import write_bytes
    from toolchain.training.data_name import require_data
    from toolchain.training.image_survey import SurveyedFolders
    from toolchain.training.preset_choice import fitted_preset_text, preset_for

    if data is not None and preset is None:  # the images choose
        require_data(data)
    folders = SurveyedFolders()
    preset = preset or (DEFAULT if data is None else preset_for(data, folders))
    text = preset_text(preset) if data is None else fitted_preset_text(preset, data, folders)
    if FILE.exists() and not force:
        raise BadConfig(f"{FILE} exists. Run nastool init --force to overwrite it")
    write_bytes(FILE, text.encode())
    following = f"nastool shrink MODEL --weights FILE --config {FILE}" if preset == "shrink" else "nastool profile"
    console.say(f"wrote {FILE} ({preset}). Next: {following}")
    if data is None and preset == DEFAULT:
        console.say("This is for small gray images. For your own: nastool init --data folder:PATH --force")
