"""A trie of candidates computes what each candidate computes by itself, bit for bit, and less often."""

import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
import torch
from torch import Tensor, nn

from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.search.trie import ParallelTrie, Trie
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.data import Preprocessing
from toolchain.training.recalibrate import recalibrate

Evolved = Callable[[SearchSpace, int], list[Architecture]]

MBCONV = "stem_channels=8,stage_widths=8-16-24,stage_repeats=1-2-1,stage_strides=1-2-2,head_channels=32"
SPACES = {
    "ops": "shufflenet_v2:size_px=64,classes=10,stage_repeats=2-2-1-1",
    "widths": "shufflenet_v2_joint:size_px=32,classes=5,stage_widths=32-48,stage_repeats=2-2,head_channels=64",
    "sawb": "resnet18_bits:size_px=16,in_channels=1,classes=10,stem_kernel=3,stem_stride=1,stem_pool=false,"
    "stage_widths=8-12,stage_repeats=2-1",
    "dorefa": "resnet18_bits:size_px=24,classes=3,stage_widths=8-10,stage_repeats=1-1,widths=0.5-1.0,"
    "bits=float-w3a3,weights=dorefa",
    "proxyless, skips": f"proxyless:size_px=32,classes=10,{MBCONV}",
    "fbnet, skips with stride": f"fbnet:size_px=17,in_channels=1,classes=7,dropout=0.2,ops=k3e1g2-k5e3-skip,{MBCONV}",
}

IN_PLACE = """
from torch import nn
from toolchain.spaces.core import Choice, ChoiceBlock, Head, SearchSpace, Stem

OPS = (Choice("plain"), Choice("wide"), Choice("nothing"))
in_place = SearchSpace(
    name="in_place", family="my_own", in_channels=1, size_px=8, classes=3, stem=Stem(c_out=4, stride=1),
    blocks=tuple(ChoiceBlock(c_in=4, c_out=4, size_px=8, stride=1, choices=OPS) for _ in range(3)),
    head=Head(channels=4),
)

def build_stem(space, norm):
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), norm.layer(4))

def build_block(spec, choice, norm):
    if choice.op == "nothing":
        return nn.Identity()
    kernel = 5 if choice.op == "wide" else 3
    return nn.Sequential(nn.Hardswish(inplace=True), nn.Conv2d(4, 4, kernel, padding=kernel // 2), norm.layer(4))

def build_head(space, norm):
    return nn.Sequential(nn.Hardswish(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
"""


def supernet_of(space: SearchSpace) -> Supernet:
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(0))
    supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return supernet.eval()


def batches(space: SearchSpace, count: int, images: int = 6) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    size = (images, *space.input_shape)
    return [torch.randint(0, 256, size, dtype=torch.uint8, generator=generator) for _ in range(count)]


def preprocessing(space: SearchSpace) -> Preprocessing:
    return Preprocessing(space.size_px, (0.5,) * space.in_channels, (0.5,) * space.in_channels)


def assert_same_as_one_by_one(space: SearchSpace, archs: list[Architecture]) -> None:
    supernet, prepare = supernet_of(space), preprocessing(space)
    fit, held_out = batches(space, 3), batches(space, 5)[3:]
    trie = Trie(supernet, dict(enumerate(archs)))
    trie.begin()
    for pixels in fit:
        for _ in trie.run(prepare(pixels)):
            pass
    trie.end()
    result = [{number: logits.clone() for number, logits in trie.run(prepare(pixels))} for pixels in held_out]
    assert len(archs) < block_passes(trie) < len(archs) * len(space.blocks)
    for number, arch in enumerate(archs):
        net = supernet.extract(arch)
        recalibrate(net, fit, prepare)
        with torch.no_grad():
            for pixels, logits in zip(held_out, result, strict=True):
                assert torch.equal(logits[number], net(prepare(pixels))), arch
    assert len({str(logits) for logits in result[0].values()}) > 1  # the candidates do differ


def block_passes(trie: Trie) -> int:
    """Block passes for a batch; one by one it would be candidates times blocks."""
    return sum(1 for node in trie.root.walk() if node is not trie.root and node.leaf is None)


@pytest.mark.parametrize("text", SPACES.values(), ids=SPACES.keys())
def test_logits_are_those_of_each_candidate_by_itself_bit_for_bit(text: str, evolved: Evolved) -> None:
    space = load_space(text)
    assert_same_as_one_by_one(space, evolved(space, 8))


def test_modules_that_change_their_input_do_not_change_it_for_others(tmp_path: Path, evolved: Evolved) -> None:
    (tmp_path / "mine.py").write_text(IN_PLACE)
    space = load_space(f"{tmp_path / 'mine.py'}:in_place")
    assert_same_as_one_by_one(space, evolved(space, 8))


