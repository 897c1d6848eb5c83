"""Training: from the arguments of `fit` to a trained network, and checkpoints on the way."""
