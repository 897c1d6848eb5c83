"""The text functions: cases computed by hand, and the reference's results."""

import math
from typing import Any

import numpy as np
import pytest

import fastseq_reference.util
from fastseq import util

Array = Any

SENTENCE = "You say goodbye and I say hello."
# you say goodbye and i say hello .
CORPUS = [0, 1, 2, 3, 4, 1, 5, 6]
COUNTS = [
    [0, 1, 0, 0, 0, 0, 0],
    [1, 0, 1, 0, 1, 1, 0],
    [0, 1, 0, 1, 0, 0, 0],
    [0, 0, 1, 0, 1, 0, 0],
    [0, 1, 0, 1, 0, 0, 0],
    [0, 1, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 1, 0],
]
every_package = pytest.mark.parametrize("package", [util, fastseq_reference.util])


@every_package
def test_preprocess(package: Any) -> None:
    corpus, word_to_id, id_to_word = package.preprocess(SENTENCE)
    assert corpus.tolist() == CORPUS
    assert corpus.dtype == np.int64
    words = ["you", "say", "goodbye", "and", "i", "hello", "."]
    assert list(word_to_id.items()) == [(word, index) for index, word in enumerate(words)]
    assert list(id_to_word.items()) == list(enumerate(words))
    # an empty word between two spaces, and one after a full stop and a space at the end
    assert list(package.preprocess("a  B. ")[1]) == ["a", "", "b", "."]
    assert package.preprocess("a  B. ")[0].tolist() == [0, 1, 2, 3, 1]


@every_package
def test_co_occurrence(package: Any) -> None:
    matrix = package.create_co_matrix(np.array(CORPUS), 7)
    assert matrix.dtype == np.int32
    assert matrix.tolist() == COUNTS
    # neighbours at a distance of 1 and 2: 0 1 0 0
    wide = package.create_co_matrix(np.array([0, 1, 0, 0]), 3, window_size=2)
    assert wide.tolist() == [[4, 3, 0], [3, 0, 0], [0, 0, 0]]
    assert not package.create_co_matrix(np.array([2]), 3, window_size=5).any()


@every_package
def test_ppmi(package: Any) -> None:
    counts = np.array(COUNTS)
    matrix = package.ppmi(counts)
    assert matrix.dtype == np.float32
    # 14 pairs; you 1, say 4, goodbye 2, and 2, i 2, hello 2, . 1
    np.testing.assert_allclose(matrix[0, 1], math.log2(14 / (1 * 4)), rtol=1e-6)
    np.testing.assert_allclose(matrix[1, 2], math.log2(14 / (4 * 2)), rtol=1e-6)
    np.testing.assert_allclose(matrix[6, 5], math.log2(14 / (1 * 2)), rtol=1e-6)
    np.testing.assert_array_equal(matrix > 0, counts > 0)
    np.testing.assert_array_equal(matrix, matrix.T)
    # less often together than by chance: log2(1 * 24 / (6 * 6)) < 0
    assert package.ppmi(np.array([[5, 1], [1, 17]]))[0, 1] == max(0, math.log2(24 / (6 * 18)))


@every_package
def test_ppmi_of_a_word_that_never_occurs(package: Any, recwarn: Any) -> None:
    matrix = package.ppmi(np.array([[2, 0, 1], [0, 0, 0], [1, 0, 0]]))
    assert np.isfinite(matrix).all()
    assert not matrix[1].any()
    assert not matrix[:, 1].any()
    assert matrix[0, 2] == pytest.approx(math.log2(4 / 3))
    assert not recwarn.list


@every_package
def test_ppmi_tells_how_much_is_done(package: Any, capsys: pytest.CaptureFixture[str]) -> None:
    package.ppmi(np.array(COUNTS))
    assert capsys.readouterr().out == ""
    package.ppmi(np.eye(4), verbose=True)
    assert capsys.readouterr().out.splitlines() == [f"{n}.0% done" for n in (25, 50, 75, 100)]


@every_package
def test_contexts_and_targets(package: Any) -> None:
    contexts, target = package.create_contexts_target(np.array(CORPUS))
    assert target.tolist() == [1, 2, 3, 4, 1, 5]
    assert contexts.tolist() == [[0, 2], [1, 3], [2, 4], [3, 1], [4, 5], [1, 6]]
    contexts, target = package.create_contexts_target(np.array(CORPUS), window_size=3)
    assert target.tolist() == [3, 4]
    assert contexts.tolist() == [[0, 1, 2, 4, 1, 5], [1, 2, 3, 1, 5, 6]]


def test_a_text_too_short_for_its_window_has_no_contexts() -> None:
    contexts, target = util.create_contexts_target(np.array([1, 2, 3]), window_size=2)
    assert contexts.shape == (0, 4)
    assert target.shape == (0,)
    with pytest.raises(ValueError, match="window_size: expected at least 1, got 0"):
        util.create_contexts_target(np.array([1, 2, 3]), window_size=0)


@every_package
def test_one_hot(package: Any) -> None:
    one_hot = package.convert_one_hot(np.array([2, 0]), 3)
    assert one_hot.dtype == np.int32
    assert one_hot.tolist() == [[0, 0, 1], [1, 0, 0]]
    one_hot = package.convert_one_hot(np.array([[0, 1], [1, 1]]), 2)
    assert one_hot.tolist() == [[[1, 0], [0, 1]], [[0, 1], [0, 1]]]


