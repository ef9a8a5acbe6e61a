"""A stack and samples that several tests share."""

import pytest

from latency_db.context import Context


@pytest.fixture
def context() -> Context:
    return Context(
        device_model="Some CPU @ 2 GHz",
        device_cores=2,
        backend="fake",
        backend_version="1.0",
        provider="deterministic",
        precision="fp32",
        batch=8,
        threads=1,
        affinity="0,1",
        os="Linux 6",
        exporter="torch 2",
        protocol_version=2,
        device_kind="cpu",
        capability="",
        driver="",
        precision_found="fp32",
        clocks="",
    )
