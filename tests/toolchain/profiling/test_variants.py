"""The parts that are timed."""

import torch

from toolchain.costs.counters import count_macs, macs_cost
from toolchain.costs.latency import block_key, head_key, stem_key
from toolchain.profiling.variants import variants
from toolchain.spaces.core import SearchSpace


def test_the_papers_space_has_34_parts(paper_space: SearchSpace) -> None:
    """4 stages x (the first block, the others) x 4 choices, stem and head."""
    assert len(variants(paper_space)) == 4 * 2 * 4 + 2


def test_there_is_a_part_for_all_that_an_architecture_is_made_of(paper_space: SearchSpace) -> None:
    keys = {variant.key for variant in variants(paper_space)}
    needed = {block_key(paper_space, block, choice) for block in paper_space.blocks for choice in block.choices}
    assert keys == needed | {stem_key(paper_space), head_key(paper_space)}


def test_parts_are_the_modules_that_their_keys_say(paper_space: SearchSpace) -> None:
    """Their MACs add up to the extremes of whole networks, and each takes its input and gives the next one's."""
    macs = macs_cost(paper_space)
    result = {}
    with torch.device("meta"):
        for variant in variants(paper_space):
            result[variant.key] = count_macs(variant.build(), variant.input_shape)
    assert result[stem_key(paper_space)] + result[head_key(paper_space)] == macs.fixed
    for block, row in zip(paper_space.blocks, macs.rows, strict=True):
        assert {choice.key: result[block_key(paper_space, block, choice)] for choice in block.choices} == row


def test_parts_are_built_anew_each_time(tiny_space: SearchSpace) -> None:
    variant = variants(tiny_space)[0]
    assert variant.build() is not variant.build()