@pytest.mark.parametrize("ids", [[0, 3], [-1, 2]])
def test_ids_out_of_range(ids: list[int]) -> None:
    for function in (util.convert_one_hot, util.create_co_matrix):
        with pytest.raises(IndexError, match=r"from 0 to 2, got (3|-1)$"):
            function(np.array(ids), 3)
        with pytest.raises(TypeError, match="expected integers, got dtype float64"):
            function(np.array([0.0, 1.0]), 3)


@every_package
def test_cosine(package: Any) -> None:
    assert package.cos_similarity(np.array([3.0, 4.0]), np.array([4.0, 3.0])) == pytest.approx(0.96)
    assert package.cos_similarity(np.array([1, 0]), np.array([0, 5])) == 0
    assert package.cos_similarity(np.zeros(2), np.ones(2)) == 0
    # with eps = 1 the lengths 5 become 6
    x, y = np.array([3.0, 4.0]), np.array([4.0, 3.0])
    assert package.cos_similarity(x, y, eps=1) == pytest.approx(24 / 36)


@every_package
def test_normalize(package: Any) -> None:
    vector = np.array([3.0, 4.0])
    assert package.normalize(vector) is vector
    np.testing.assert_allclose(vector, [0.6, 0.8])
    matrix = np.array([[3, 4], [0, 2]], dtype=np.float32)
    assert package.normalize(matrix) is matrix
    np.testing.assert_allclose(matrix, [[0.6, 0.8], [0, 1]], rtol=1e-6)
    cube = np.ones((2, 2, 2))
    assert package.normalize(cube) is cube
    assert (cube == 1).all()


WORDS = ["king", "man", "woman", "queen", "apple", "nothing"]
WORD_TO_ID = {word: index for index, word in enumerate(WORDS)}
ID_TO_WORD = dict(enumerate(WORDS))
VECTORS = np.array([[1.0, 2], [1, 0], [-1, 0.0], [-1, 2], [0, -3], [math.nan, 0]])


@every_package
def test_most_similar(package: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert package.most_similar("king", WORD_TO_ID, ID_TO_WORD, VECTORS, top=3) is None
    heading, query, *lines = capsys.readouterr().out.splitlines()
    assert (heading, query) == ("", "[query] king")
    words, values = zip(*(line.split(": ") for line in lines), strict=True)
    assert words == (" queen", " man", " woman")
    np.testing.assert_allclose(
        [float(value) for value in values], [3 / 5, 1 / 5**0.5, -1 / 5**0.5], rtol=1e-7
    )
    package.most_similar("king", WORD_TO_ID, ID_TO_WORD, VECTORS)
    assert len(capsys.readouterr().out.splitlines()) == 2 + 4  # nothing has no number
    package.most_similar("prince", WORD_TO_ID, ID_TO_WORD, VECTORS)
    assert capsys.readouterr().out == "prince is not found\n"


@every_package
def test_analogy(package: Any, capsys: pytest.CaptureFixture[str]) -> None:
    before = VECTORS.copy()
    settings = {"top": 2, "answer": "queen"}
    package.analogy("man", "king", "woman", WORD_TO_ID, ID_TO_WORD, VECTORS, **settings)
    _, query, answer, *lines = capsys.readouterr().out.splitlines()
    assert query == "[analogy] man:king = woman:?"
    # king - man + woman = (-1, 2), of length sqrt(5)
    assert answer.startswith("==>queen:2.236")
    assert [line.split(": ")[0] for line in lines] == [" queen", " apple"]
    assert float(lines[1].split(": ")[1]) == pytest.approx(-6 / 5**0.5)
    np.testing.assert_array_equal(VECTORS, before)
    package.analogy("man", "king", "girl", WORD_TO_ID, ID_TO_WORD, VECTORS)
    assert capsys.readouterr().out == "girl is not found\n"


def test_like_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    corpus = rng.integers(0, 30, 400)
    vectors = rng.standard_normal((30, 7)).astype(np.float32)
    words = [f"w{index}" for index in range(30)]
    twin = fastseq_reference.util
    for window_size in (1, 2, 5):
        counts = util.create_co_matrix(corpus, 30, window_size)
        np.testing.assert_array_equal(counts, twin.create_co_matrix(corpus, 30, window_size))
        np.testing.assert_allclose(util.ppmi(counts), twin.ppmi(counts), rtol=1e-6)
        for one, other in zip(
            util.create_contexts_target(corpus, window_size),
            twin.create_contexts_target(corpus, window_size),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        util.convert_one_hot(corpus.reshape(20, 20), 30),
        twin.convert_one_hot(corpus.reshape(20, 20), 30),
    )
    np.testing.assert_array_equal(util.normalize(vectors.copy()), twin.normalize(vectors.copy()))
    dictionaries = {word: index for index, word in enumerate(words)}, dict(enumerate(words))
    printed = []
    for package in (util, twin):
        package.most_similar("w3", *dictionaries, vectors)
        package.analogy("w1", "w2", "w3", *dictionaries, vectors, 7, "w9")
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert len(printed[0].splitlines()) == 2 + 5 + 3 + 7


def test_a_wrong_count_is_noticed() -> None:
    counts = np.array(COUNTS)
    counts[0, 1] += 1
    assert util.create_co_matrix(np.array(CORPUS), 7).tolist() != counts.tolist()
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(
            util.ppmi(counts), fastseq_reference.util.ppmi(np.array(COUNTS)), rtol=1e-6
        )


@every_package
def test_there_is_a_cpu_only(package: Any) -> None:
    array = np.ones(3)
    assert package.to_cpu(array) is array
    assert isinstance(package.to_cpu([1, 2]), np.ndarray)
    with pytest.raises(RuntimeError, match="CPU only"):
        package.to_gpu(array)
