"""`nastool init`: write a commented nastool.toml."""

from typing import Annotated

import typer

from cli import console


def init(
    preset: Annotated[
        str, typer.Option("--preset", help="quick (minutes on a CPU) or imagenet (the paper's).")
    ] = "quick",
    force: Annotated[bool, typer.Option("--force", help="Replace the nastool.toml that is there.")] = False,
) -> None:
    """Write nastool.toml, with a word on every line of it."""
    from toolchain.config import FILE, preset_text
    from toolchain.errors import BadConfig
    from toolchain.files import write_bytes

    text = preset_text(preset)
    if FILE.exists() and not force:
        raise BadConfig(f"{FILE} is there already. Type nastool init --force to replace it")
    write_bytes(FILE, text.encode())
    console.say(f"wrote {FILE} ({preset}). Next: nastool profile")
