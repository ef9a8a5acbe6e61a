"""How torch is configured by nastool.toml."""

import os
from collections.abc import Iterator

import pytest
import torch

from toolchain.config import Config
from toolchain.training.torch_setup import CUBLAS_WORKSPACE, prepare_torch


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(CUBLAS_WORKSPACE, raising=False)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("deterministic", [False, True])
def test_deterministic_algorithms_are_used_on_request(deterministic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CUBLAS_WORKSPACE, "")  # so that it is restored
    monkeypatch.delenv(CUBLAS_WORKSPACE)
    prepare_torch(Config(deterministic=deterministic, threads=1))
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert os.environ.get(CUBLAS_WORKSPACE) == (":4096:8" if deterministic else None)


def test_a_setting_of_the_user_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CUBLAS_WORKSPACE, ":16:8")
    prepare_torch(Config(deterministic=True, threads=1))
    assert os.environ[CUBLAS_WORKSPACE] == ":16:8"
