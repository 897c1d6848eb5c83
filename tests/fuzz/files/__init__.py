"""A fuzzer of the files that fastseq reads: `python -m tests.fuzz.files --help`.

Each case is generated from the seed and its number: a file of some kind, damaged or made to do
harm. It is read as the user would, by the command line where there is a command. `judge.py` defines
the allowed outcomes; any other is a finding.

    kinds.py       the kinds of files: how each is read
    samples.py     valid files of each kind, which the cases are made of
    changes.py     changes of bytes, texts, JSON and zip archives
    pickles.py     pickles: changed instructions, and instructions that no list of arrays needs
    texts.py       TOML and TSV: the grammar of each with hostile values
    judge.py       reads one file, and watches time, memory and what is run
    run.py         the driver: child processes, so that a crash ends only one of them
"""