def test_a_stem_that_changes_the_images_does_not_change_them_for_other_tries(tmp_path: Path, evolved: Evolved) -> None:
    first = "nn.Sequential(nn.Conv2d(1"
    assert first in IN_PLACE
    (tmp_path / "mine.py").write_text(IN_PLACE.replace(first, "nn.Sequential(nn.Hardswish(inplace=True), nn.Conv2d(1"))
    space = load_space(f"{tmp_path / 'mine.py'}:in_place")
    images = preprocessing(space)(batches(space, 1)[0])
    before = images.clone()
    with ThreadPoolExecutor(2) as executor:
        assert len(list(ParallelTrie(supernet_of(space), evolved(space, 8), executor, parts=2).run(images))) == 8
    assert torch.equal(images, before)


@pytest.mark.parametrize("text", SPACES.values(), ids=SPACES.keys())
def test_no_module_of_a_family_changes_its_input(text: str, evolved: Evolved) -> None:
    """Siblings are given the same tensor, without a copy."""
    space = load_space(text)
    supernet = supernet_of(space)
    for arch in evolved(space, 8):
        net = supernet.extract(arch)
        x = preprocessing(space)(batches(space, 1)[0])
        with torch.no_grad():
            for part in (net.stem, *net.blocks, net.head):
                before = x.clone()
                y = part(x)
                assert torch.equal(x, before), f"{arch}: {part}"
                x = y


def test_a_prefix_is_computed_once(tiny_space: SearchSpace) -> None:
    first, second, third, fourth = ([choice.key for choice in block.choices] for block in tiny_space.blocks)
    keys = [
        (first[0], second[0], third[0], fourth[0]),
        (first[1], second[0], third[0], fourth[0]),
        (first[0], second[0], third[0], fourth[1]),
        (first[0], second[1], third[0], fourth[0]),
    ]
    trie = Trie(supernet_of(tiny_space), {n: Architecture(tiny_space.name, arch) for n, arch in enumerate(keys)})
    assert block_passes(trie) == 2 + 3 + 3 + 4  # by level; one by one it would be 16
    assert sorted(number for number, _ in trie.run(preprocessing(tiny_space)(batches(tiny_space, 1)[0]))) == [
        0,
        1,
        2,
        3,
    ]


def test_at_most_one_activation_a_level_is_alive(evolved: Evolved) -> None:
    space = load_space("shufflenet_v2_quick")
    archs = evolved(space, 20)
    trie = Trie(supernet_of(space), dict(enumerate(archs)))
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def look(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal most
        alive.append(weakref.ref(output))
        most = max(most, len({id(output()) for output in alive} - {id(None)}))

    for node in trie.root.walk():
        node.module.register_forward_hook(look)
    for _ in trie.run(preprocessing(space)(batches(space, 1)[0])):
        pass
    assert block_passes(trie) > 2 * len(space.blocks)
    assert most <= len(space.blocks) + 2  # stem and head as well


def test_weights_are_the_supernets_own(tiny_space: SearchSpace, evolved: Evolved) -> None:
    supernet = supernet_of(tiny_space)
    owned = {weight.untyped_storage().data_ptr() for weight in supernet.parameters()}
    trie = Trie(supernet, dict(enumerate(evolved(tiny_space, 6))))
    for node in trie.root.walk():
        assert {weight.untyped_storage().data_ptr() for weight in node.module.parameters()} <= owned


def test_dropping_candidates_leaves_the_others_as_they_were(tiny_space: SearchSpace, evolved: Evolved) -> None:
    supernet, archs = supernet_of(tiny_space), evolved(tiny_space, 8)
    x = preprocessing(tiny_space)(batches(tiny_space, 1)[0])
    trie = Trie(supernet, dict(enumerate(archs)))
    trie.begin()
    before = {number: logits.clone() for number, logits in trie.run(x)}
    passes = block_passes(trie)
    trie.keep([5, 2])
    after = {number: logits.clone() for number, logits in trie.run(x)}
    assert set(after) == {2, 5}
    assert all(torch.equal(after[number], before[number]) for number in after)
    assert block_passes(trie) == block_passes(Trie(supernet, {5: archs[5], 2: archs[2]})) < passes


def test_the_same_candidate_twice_is_refused(tiny_space: SearchSpace) -> None:
    arch = tiny_space.draw(Random(0))
    with pytest.raises(ValueError, match="twice"):
        Trie(supernet_of(tiny_space), {0: arch, 1: arch})
