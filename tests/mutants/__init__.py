"""Mutation testing: `python -m tests.mutants --help`; `make mutants` runs it.

A mutant is the project with one small fault in one line. The tests that cover the line must fail;
where they pass, the mutant survives: a test is missing, or the change makes no difference.

    changes.py    the faults that a source file can be given
    trials.py     builds a mutant in a copy of the tree, and runs the tests that should notice
    __main__.py   the choice of mutants, the log, and the list of survivors
"""
