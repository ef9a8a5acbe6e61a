"""The name of tables whose latencies are fitted to whole networks that were measured elsewhere."""

REGRESSION = "regression"  # in the place of a backend
