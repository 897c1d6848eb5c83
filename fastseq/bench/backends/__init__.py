"""What carries a workload out: fastseq and its reference, PyTorch, JAX."""
