"""How fast fastseq is: the works that are measured, and how.

`works` says what is measured, `libraries`, `peer_torch` and `peer_jax` carry it out, each in a
process of its own (`workers`), `measure` compares the results and then asks the processes in turn.
`record` writes what came out in the form of pytest-benchmark, `table` prints it. ``fastseq bench``
and the files of ``benchmarks/`` are two ways to the same measurement.

Nothing here is imported by ``import fastseq``.
"""
