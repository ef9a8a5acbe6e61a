"""Compilation of separate parts: a new path of known choices compiles nothing and computes the same."""

import pytest
import torch
from torch._dynamo.utils import counters

from toolchain.nets.compiled import compile_parts
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace

SMALL = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16,stage_repeats=3,head_channels=16,round_to=1"


def supernet_of(space: SearchSpace) -> Supernet:
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(0))
    return supernet.train()


def gradients(supernet: Supernet, x: torch.Tensor, path: Architecture) -> dict[str, torch.Tensor]:
    supernet.zero_grad(set_to_none=True)
    logits = supernet(x, path)
    logits.square().mean().backward()
    return {"logits": logits.detach()} | {n: p.grad for n, p in supernet.named_parameters() if p.grad is not None}


def check_no_new_graph(space: SearchSpace, first: list[str], then: list[str], backend: str) -> None:
    torch._dynamo.reset()
    plain, compiled = supernet_of(space), supernet_of(space)
    compile_parts(compiled, backend)
    assert list(compiled.state_dict()) == list(plain.state_dict())
    x = torch.randn(4, *space.input_shape, generator=torch.Generator().manual_seed(0))
    counters.clear()
    for path in first:
        gradients(compiled, x, space.architecture(path))
    graphs = counters["stats"]["unique_graphs"]
    assert graphs >= 4  # stem, head, and a block of each stride at least
    for path in then:
        results, expected = (gradients(net, x, space.architecture(path)) for net in (compiled, plain))
        assert results.keys() == expected.keys()
        for name, value in expected.items():
            # sums in another order, in float32
            scale = float(value.abs().max())
            torch.testing.assert_close(results[name], value, rtol=0, atol=1e-4 * scale + 1e-9, msg=name)
    assert counters["stats"]["unique_graphs"] == graphs
    assert not counters["graph_break"]


def test_a_new_path_creates_no_new_graph() -> None:
    space = load_space(SMALL)
    check_no_new_graph(space, ["0 0 0", "1 1 1", "3 3 3"], ["0 1 3", "3 0 1", "1 3 0"], "eager")


def test_slices_of_weights_create_no_new_graph() -> None:
    narrow, wide = "choice_3@0.5", "choice_3"
    space = load_space(SMALL, None, "0.5-1.0")
    first = [f"{narrow} {narrow} {narrow}", f"{wide} {wide} {wide}"]
    then = [f"{narrow} {wide} {narrow}", f"{wide} {narrow} {narrow}", f"{wide} {narrow} {wide}"]
    check_no_new_graph(space, first, then, "eager")


@pytest.mark.long
def test_inductor_computes_the_same_and_compiles_once() -> None:
    """With the real compiler, which takes seconds for each graph."""
    space = load_space(SMALL)
    check_no_new_graph(space, ["0 0 0", "1 1 1"], ["0 1 0", "1 0 0", "0 0 1"], "inductor")
