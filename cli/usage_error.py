"""A command line that typer cannot read, as one line like every other error."""

from typer.exceptions import TyperException


def usage_error(problem: TyperException) -> str:
    """What is wrong, and which command lists the flags; empty where the help has been printed instead."""
    text = " ".join(problem.format_message().split()).rstrip(".")
    if not text:
        return ""
    text = text[0].lower() + text[1:]
    context = getattr(problem, "ctx", None)
    return text if context is None else f"{text}{'' if text.endswith('?') else '.'} See {context.command_path} --help"
