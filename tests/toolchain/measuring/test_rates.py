"""Rates that latencies are estimated with."""

import pytest

from toolchain.measuring.rates import rates_of


def test_a_device_whose_rates_were_not_fitted_reaches_the_shares_that_the_fitted_one_did() -> None:
    titan, other = rates_of("titanxp"), rates_of("gtx1080ti")
    assert "fitted on" in titan.source
    assert "less accurate still" in other.source
    assert other.rates.flops_per_s / 11.3e12 == pytest.approx(titan.rates.flops_per_s / 12.15e12)
    assert other.rates.bytes_per_s / 484e9 == pytest.approx(titan.rates.bytes_per_s / 547.7e9)
