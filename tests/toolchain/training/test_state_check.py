"""States of networks are loaded entirely or not at all, also into networks that ask for their version."""

from pathlib import Path

import pytest
import torch
from torchvision.models import mnasnet0_5

from toolchain.errors import BadCheckpoint
from toolchain.training.state_check import load_state


def test_a_network_that_asks_for_its_version() -> None:
    trained, net = mnasnet0_5(weights=None, num_classes=3), mnasnet0_5(weights=None, num_classes=3)
    load_state(Path("checkpoint.pt"), net, dict(trained.state_dict()))  # a dict has no versions
    assert all(torch.equal(value, trained.state_dict()[name]) for name, value in net.state_dict().items())


def test_a_missing_tensor_changes_nothing() -> None:
    net = torch.nn.Linear(2, 2)
    before = net.weight.detach().clone()
    with pytest.raises(BadCheckpoint, match="lacks the tensor bias"):
        load_state(Path("checkpoint.pt"), net, {"weight": torch.zeros(2, 2)})
    assert torch.equal(net.weight, before)
