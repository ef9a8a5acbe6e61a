"""Finalists: the supernet proposes a few networks, and short trainings of each alone decide between them.

The score of a candidate is noisy (a hold-out of n images has a standard error of sqrt(p (1 - p) / n)), and the order of
inherited accuracies agrees only in part with that of networks trained alone. So the best candidates of a search and the
networks that a user would choose by hand are trained alone, from scratch and with the same seeds:

- `proposals`: which networks take part;
- `halving`: rounds of trainings, after which the less accurate half drops out;
- `comparison`: how sure it is that one network is more accurate than another;
- `trainings`: one training of one finalist, and the journal of their results;
- `selection`: all of it for one budget, and the statement about the winner.

Successive halving: K. Jamieson and A. Talwalkar, AISTATS 2016. The paper's Algorithm 1 has no finalists; with
`--finalists 0` it stays as published.
"""
