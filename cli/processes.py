"""`--nproc`: one command in several processes of this machine."""

import os
import sys
from typing import Annotated

import typer

from toolchain.parallel.ranks import world

Nproc = Annotated[
    int | None,
    typer.Option("--nproc", min=1, help="Number of processes on this machine, one per GPU.", rich_help_panel="Run"),
]
MAX_GPUS = 16  # of one machine


def in_processes(nproc: int | None) -> bool:
    """Run this command in `nproc` processes, if it is more than one and this is not one of them already.

    Raises:
        BadConfig: more processes than this machine has cores, or could have GPUs.
    """
    if nproc is None or nproc == 1 or world() > 1:
        return False
    if nproc > (most := max(MAX_GPUS, os.cpu_count() or 1)):
        from toolchain.errors import BadConfig

        raise BadConfig(f"--nproc {nproc} is too much for one machine: give {most} at most, one for each GPU")
    from toolchain.parallel.launcher import launch

    launch(sys.argv[1:], nproc)
    return True
