"""Architectures that a user names on the command line."""

from pathlib import Path

import pytest

from toolchain.errors import BadArchitecture
from toolchain.nets.checked_space import load_checked_space
from toolchain.spaces import load_space
from toolchain.spaces.fixed import named_architecture

QUICK = load_space("shufflenet_v2_quick")


def test_one_choice_stands_for_all_blocks() -> None:
    assert str(named_architecture("choice_5", QUICK, "--arch")) == " ".join(["choice_5"] * 8)


def test_one_choice_that_a_block_lacks_is_refused() -> None:
    with pytest.raises(BadArchitecture, match=r"choice block 0 .* has no choice 'skip'"):
        named_architecture("skip", load_space("proxyless"), "--arch")


def test_an_index_alone_is_too_few_choices() -> None:
    with pytest.raises(BadArchitecture, match="8 choice blocks, but 1 choice was given"):
        named_architecture("2", QUICK, "--arch")


def test_original_is_the_model_of_a_space() -> None:
    space = load_checked_space("model:torchvision:resnet18:size_px=32,classes=10")
    assert str(named_architecture("original", space, "--arch")) == " ".join(["basicblock"] * 8)


def test_original_is_refused_for_other_spaces() -> None:
    with pytest.raises(BadArchitecture, match=r"has no choice 'original'\. Its choices: choice_3"):
        named_architecture("original", QUICK, "--arch")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArchitecture, match=r"is a folder, and --arch takes a search's best.json"):
        named_architecture(str(tmp_path), QUICK, "--arch")
