"""torch.compile, applied to each part of a network separately."""

import torch
from torch import nn

from toolchain.nets.supernet import SharedBlock

RECOMPILE_LIMIT = 1024  # dynamo's default of 8 is for one function, but all blocks of a family share one


def compile_parts(model: nn.Module, backend: str = "inductor") -> None:
    """Compile stem, head and each choice of each block separately, each at its first use.

    Every path of a supernet consists of such parts, so a new path of known choices compiles nothing. Blocks of the same
    shapes share their compiled code. Parameters keep their names.
    """
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    torch._dynamo.config.accumulated_recompile_limit = RECOMPILE_LIMIT
    for name, child in model.named_children():
        for part in child.children() if name == "blocks" else (child,):
            for module in part.choice_modules() if isinstance(part, SharedBlock) else (part,):
                module.compile(backend=backend, dynamic=False)
