"""The addition task: sums ``a+b`` of whole numbers of one to three digits.

In the textbook's format a line has 7 + 5 characters, ``"16+75  _91  "``.
"""

import operator

import numpy as np

QUESTION_WIDTH = len("999+999")
ANSWER_WIDTH = len("_1998")

_LIMIT = 1000
MAX_COUNT = _LIMIT * (_LIMIT + 1) // 2
"""How many sums there are when ``a+b`` and ``b+a`` count as one."""


def generate(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Draw sums without repetition.

    The number of digits of each operand is uniform over 1, 2 and 3, and the operand uniform among
    the numbers of that many digits: short ones are frequent until they are used up. A sum and its
    mirror image count as one question, so that a held-out ``75+16`` never appears as ``16+75`` in
    training.

    Parameters
    ----------
    count : how many, 0 … `MAX_COUNT`
    seed : of a generator of its own. The same seed gives the same sums, and a smaller `count` the
        first of them; NumPy's global generator is neither read nor changed.

    Returns
    -------
    pairs : list of (question, answer), like ``("16+75", "91")``

    Raises
    ------
    ValueError
        `count` is negative, or there are not that many different sums.

    Examples
    --------
    >>> from fastseq.data import addition
    >>> pairs = addition.generate(3, seed=0)
    >>> all(eval(question) == int(answer) for question, answer in pairs)
    True
    >>> pairs == addition.generate(1000, seed=0)[:3]
    True
    """
    count = operator.index(count)
    if not 0 <= count <= MAX_COUNT:
        raise ValueError(
            f"count: expected 0 to {MAX_COUNT}, the number of different sums, got {count}"
        )
    numbers = np.arange(_LIMIT)
    how_many_as_long = np.select([numbers < 10, numbers < 100], [10, 90], 900)
    weights = 1.0 / np.outer(how_many_as_long, how_many_as_long)
    # Weighted drawing without repetition: in ascending order of exponential times of these rates.
    # Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006.
    times = np.random.default_rng(seed).exponential(size=weights.shape) / weights
    times[times > times.T] = np.inf  # of a sum and its mirror image, the one drawn first
    drawn = np.argsort(times, axis=None, kind="stable")[:count]
    left, right = (side.tolist() for side in np.unravel_index(drawn, times.shape))
    return [(f"{a}+{b}", str(a + b)) for a, b in zip(left, right, strict=True)]
