"""The textbook's data format: read it, number its symbols, split it, and write it.

One example a line, ``question_answer``, every question padded with spaces to one width and every
answer to another. The answer begins with the first ``_`` of the line, which also serves as the
decoder's start symbol: ``"16+75  _91  "`` is a question of 7 characters and an answer of 5.

`parse_lines` and `split` are pure functions. `load_data` and `get_vocab` are the textbook's
interface on top of them: one call loads, the next returns the vocabulary of what was loaded.
"""

import codecs
import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

START = "_"

IdArray = npt.NDArray[np.int64]
Split = tuple[tuple[IdArray, IdArray], tuple[IdArray, IdArray]]


@dataclass(frozen=True, eq=False)
class SequenceData:
    """Examples as symbol ids, with the vocabulary that numbers them.

    Attributes
    ----------
    x : int64 array (N, question width)
    t : int64 array (N, answer width), the first column is the start symbol
    char_to_id, id_to_char : the two directions of the vocabulary; ids are 0 … V-1 in order of
        first appearance, question then answer, line by line

    Examples
    --------
    >>> from fastseq.data.sequence import parse_lines
    >>> data = parse_lines(["1+1_2", "2+1_3"])
    >>> data.x.shape, data.t.shape, data.id_to_char[0]
    ((2, 3), (2, 2), '1')
    """

    x: IdArray
    t: IdArray
    char_to_id: dict[str, int]
    id_to_char: dict[int, str]


def parse_lines(lines: Iterable[str], name: str = "<lines>") -> SequenceData:
    """Turn ``question_answer`` lines into ids.

    Parameters
    ----------
    lines : lines of equal question and answer width, with or without their line endings
    name : what error messages call the source, normally the file's path

    Returns
    -------
    SequenceData

    Raises
    ------
    ValueError
        There is no line, or one without ``_``, with nothing before or after it, or with widths
        that are not those of line 1. The message gives `name`, the line's number, what was
        expected and what came.

    Examples
    --------
    >>> from fastseq.data.sequence import parse_lines
    >>> data = parse_lines(["1+1_2", "2+1_3"])
    >>> data.x.tolist(), data.t.tolist()
    ([[0, 1, 0], [3, 1, 0]], [[2, 3], [2, 4]])
    """
    texts = [line.rstrip("\r\n") for line in lines]
    if not texts:
        raise ValueError(f"{name}: expected at least one question_answer line, got none")
    question_width, answer_width = _widths(texts[0], f"{name}, line 1")
    for number, text in enumerate(texts, start=1):
        widths = _widths(text, f"{name}, line {number}")
        if widths != (question_width, answer_width):
            raise ValueError(
                f"{name}, line {number}: expected a question of {question_width} and an answer of "
                f"{answer_width} characters ('{START}' included) as on line 1, "
                f"got {widths[0]} and {widths[1]}: {_excerpt(text)}"
            )
    symbols = "".join(texts)
    char_to_id = {char: number for number, char in enumerate(dict.fromkeys(symbols))}
    id_to_char = dict(enumerate(char_to_id))
    ids = np.fromiter(map(char_to_id.__getitem__, symbols), np.int64, len(symbols))
    x, t = np.split(ids.reshape(len(texts), -1), [question_width], axis=1)
    return SequenceData(x.copy(), t.copy(), char_to_id, id_to_char)


def split(data: SequenceData, seed: int = 1984) -> Split:
    """Shuffle the examples and hold the last tenth out, exactly as `load_data` does.

    The same rows for the same seed as `load_data`, without touching NumPy's global generator.

    Parameters
    ----------
    data : SequenceData, of N examples
    seed : int, what `numpy.random.RandomState` takes

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : new arrays; N // 10 rows are for test, so fewer than ten
        examples leave none

    Examples
    --------
    >>> from fastseq.data import addition, sequence
    >>> lines = sequence.textbook_lines(addition.generate(100), 7, 5)
    >>> (x_train, t_train), (x_test, t_test) = sequence.split(sequence.parse_lines(lines))
    >>> x_train.shape, t_test.shape
    ((90, 7), (10, 5))
    """
    order = np.arange(len(data.x))
    np.random.RandomState(seed).shuffle(order)
    return _divide(data, order)


def read_lines(file_name: str | os.PathLike[str]) -> list[str]:
    r"""Read a UTF-8 text file as a list of lines without their endings.

    A byte order mark, any line ending (LF, CRLF, CR) and a missing last one are all read.

    Parameters
    ----------
    file_name : path

    Returns
    -------
    list of str

    Raises
    ------
    FileNotFoundError
        No file at that path. The path is taken as given, so a bare name means the current folder.
    ValueError
        The file is not UTF-8; the message gives the path, the line and the byte.

    Examples
    --------
    >>> from pathlib import Path
    >>> from fastseq.data.sequence import read_lines
    >>> _ = Path("sums.txt").write_bytes(b"1+1_2\r\n2+1_3")
    >>> read_lines("sums.txt")
    ['1+1_2', '2+1_3']
    """
    path = Path(file_name)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        reason = f"no such data file (paths are taken as given, from {os.getcwd()})"
        raise FileNotFoundError(errno.ENOENT, reason, str(path)) from None
    content = content.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {number}: expected UTF-8 text, got the byte 0x{content[error.start]:02x}"
        ) from None
    if lines[-1] == "":
        lines.pop()
    return lines


_vocabulary: tuple[dict[str, int], dict[int, str]] = ({}, {})


