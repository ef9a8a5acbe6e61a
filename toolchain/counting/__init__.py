r"""Exact counting: how many architectures fit a budget, and uniform samples of them.

    block:        0     1     2    ...   k-1  |   k    ...   n-2   n-1
                                              |
    partial     first half: sums of blocks    |    second half: sums of blocks
    sums        0, 1, ..., k-1, added         |    n-1, n-2, ..., k, added
                from the left  ------------>  |  <------------  from the right
                                              |
                sum 12: 3 architectures       |    sum 5: 2 architectures
                sum 17: 1 architecture        |    sum 9: 6 architectures
                                    \         |        /
    limit 22:                        12 + 5, 12 + 9, 17 + 5 fit; 17 + 9 does not
                                     3*2   + 3*6   + 1*2   = 26 architectures fit

1. Costs are additive: a fixed part plus one number for each (block, choice). `integer_costs` converts them to integers.
2. `partial_sums` adds block after block and keeps the distinct sums only, each with the number of architectures that
   reach it. 4^20 architectures of the paper's space have 17,851 distinct sums of MACs.
3. Sums that no choice of the remaining blocks can bring within the limits are dropped at once.
4. `half_space` splits the blocks into two halves, since sums of half of the blocks are far fewer than sums of all.
5. A pair of sums, one of each half, fits if their total is within every limit. It counts as the product of both counts.
6. `dominance` counts, for each sum of one half, the matching sums of the other: all points below a query point.
7. A uniform draw takes a sum of the first half in proportion to the architectures through it, then a matching sum of
   the second half, and walks back block by block in proportion to the counts (backward sampling).
8. `feasible` puts this together: count, draws, range, histogram, and how often each choice occurs (`marginals`).
9. `levels` draws a cost level first and then an architecture at that level: the paper's uniform constraint sampling.
10. If the sums exceed memory (several limits on a large space), costs are rounded down to coarser integers. Counts are
    then bounds, and draws are checked against the exact limits, so they stay exactly uniform.
"""
