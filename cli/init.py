"""`nastool init`: write a commented nastool.toml."""

from typing import Annotated

import typer

from cli import console


def init(
    preset: Annotated[
        str, typer.Option("--preset", help="Settings to write: quick (minutes on a CPU) or imagenet (the paper's).")
    ] = "quick",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing nastool.toml.")] = False,
) -> None:
    """Write a nastool.toml with a comment on every line."""
    from toolchain.config import FILE, preset_text
    from toolchain.errors import BadConfig
    from toolchain.files import write_bytes

    text = preset_text(preset)
    if FILE.exists() and not force:
        raise BadConfig(f"{FILE} exists. Run nastool init --force to overwrite it")
    write_bytes(FILE, text.encode())
    console.say(f"wrote {FILE} ({preset}). Next: nastool profile")
