"""Path samplers by name: their distributions over a block's choices."""

from collections import Counter
from random import Random

import pytest

from toolchain.config import Config, parse_config, preset_text
from toolchain.errors import BadConfig
from toolchain.spaces.core import SearchSpace
from toolchain.training.paths import path_sampler


def config(sampler: str) -> Config:
    return parse_config(preset_text("quick"), {"train.sampler": sampler}, "test")


def test_levels_is_an_alias_of_constraint() -> None:
    assert config("levels").train == config("constraint").train
    assert config("levels").train.sampler == "constraint"
    assert parse_config(preset_text("quick"), {}, "test").train.sampler == "constraint"
    with pytest.raises(BadConfig, match="sampler"):
        config("level")


@pytest.mark.parametrize(("name", "share"), [("constraint", 0.38), ("uniform", 0.25)])
def test_constraint_sampling_favors_a_choice_that_is_rare_at_some_levels(
    name: str, share: float, tiny_space: SearchSpace
) -> None:
    """The most expensive choice of the first block. 5 standard deviations of a share of 4,000 draws are 0.038."""
    draw, rng = path_sampler(name, tiny_space), Random(0)
    drawn = Counter(draw(rng).choices[0] for _ in range(4000))
    assert drawn["choice_7"] / 4000 == pytest.approx(share, abs=0.038)


def test_balanced_sampling_draws_choices_equally_often(tiny_space: SearchSpace) -> None:
    draw, rng = path_sampler("balanced", tiny_space), Random(0)
    drawn = Counter(draw(rng).choices[2] for _ in range(4000))
    assert all(count / 4000 == pytest.approx(0.25, abs=0.038) for count in drawn.values())
    assert len(drawn) == 4
