"""What a training computes in and on."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from toolchain.errors import BadConfig, NoDevice
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network, initialize
from toolchain.progress import Quiet
from toolchain.spaces.core import SearchSpace
from toolchain.tracking.event_file import EventFile
from toolchain.training.checkpoint import load
from toolchain.training.data import Data
from toolchain.training.loop import TrainingSettings, train
from toolchain.training.passes import Pass, Passes
from toolchain.training.precision import FP32, Precision, compute_device, precision_of
from toolchain.training.recipe import Recipe

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def test_a_cpu_computes_in_fp32() -> None:
    assert precision_of("auto", CPU, quantized=False) is FP32
    assert precision_of("fp32", CPU, quantized=False) is FP32
    for name in ("bf16", "fp16"):
        with pytest.raises(BadConfig, match=rf"a CPU emulates {name}, .* Write precision = \"auto\""):
            precision_of(name, CPU, quantized=False)


def test_quantized_networks_compute_in_fp32() -> None:
    assert precision_of("auto", GPU, quantized=True) is FP32
    with pytest.raises(BadConfig, match=r"integers, which bf16 would round\. Write precision = \"fp32\""):
        precision_of("bf16", GPU, quantized=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_computes_in_half_precision() -> None:
    assert compute_device("auto").type == "cuda"
    assert precision_of("auto", GPU, quantized=False).dtype in (torch.bfloat16, torch.float16)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_machine_without_a_gpu() -> None:
    assert compute_device("auto") == compute_device("cpu") == CPU
    with pytest.raises(NoDevice, match=r"torch sees no NVIDIA GPU to train on\. Write device") as problem:
        compute_device("cuda")
    assert problem.value.exit_code == 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_mixed_precision_learns_and_resumes(
    dtype: torch.dtype, tiny_space: SearchSpace, digits: Data, tmp_path: Path
) -> None:
    """Emulated on a CPU it is slow, but the same code; fp16 keeps the scale of its losses in the checkpoint."""
    inside: list[torch.dtype] = []

    class Killed(BaseException):
        pass

    def run(folder: Path, kill_at: int | None) -> nn.Module:
        net = Network(tiny_space, tiny_space.all_same("choice_3"), STANDALONE)
        initialize(net, torch.Generator().manual_seed(0))

        def forward(images: Tensor) -> Tensor:
            logits: Tensor = net(images)
            inside.append(logits.dtype)
            return logits

        def plan(step: int) -> Passes:
            if step == kill_at:
                raise Killed
            return Passes([Pass(forward)])

        settings = TrainingSettings(
            "train", folder / "c.pt", {}, partial(EventFile, folder / "tb"), 0.0, 0, seed=0, precision=Precision(dtype)
        )
        recipe = Recipe(epochs=8 * 16 / len(digits.fit), batch=16, lr=0.05)
        train(net, plan, digits, recipe, settings, Quiet())
        return net

    whole = run(tmp_path / "whole", None)
    with pytest.raises(Killed):
        run(tmp_path / "killed", 5)
    resumed = run(tmp_path / "killed", None)
    assert set(inside) == {dtype}
    for (name, one), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert one.dtype in (torch.float32, torch.int64)  # weights stay as precise as they were
        assert torch.equal(one, other), name
    scaler = load(tmp_path / "whole" / "c.pt", {}).scaler
    assert ("scale" in scaler) == (dtype == torch.float16)


def test_an_overflow_in_fp16_skips_the_update_and_lowers_the_scale(
    tiny_space: SearchSpace, digits: Data, tmp_path: Path
) -> None:
    net = Network(tiny_space, tiny_space.all_same("choice_3"), STANDALONE)
    initialize(net, torch.Generator().manual_seed(0))
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    fp16 = Precision(torch.float16)
    settings = TrainingSettings(
        "train", tmp_path / "c.pt", {}, partial(EventFile, tmp_path / "tb"), 0.0, 0, seed=0, precision=fp16
    )
    recipe = Recipe(epochs=16 / len(digits.fit), batch=16, lr=0.05)
    assert recipe.steps(len(digits.fit)) == 1
    overflowing = Passes([Pass(lambda x: net(x) * 60_000.0 * 60_000.0)])
    train(net, lambda _: overflowing, digits, recipe, settings, Quiet())
    assert all(torch.equal(value, before[name]) for name, value in net.named_parameters())
    assert load(tmp_path / "c.pt", {}).scaler["scale"] == 2**15  # torch begins with 2**16
