"""torch.compile, one part of a network at a time."""

import torch
from torch import nn

from toolchain.nets.supernet import SharedBlock

RECOMPILE_LIMIT = 1024  # dynamo's own, 8, is of one function, and all blocks of a family run the same


def compile_parts(model: nn.Module, backend: str = "inductor") -> None:
    """Compile stem, head and each choice of each block by itself, each when it is first used.

    A path of a supernet is made of such parts, so a new path of known choices compiles nothing. Blocks of the same
    shapes share what was compiled. Parameters keep their names.
    """
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    torch._dynamo.config.accumulated_recompile_limit = RECOMPILE_LIMIT
    for name, part in model.named_children():
        for piece in part.children() if name == "blocks" else (part,):
            for module in piece.parts() if isinstance(piece, SharedBlock) else (piece,):
                module.compile(backend=backend, dynamic=False)
