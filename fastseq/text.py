"""Words as numbers: corpora, co-occurrence, similarity, contexts.

Reached through `fastseq.util`, as in the textbook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def preprocess(text: str) -> tuple[Array, dict[str, int], dict[int, str]]:
    """Cut a text into words, and number them in order of first appearance.

    Words are lower-case and end at a space; a full stop is a word of its own. Two spaces in a row
    have an empty word between them.

    Parameters
    ----------
    text : str

    Returns
    -------
    corpus : ndarray of int64, shape (number of words,)
    word_to_id : dict
    id_to_word : dict

    Examples
    --------
    >>> from fastseq import preprocess
    >>> corpus, word_to_id, id_to_word = preprocess("You say goodbye and I say hello.")
    >>> corpus
    array([0, 1, 2, 3, 4, 1, 5, 6])
    >>> word_to_id["hello"], id_to_word[1]
    (5, 'say')
    """
    words = text.lower().replace(".", " .").split(" ")
    word_to_id: dict[str, int] = {}
    for word in words:
        word_to_id.setdefault(word, len(word_to_id))
    id_to_word = {word_id: word for word, word_id in word_to_id.items()}
    return np.array([word_to_id[word] for word in words]), word_to_id, id_to_word


def create_co_matrix(corpus: Array, vocab_size: int, window_size: int = 1) -> Array:
    """Count how often each word stands within ``window_size`` words of each other word.

    Parameters
    ----------
    corpus : sequence of int
        Ids.
    vocab_size : int
        V.
    window_size : int
        How many neighbours to count on each side.

    Returns
    -------
    ndarray of int32, shape (V, V)
        Symmetric.

    Raises
    ------
    IndexError
        An id is negative or not below V.
    TypeError, ValueError
        The ids are no integers, or not of one dimension.

    Examples
    --------
    >>> from fastseq import create_co_matrix
    >>> create_co_matrix([0, 1, 2, 1], vocab_size=3)
    array([[0, 1, 0],
           [1, 0, 2],
           [0, 2, 0]], dtype=int32)
    """
    ids = _checked_ids(corpus, vocab_size)
    if ids.ndim != 1:
        raise ValueError(f"corpus: expected one dimension, got shape {ids.shape}")
    matrix = np.zeros((vocab_size, vocab_size), dtype=np.int32)
    for distance in range(1, min(window_size, len(ids) - 1) + 1):
        left, right = ids[:-distance], ids[distance:]
        np.add.at(matrix, (left, right), 1)
        np.add.at(matrix, (right, left), 1)
    return matrix


def ppmi(C: Array, verbose: bool = False, eps: float = 1e-8) -> Array:
    """Positive pointwise mutual information of the words of a co-occurrence matrix.

    ``max(0, log2(C[i, j] * N / (S[i] * S[j]) + eps))``, with ``S`` the column sums of ``C`` and
    ``N`` the sum of all: Church and Hanks 1990, "Word association norms, mutual information, and
    lexicography". A word that never occurs gets zeros.

    Parameters
    ----------
    C : ndarray of numbers, shape (V, V)
        As `create_co_matrix` gives it.
    verbose : bool
        Print how much is done, about a hundred times.
    eps : float
        Keeps the logarithm finite.

    Returns
    -------
    ndarray of float32, shape (V, V)

    Raises
    ------
    ValueError
        ``C`` is not of shape (V, V).

    Examples
    --------
    >>> from fastseq import create_co_matrix, ppmi
    >>> ppmi(create_co_matrix([0, 1, 2, 1], vocab_size=3)).round(2)
    array([[0., 1., 0.],
           [1., 0., 1.],
           [0., 1., 0.]], dtype=float32)
    """
    C = np.asarray(C)
    if C.ndim != 2 or C.shape[0] != C.shape[1]:
        raise ValueError(f"C: expected shape (V, V), got {C.shape}")
    vocab_size = len(C)
    sums = C.sum(axis=0, dtype=np.float64)
    total = sums.sum()
    matrix = np.empty(C.shape, dtype=np.float32)
    for row in range(vocab_size):
        with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 where a word never occurs
            information = np.log2(C[row] * total / (sums[row] * sums) + eps)
        matrix[row] = np.fmax(0, information)
        if verbose and (row + 1) % max(1, vocab_size // 100) == 0:
            print(f"{100 * (row + 1) / vocab_size:.1f}% done")
    return matrix


def create_contexts_target(corpus: Array, window_size: int = 1) -> tuple[Array, Array]:
    """Pair every word with its neighbours.

    Parameters
    ----------
    corpus : sequence of int, length L
        Ids.
    window_size : int
        W neighbours on each side.

    Returns
    -------
    contexts : ndarray, shape (L - 2W, 2W)
        The neighbours of each word that has them all, from left to right.
    target : ndarray, shape (L - 2W,)
        The words themselves.

    Raises
    ------
    ValueError
        ``window_size`` is below 1.

    Examples
    --------
    >>> from fastseq import create_contexts_target
    >>> contexts, target = create_contexts_target([0, 1, 2, 3])
    >>> contexts.tolist(), target.tolist()
    ([[0, 2], [1, 3]], [1, 2])
    """
    if window_size < 1:
        raise ValueError(f"window_size: expected at least 1, got {window_size}")
    ids = np.asarray(corpus)
    positions = np.arange(window_size, max(window_size, len(ids) - window_size))
    offsets = [offset for offset in range(-window_size, window_size + 1) if offset != 0]
    return ids[positions[:, np.newaxis] + offsets], ids[positions]


def convert_one_hot(corpus: Array, vocab_size: int) -> Array:
    """Write each id as a row of zeros with a one at its place.

    Parameters
    ----------
    corpus : ndarray of int, any shape
        Ids.
    vocab_size : int
        V.

    Returns
    -------
    ndarray of int32, the shape of ``corpus`` and one axis of length V more

    Raises
    ------
    IndexError
        An id is negative or not below V.
    TypeError
        The ids are no integers.

    Examples
    --------
    >>> from fastseq import convert_one_hot
    >>> convert_one_hot([2, 0], vocab_size=3)
    array([[0, 0, 1],
           [1, 0, 0]], dtype=int32)
    """
    ids = _checked_ids(corpus, vocab_size)
    one_hot = np.zeros((*ids.shape, vocab_size), dtype=np.int32)
    np.put_along_axis(one_hot, ids[..., np.newaxis], 1, axis=-1)
    return one_hot


def cos_similarity(x: Array, y: Array, eps: float = 1e-8) -> Any:
    """Cosine of the angle between two vectors; 0 where one is zero.

    Parameters
    ----------
    x, y : ndarray of float, shape (D,)
    eps : float
        Added to each length.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq import cos_similarity
    >>> round(float(cos_similarity(np.array([1.0, 0.0]), np.array([1.0, 1.0]))), 3)
    0.707
    """
    nx = x / (np.sqrt(np.sum(x**2)) + eps)
    ny = y / (np.sqrt(np.sum(y**2)) + eps)
    return np.dot(nx, ny)


def normalize(x: Array) -> Array:
    """Scale a vector, or each row of a matrix, to length 1, in place.

    Parameters
    ----------
    x : writeable ndarray of float, shape (D,) or (N, D)
        A row of zeros becomes NaN. An array of other rank stays as it is.

    Returns
    -------
    ndarray
        The same array.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq import normalize
    >>> normalize(np.array([[3.0, 4.0], [0.0, 2.0]]))
    array([[0.6, 0.8],
           [0. , 1. ]])
    """
    if x.ndim == 2:
        x /= np.sqrt((x * x).sum(axis=1, keepdims=True))
    elif x.ndim == 1:
        x /= np.sqrt((x * x).sum())
    return x


def most_similar(
    query: str,
    word_to_id: Mapping[str, int],
    id_to_word: Mapping[int, str],
    word_matrix: Array,
    top: int = 5,
) -> None:
    """Print the words whose vectors are closest to that of a word, by cosine, the closest first.

    Parameters
    ----------
    query : str
        A word; one that is not in the vocabulary is said to be missing.
    word_to_id, id_to_word : mapping
    word_matrix : ndarray of float, shape (V, D)
        The vector of each id.
    top : int
        How many words to print.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq import most_similar
    >>> word_to_id, id_to_word = {"a": 0, "b": 1, "c": 2}, {0: "a", 1: "b", 2: "c"}
    >>> vectors = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    >>> most_similar("a", word_to_id, id_to_word, vectors, top=1)
    <BLANKLINE>
    [query] a
     b: 0.707...
    """
    if query not in word_to_id:
        print(f"{query} is not found")
        return
    print(f"\n[query] {query}")
    query_vec = word_matrix[word_to_id[query]]
    similarity = np.array([cos_similarity(row, query_vec) for row in word_matrix], dtype=np.float64)
    _print_best(similarity, id_to_word, {query}, top)


def analogy(
    a: str,
    b: str,
    c: str,
    word_to_id: Mapping[str, int],
    id_to_word: Mapping[int, str],
    word_matrix: Array,
    top: int = 5,
    answer: str | None = None,
) -> None:
    """Print the words that may be to ``c`` what ``b`` is to ``a``, the best first.

    They have the largest product with ``vec(b) - vec(a) + vec(c)``, scaled to length 1: Mikolov,
    Yih and Zweig 2013, "Linguistic regularities in continuous space word representations".

    Parameters
    ----------
    a, b, c : str
        Words; one that is not in the vocabulary is said to be missing.
    word_to_id, id_to_word : mapping
    word_matrix : ndarray of float, shape (V, D)
        The vector of each id.
    top : int
        How many words to print.
    answer : str, optional
        A word whose product to print first.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq import analogy
    >>> words = ["king", "man", "queen", "woman", "tree"]
    >>> vectors = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 1], [-1, 0, 0]], dtype=float)
    >>> word_to_id = {word: number for number, word in enumerate(words)}
    >>> analogy("man", "king", "woman", word_to_id, dict(enumerate(words)), vectors, top=1)
    <BLANKLINE>
    [analogy] man:king = woman:?
     queen: 1.414...
    """
    for word in (a, b, c):
        if word not in word_to_id:
            print(f"{word} is not found")
            return
    print(f"\n[analogy] {a}:{b} = {c}:?")
    a_vec, b_vec, c_vec = (word_matrix[word_to_id[word]] for word in (a, b, c))
    query_vec = normalize(b_vec - a_vec + c_vec)
    if answer is not None:
        print(f"==>{answer}:{np.dot(word_matrix[word_to_id[answer]], query_vec)}")
    _print_best(np.dot(word_matrix, query_vec), id_to_word, {a, b, c}, top)


def _print_best(
    similarity: Array, id_to_word: Mapping[int, str], left_out: set[str], top: int
) -> None:
    best = [
        word_id
        for word_id in (-similarity).argsort().tolist()
        if id_to_word[word_id] not in left_out and not np.isnan(similarity[word_id])
    ]
    for word_id in best[: max(0, top)]:
        print(f" {id_to_word[word_id]}: {similarity[word_id]}")


def _checked_ids(corpus: Array, vocab_size: int) -> Array:
    ids = np.asarray(corpus)
    if ids.size and ids.dtype.kind not in "iu":
        raise TypeError(f"corpus: expected integers, got dtype {ids.dtype}")
    wrong = (ids < 0) | (ids >= vocab_size)
    if wrong.any():
        raise IndexError(
            f"corpus: expected ids from 0 to {vocab_size - 1}, got {ids[wrong].flat[0]}"
        )
    return ids.astype(np.intp)
