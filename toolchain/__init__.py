"""nastool's core: spaces, nets, costs, profiling, training, search and reporting. Imports only go down."""
