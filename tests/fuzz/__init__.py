"""A fuzzer of the package's public functions: `python -m tests.fuzz --help`.

Each call is drawn from the seed and its own number: valid arguments, then up to three hostile
changes. What may come of it is written in `judge`; anything else is a finding.

    case.py           a call: its arguments, what it writes to, what it should give
    kernel_calls.py   the functions of fastseq._kernels, but for
    recurrent_calls.py, decode_calls.py   those of recurrent layers and decoders
    layer_calls.py    the classes of fastseq.layers and fastseq.models
    training_calls.py the optimizers and clip_grads
    values.py         hostile values
    mutations.py      changes of a call's arguments, and what is to be expected of each
    judge.py          runs one call and decides whether what came of it is documented
    background.py     threads that change the settings, or write to the arguments
    run.py            the driver: child processes, so that a crash is found and the rest goes on
"""

import importlib.util
import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
if importlib.util.find_spec("support") is None:
    sys.path.insert(0, str(_TESTS))
# The wheel brings fastseq_reference; a bare checkout has it in python/.
if importlib.util.find_spec("fastseq_reference") is None:
    sys.path.insert(0, str(_TESTS.parent / "python"))
