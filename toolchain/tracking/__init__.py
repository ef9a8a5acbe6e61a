"""Where the curves and results of a run are shown: TensorBoard files in the run, and experiment trackers on request."""
