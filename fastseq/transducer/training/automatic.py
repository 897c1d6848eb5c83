"""What `Transducer.fit` chooses for the pairs it is given, where a hyperparameter is "auto".

| pairs to train on | below 2,000 | below 5,000 | below 20,000 | from 20,000 |
| --- | --- | --- | --- | --- |
| batch_size | 8 | 16 | 16 | 32 |
| dropout | 0.4 | 0.3 | 0.3 | 0.2 |
| layers | 1 | 1 | 2 | 2 |
| attention | hard | hard | dot | dot |
| label_smoothing | 0.1 | 0 | 0 | 0 |
| final_epochs | 8 | 8 | 8 | 0 |

Few pairs in small batches still make many updates, and are learned by heart without much dropout
and label smoothing. The final epochs learn the share that was held out, too; without one there are
none. Two layers learn more from many pairs, and no more from few; they take twice the time of one.
Hard attention learns more from few pairs; from 5,000 on, "dot" has learned as much in trials, and
is faster. They make different mistakes, so below 20,000 pairs every second model of an ensemble has
hard attention. It takes time and memory for each source symbol with each target symbol: where the
longest source and target have more than 2,500 of these pairs, or with `peeky` or `copy`, which it
does not know, the attention is "dot" too.

`patience` and `plateau_patience` are as many epochs as have 1,250 and 500 updates, at least 5 and
2: an epoch of a few updates says little. `averaging` is 0.99, `unknown_rate` 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fastseq.transducer.hyperparameters import BY_NAME, HYPERPARAMETERS, is_undecided
from fastseq.transducer.model_config import Lengths

_FEW = 20_000
_SMALL = {"layers": 1, "attention": "hard"}
# Below so many pairs; without a row, the defaults for many pairs.
_CHOICES: tuple[tuple[int, dict[str, Any]], ...] = (
    (2_000, {"batch_size": 8, "dropout": 0.4, "label_smoothing": 0.1} | _SMALL),
    (5_000, {"batch_size": 16, "dropout": 0.3} | _SMALL),
    (_FEW, {"batch_size": 16, "dropout": 0.3}),
)
_FINAL_EPOCHS = 8
# What every second model of an ensemble has instead.
_VARIED = {"attention": "hard"}
_LARGEST_GRID = 2_500
_UPDATES_OF_AN_EPOCH = 250


def chosen(
    params: Mapping[str, Any], pairs: int, lengths: Lengths, member: int = 0
) -> dict[str, Any]:
    """The hyperparameters, each that is "auto" replaced by a value for these pairs.

    Parameters
    ----------
    params : mapping
        Every hyperparameter.
    pairs : int
        How many pairs there are to train on.
    lengths : Lengths
        The most symbols of a source and of a target.
    member : int
        Which model of an ensemble it is, from 0.

    Returns
    -------
    dict
    """
    values = {each.name: each.default for each in HYPERPARAMETERS if each.automatic}
    values |= next((choices for most, choices in _CHOICES if pairs < most), {})
    if pairs < _FEW:
        values["final_epochs"] = _FINAL_EPOCHS
        if member % 2:
            values |= _VARIED
    if params["peeky"] or params["copy"] or lengths.source * lengths.target > _LARGEST_GRID:
        values["attention"] = BY_NAME["attention"].default
    given = {name: value for name, value in params.items() if not is_undecided(name, value)}
    updates = math.ceil(pairs / (values | given)["batch_size"])
    for name in ("patience", "plateau_patience"):
        epochs = BY_NAME[name].default
        values[name] = max(epochs, math.ceil(epochs * _UPDATES_OF_AN_EPOCH / updates))
    return {name: given.get(name, values.get(name)) for name in params}
