"""The textbook's ``dataset.sequence``: data files by name, from the user's tree or generated."""

from __future__ import annotations

import errno
import os
import sys
import tempfile

from fastseq.data import addition, dates, sequence
from fastseq.data.sequence import get_vocab
from fastseq.dropin import importer

__all__ = ["char_to_id", "get_vocab", "id_to_char", "load_data"]

char_to_id: dict[str, int] = {}
id_to_char: dict[int, str] = {}

_GENERATED = {"addition.txt": addition, "date.txt": dates, "dates.txt": dates}
_COUNT = 50_000


def load_data(file_name: str = "addition.txt", seed: int = 1984) -> sequence.Split:
    """Load a data file, shuffled and split nine to one, as `fastseq.data.sequence.load_data` does.

    The file is looked for in the ``dataset`` folder of the user's tree, then in the current one.
    Where it is in neither, ``addition.txt`` and ``date.txt`` are generated, always the same, with a
    line on standard error.

    Parameters
    ----------
    file_name : name or path of a file of ``question_answer`` lines
    seed : what `numpy.random.seed` takes

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : int64 ids, (n, question width) and (n, answer width)

    Raises
    ------
    FileNotFoundError
        No such file, and none that can be generated.
    ValueError
        The file is malformed: see `fastseq.data.sequence.parse_lines`.
    """
    finder = importer.installed()
    folders = [] if finder is None else finder.folders("dataset")
    for folder in [*folders, os.getcwd()]:
        path = os.path.join(folder, file_name)
        if os.path.isfile(path):
            return _load(path, seed)

    task = _GENERATED.get(os.path.basename(file_name))
    if task is None:
        places = ", ".join([*folders, os.getcwd()])
        raise FileNotFoundError(errno.ENOENT, f"no such data file in {places}", file_name)
    print(
        f"fastseq: {file_name} is not there: {_COUNT} generated examples are used instead",
        file=sys.stderr,
        flush=True,
    )
    pairs = task.generate(_COUNT)
    lines = sequence.textbook_lines(pairs, task.QUESTION_WIDTH, task.ANSWER_WIDTH)
    with tempfile.TemporaryDirectory(prefix="fastseq-") as folder:
        path = os.path.join(folder, os.path.basename(file_name))
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        return _load(path, seed)


def _load(path: str, seed: int) -> sequence.Split:
    """Load the file, and let the module's own dictionaries be its vocabulary."""
    split = sequence.load_data(path, seed)
    ids, chars = get_vocab()
    char_to_id.clear()
    char_to_id.update(ids)
    id_to_char.clear()
    id_to_char.update(chars)
    return split
