"""Words as numbers: corpora, co-occurrence, similarity, contexts."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def preprocess(text: str) -> tuple[Array, dict[str, int], dict[int, str]]:
    """Number the words of a text in order of first appearance.

    Parameters
    ----------
    text : str
        Words are separated by single spaces; a full stop is a word; case does not matter.

    Returns
    -------
    corpus : (L,) integer array
    word_to_id : dict
    id_to_word : dict
    """
    words = text.lower().replace(".", " .").split(" ")
    word_to_id: dict[str, int] = {}
    id_to_word: dict[int, str] = {}
    for word in words:
        if word not in word_to_id:
            new_id = len(word_to_id)
            word_to_id[word] = new_id
            id_to_word[new_id] = word
    corpus = np.array([word_to_id[word] for word in words])
    return corpus, word_to_id, id_to_word


def create_co_matrix(corpus: Array, vocab_size: int, window_size: int = 1) -> Array:
    """Count the words within ``window_size`` of each word.

    Parameters
    ----------
    corpus : (L,) integer array
    vocab_size : int
        V.
    window_size : int

    Returns
    -------
    co_matrix : (V, V) int32 array
    """
    co_matrix = np.zeros((vocab_size, vocab_size), dtype=np.int32)
    for index, word_id in enumerate(corpus):
        for distance in range(1, window_size + 1):
            left, right = index - distance, index + distance
            if left >= 0:
                co_matrix[word_id, corpus[left]] += 1
            if right < len(corpus):
                co_matrix[word_id, corpus[right]] += 1
    return co_matrix


def ppmi(C: Array, verbose: bool = False, eps: float = 1e-8) -> Array:
    """``max(0, log2(C[i, j] N / (S[i] S[j]) + eps))``, S the column sums and N the total.

    Parameters
    ----------
    C : (V, V) array
    verbose : bool
        Print how much is done.
    eps : float

    Returns
    -------
    M : (V, V) float32 array
        Zeros for a word that never occurs.

    References
    ----------
    K. W. Church and P. Hanks, "Word association norms, mutual information, and lexicography", 1990.
    """
    M = np.zeros(C.shape, dtype=np.float32)
    N = float(np.sum(C))
    S = np.sum(C, axis=0)
    rows, columns = C.shape
    for i in range(rows):
        for j in range(columns):
            if S[i] > 0 and S[j] > 0:
                pmi = math.log2(float(C[i, j]) * N / (float(S[i]) * float(S[j])) + eps)
                M[i, j] = max(0.0, pmi)
        if verbose and (i + 1) % max(1, rows // 100) == 0:
            print(f"{100 * (i + 1) / rows:.1f}% done")
    return M


def create_contexts_target(corpus: Array, window_size: int = 1) -> tuple[Array, Array]:
    """The words with a full window of neighbours, and these neighbours.

    Parameters
    ----------
    corpus : (L,) integer array
    window_size : int
        W.

    Returns
    -------
    contexts : (L - 2W, 2W) array
    target : (L - 2W,) array
    """
    target = corpus[window_size:-window_size]
    contexts = []
    for index in range(window_size, len(corpus) - window_size):
        around = range(index - window_size, index + window_size + 1)
        contexts.append([corpus[position] for position in around if position != index])
    return np.array(contexts), np.array(target)


def convert_one_hot(corpus: Array, vocab_size: int) -> Array:
    """The one-hot encoding of ids.

    Parameters
    ----------
    corpus : integer array of any shape
    vocab_size : int
        V.

    Returns
    -------
    one_hot : int32 array of the same shape and one axis of length V more
    """
    one_hot = np.zeros((*corpus.shape, vocab_size), dtype=np.int32)
    for index in np.ndindex(corpus.shape):
        one_hot[(*index, corpus[index])] = 1
    return one_hot


def cos_similarity(x: Array, y: Array, eps: float = 1e-8) -> Any:
    """``x y / (|x| |y|)``, with ``eps`` added to the lengths.

    Parameters
    ----------
    x, y : (D,) arrays
    eps : float

    Returns
    -------
    similarity : float
    """
    nx = x / (np.sqrt(np.sum(x**2)) + eps)
    ny = y / (np.sqrt(np.sum(y**2)) + eps)
    return np.dot(nx, ny)


def normalize(x: Array) -> Array:
    """Scale a vector, or each row of a matrix, to length 1, in place.

    Parameters
    ----------
    x : (D,) or (N, D) array

    Returns
    -------
    x : the same array
    """
    if x.ndim == 2:
        length = np.sqrt((x * x).sum(axis=1))
        x /= length.reshape(-1, 1)
    elif x.ndim == 1:
        length = np.sqrt((x * x).sum())
        x /= length
    return x


def most_similar(
    query: str,
    word_to_id: Mapping[str, int],
    id_to_word: Mapping[int, str],
    word_matrix: Array,
    top: int = 5,
) -> None:
    """Print the words with the largest `cos_similarity` to a word.

    Parameters
    ----------
    query : str
    word_to_id, id_to_word : mappings
    word_matrix : (V, D) array
    top : int
        How many.
    """
    if query not in word_to_id:
        print(f"{query} is not found")
        return
    print(f"\n[query] {query}")
    query_vec = word_matrix[word_to_id[query]]
    similarity = np.zeros(len(word_matrix))
    for word_id in range(len(word_matrix)):
        similarity[word_id] = cos_similarity(word_matrix[word_id], query_vec)
    _print_best(similarity, id_to_word, (query,), top)


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
    """Print the words closest to ``b - a + c``: an analogy, ``a`` is to ``b`` as ``c`` to the word.

    Parameters
    ----------
    a, b, c : str
    word_to_id, id_to_word : mappings
    word_matrix : (V, D) array
    top : int
        How many.
    answer : str, optional
        A word whose score to print first.
    """
    for word in (a, b, c):
        if word not in word_to_id:
            print(f"{word} is not found")
            return
    print(f"\n[analogy] {a}:{b} = {c}:?")
    a_vec, b_vec, c_vec = (word_matrix[word_to_id[word]] for word in (a, b, c))
    query_vec = normalize(b_vec - a_vec + c_vec)
    similarity = np.dot(word_matrix, query_vec)
    if answer is not None:
        print(f"==>{answer}:{np.dot(word_matrix[word_to_id[answer]], query_vec)}")
    _print_best(similarity, id_to_word, (a, b, c), top)


def _print_best(
    similarity: Array, id_to_word: Mapping[int, str], left_out: tuple[str, ...], top: int
) -> None:
    count = 0
    for word_id in (-1 * similarity).argsort():
        word = id_to_word[int(word_id)]
        if count >= top:
            return
        if word in left_out or np.isnan(similarity[word_id]):
            continue
        print(f" {word}: {similarity[word_id]}")
        count += 1
