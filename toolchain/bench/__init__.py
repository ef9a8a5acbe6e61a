"""`nastool bench`: files side by side, of any origin.

`subjects` finds them, `run` times them, `accuracy` scores them.
"""
