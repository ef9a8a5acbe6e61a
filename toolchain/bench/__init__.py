"""`nastool bench`: compare the latency and accuracy of files.

`subjects` resolves their names, `run` times them, `accuracy` evaluates them.
"""
