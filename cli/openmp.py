"""How long threads of OpenMP wait for each other in a busy loop."""

# Threads that spin for each other are many times slower than one on a busy machine (decision 0011). The environment
# variable GOMP_SPINCOUNT must be set before torch loads the library.
SPINCOUNT = "3000"
