"""Benchmarks: fastseq against its NumPy reference, PyTorch, JAX and the machine's peak.

`workloads` defines what is measured; `backends` carry it out, each in a process of its own
(`workers`). `measure` compares the results, then times the processes in turn, and returns a group
of `result`. `record` stores a run as JSON in the form of pytest-benchmark and loads it; `report`
presents it as text, Markdown, a page or JSON. ``fastseq bench`` and the files of ``benchmarks/``
both call `measure`.

Nothing here is imported by ``import fastseq``.
"""
