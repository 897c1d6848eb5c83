"""What the tests of the benchmarks share."""
