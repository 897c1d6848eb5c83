"""Write English forms and their lemmas as pairs: form, space, part of speech, tab, lemma.

    python lemma_pairs.py FOLDER

makes train.tsv, valid.tsv and test.tsv in the folder, a line for each lemma of a form. A form's
part follows from a hash of the lemma, 90, 5 and 5 of a hundred: the test has words of which no
form was seen. The table comes from the package lemminflect, of which only the CSV file is read:
nothing of it is imported, and none of its pickles opened.
"""

import csv
import gzip
import hashlib
import importlib.util
import sys
from pathlib import Path


def part_of(lemma: str) -> str:
    """The part of the data that a lemma belongs to."""
    number = int.from_bytes(hashlib.sha256(lemma.encode()).digest()[:8], "big") % 100
    if number < 90:
        return "train"
    return "valid" if number < 95 else "test"


def main(folder: Path) -> None:
    """Write the three files."""
    package = importlib.util.find_spec("lemminflect")
    if package is None or not package.submodule_search_locations:
        sys.exit("the package lemminflect is not installed: pip install --no-deps lemminflect")
    table = Path(package.submodule_search_locations[0], "resources", "lemma_lu.csv.gz")
    folder.mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    with gzip.open(table, "rt", encoding="utf-8", newline="") as file:
        for form, part_of_speech, lemmas in csv.reader(file):
            accepted = lemmas.split("/")
            for lemma in accepted:
                lines[part_of(accepted[0])].append(f"{form} {part_of_speech}\t{lemma}\n")
    for name, part in lines.items():
        (folder / f"{name}.tsv").write_text("".join(part), encoding="utf-8")
        print(f"{name}.tsv: {len(part)} pairs")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
