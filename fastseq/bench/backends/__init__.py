"""The backends that carry workloads out: fastseq and its reference, PyTorch, JAX."""