def load_data(file_name: str | os.PathLike[str], seed: int = 1984) -> Split:
    r"""Load a file of ``question_answer`` lines, shuffled and split nine to one.

    Seeds NumPy's *global* generator with `seed` and draws the order of the rows from it, as the
    textbook does: the weights that a script draws next are the same on every run. A file that
    cannot be loaded leaves the generator and the vocabulary of `get_vocab` as they were.

    The ids depend on the file alone. (The textbook goes on counting from the files loaded before
    and adds to dictionaries it has already returned; here those never change.) The path is taken
    as given, where the textbook looks beside its own module.

    Parameters
    ----------
    file_name : path of a UTF-8 text file; LF or CRLF, with or without the last line ending
    seed : what `numpy.random.seed` takes

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : int64 ids, (n, question width) and (n, answer width)

    Raises
    ------
    FileNotFoundError
        No file at that path.
    ValueError
        Not UTF-8, no lines, or a malformed line: see `parse_lines`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from fastseq.data import addition, sequence
    >>> lines = sequence.textbook_lines(addition.generate(100), 7, 5)
    >>> _ = Path("sums.txt").write_text("\n".join(lines))
    >>> (x_train, t_train), (x_test, t_test) = sequence.load_data("sums.txt")
    >>> x_train.shape, t_test.shape
    ((90, 7), (10, 5))
    """
    global _vocabulary
    data = parse_lines(read_lines(file_name), name=os.fspath(file_name))
    order = np.arange(len(data.x))
    np.random.seed(seed)
    np.random.shuffle(order)
    _vocabulary = (data.char_to_id, data.id_to_char)
    return _divide(data, order)


def get_vocab() -> tuple[dict[str, int], dict[int, str]]:
    """Return the vocabulary of the file that `load_data` loaded last.

    Both dicts are empty before the first load. They are the caller's own: a later load does not
    change them, nor does changing them disturb a later call.

    Returns
    -------
    char_to_id : dict of str to int
    id_to_char : dict of int to str

    Examples
    --------
    >>> from pathlib import Path
    >>> from fastseq.data import sequence
    >>> _ = Path("sums.txt").write_text("1+1_2")
    >>> _ = sequence.load_data("sums.txt")
    >>> sequence.get_vocab()
    ({'1': 0, '+': 1, '_': 2, '2': 3}, {0: '1', 1: '+', 2: '_', 3: '2'})
    """
    char_to_id, id_to_char = _vocabulary
    return dict(char_to_id), dict(id_to_char)


def textbook_lines(
    pairs: Iterable[tuple[str, str]], question_width: int, answer_width: int
) -> Iterator[str]:
    """Write pairs in the textbook's format, one padded ``question_answer`` line each.

    Parameters
    ----------
    pairs : question and answer, the answer without ``_``
    question_width : width of the padded question
    answer_width : width of the padded answer, ``_`` included

    Yields
    ------
    line : ``question_width + answer_width`` characters, without a line ending

    Raises
    ------
    ValueError
        A side is empty, too long, or holds a character that the format uses itself.

    Examples
    --------
    >>> from fastseq.data.sequence import textbook_lines
    >>> list(textbook_lines([("16+75", "91")], question_width=7, answer_width=5))
    ['16+75  _91  ']
    """
    for number, (question, answer) in enumerate(pairs, start=1):
        _require_side("question", question, number, forbidden=START + "\r\n")
        _require_side("answer", answer, number, forbidden="\r\n")
        if len(question) > question_width or len(START + answer) > answer_width:
            raise ValueError(
                f"pair {number}: expected a question of at most {question_width} and an answer of "
                f"at most {answer_width} characters ('{START}' included), "
                f"got {question!r} and {START + answer!r}"
            )
        yield question.ljust(question_width) + (START + answer).ljust(answer_width)


def tsv_lines(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    r"""Write pairs as tab-separated values, ``source\ttarget``, without padding.

    Parameters
    ----------
    pairs : source and target

    Yields
    ------
    line : without a line ending

    Raises
    ------
    ValueError
        A side is empty or holds a tab or a line ending.

    Examples
    --------
    >>> from fastseq.data.sequence import tsv_lines
    >>> list(tsv_lines([("16+75", "91")]))
    ['16+75\t91']
    """
    for number, (source, target) in enumerate(pairs, start=1):
        _require_side("source", source, number, forbidden="\t\r\n")
        _require_side("target", target, number, forbidden="\t\r\n")
        yield f"{source}\t{target}"


def _divide(data: SequenceData, order: npt.NDArray[np.intp]) -> Split:
    """Take the rows in `order`; the last tenth is for test."""
    train, test = np.split(order, [len(order) - len(order) // 10])
    return (data.x[train], data.t[train]), (data.x[test], data.t[test])


def _widths(text: str, place: str) -> tuple[int, int]:
    """Width of the question and of the answer, ``_`` included; ValueError if either is missing."""
    question_width = text.find(START)
    answer_width = len(text) - question_width
    if question_width < 0:
        problem = f"got a line without '{START}'"
    elif question_width == 0:
        problem = f"got nothing before '{START}'"
    elif answer_width == len(START):
        problem = f"got nothing after '{START}'"
    else:
        return question_width, answer_width
    raise ValueError(f"{place}: expected question{START}answer, {problem}: {_excerpt(text)}")


def _require_side(side: str, text: str, number: int, forbidden: str) -> None:
    """ValueError unless the text can stand on its side of a line."""
    if not text:
        raise ValueError(f"pair {number}: the {side} is empty")
    for char in forbidden:
        if char in text:
            raise ValueError(f"pair {number}: the {side} may not hold {char!r}, got {text!r}")


def _excerpt(text: str) -> str:
    """The line for an error message, quoted and no longer than a message can bear."""
    return repr(text if len(text) <= 60 else text[:60] + "…")
