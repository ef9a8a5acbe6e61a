"""`nastool-check`: the commands that time files, for machines without torch, such as those of a CI.

`wheels/nastool-check` builds the wheel; it has the same packages as nastool with fewer dependencies.
"""

from cli import bench, check, devices
from cli.arguments import Command
from cli.main import new_program, run_program

commands = new_program(
    "nastool-check",
    "Checks ONNX files and engines against a latency budget or a baseline, and times them side by side.",
)
commands.command("check", cls=Command)(check.check)
commands.command("bench", cls=Command)(bench.bench)
commands.command("devices", cls=Command)(devices.devices)


def app() -> None:
    """Run `nastool-check` and exit with its code."""
    run_program(commands)


if __name__ == "__main__":
    app()
