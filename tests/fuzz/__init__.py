"""A fuzzer of the package's public functions: `python -m tests.fuzz --help`.

Each call is generated from the seed and its number: valid arguments, then up to three hostile
mutations. `judge` defines the allowed outcomes; any other is a finding.

    case.py           a call: its arguments, its outputs, its expected results
    kernel_calls.py   the functions of fastseq._kernels, except
    recurrent_calls.py, decode_calls.py   those of recurrent layers and decoders
    layer_calls.py    the classes of fastseq.layers and fastseq.models
    decoding_calls.py the functions of fastseq.decoding
    training_calls.py the optimizers and clip_grads
    values.py         hostile values
    mutations.py      hostile changes of the arguments, and the expected effect of each
    judge.py          runs one call and decides whether its outcome is documented
    background.py     threads that change the settings, or write to the arguments
    run.py            the driver: child processes, so that a crash ends only one of them
"""

import importlib.util
import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
if importlib.util.find_spec("support") is None:
    sys.path.insert(0, str(_TESTS))
# The wheel contains fastseq_reference; in a checkout it is in python/.
if importlib.util.find_spec("fastseq_reference") is None:
    sys.path.insert(0, str(_TESTS.parent / "python"))
