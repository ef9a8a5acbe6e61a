"""`nastool shrink`: fit a trained model to a latency budget, with as little loss of accuracy as possible."""
