"""Write inflected words of an invented language: lemma, tab, features, tab, form.

    python inflection_pairs.py FOLDER

makes train.tsv and test.tsv in the folder, which have no lemma in common. The language has the
rules of Turkish for nouns and past tenses: suffixes follow one another, their vowels agree with the
vowel before (A is e or a; I is i, ı, ü or u), D is t after a voiceless consonant, a sound in
brackets is there between two vowels or two consonants only, and p, ç, t, k at the end of a noun
soften before a vowel.
"""

import random
import sys
from pathlib import Path

VOWELS = "aeıioöuü"
HARMONY = {"a": "aı", "ı": "aı", "o": "au", "u": "au", "e": "ei", "i": "ei", "ö": "eü", "ü": "eü"}
VOICELESS = "fstkçşhp"
SOFTENED = {"p": "b", "ç": "c", "t": "d", "k": "ğ"}

NUMBERS = {"SG": "", "PL": "lAr"}
OWNERS = {
    "": "",
    "PSS(1,SG)": "(I)m",
    "PSS(2,SG)": "(I)n",
    "PSS(3,SG)": "(s)I",
    "PSS(1,PL)": "(I)mIz",
}
CASES = {"NOM": "", "ACC": "(y)I", "DAT": "(y)A", "LOC": "DA", "ABL": "DAn", "GEN": "(n)In"}
PERSONS = {"1;SG": "m", "2;SG": "n", "3;SG": "", "1;PL": "k", "2;PL": "nIz", "3;PL": "lAr"}


def add(word: str, suffix: str) -> str:
    """A word with a suffix."""
    if suffix.startswith("("):
        optional, suffix = suffix[1], suffix[3:]
        follows_vowel = word[-1] in VOWELS
        # a vowel stands between consonants, a consonant between vowels
        if follows_vowel != (optional == "I"):
            suffix = optional + suffix
    for letter in suffix:
        last = next(sound for sound in reversed(word) if sound in VOWELS)
        if letter in "AI":
            letter = HARMONY[last]["AI".index(letter)]
        elif letter == "D":
            letter = "t" if word[-1] in VOICELESS else "d"
        word += letter
    return word


def soften(stem: str, form: str) -> str:
    """The form of a noun whose last consonant may have come before a vowel."""
    rest = form[len(stem) :]
    if rest and rest[0] in VOWELS and stem[-1] in SOFTENED:
        return stem[:-1] + SOFTENED[stem[-1]] + rest
    return form


def nouns(stem: str) -> list[tuple[str, str, str]]:
    """The forms of a noun."""
    rows = []
    for number, plural in NUMBERS.items():
        for owner, possessive in OWNERS.items():
            for case, ending in CASES.items():
                if owner == "PSS(3,SG)" and ending:  # an n comes between the two
                    ending = "n" + ending[ending.find(")") + 1 :]
                form = add(add(add(stem, plural), possessive), ending)
                inside = f"{number};{owner}" if owner else number
                rows.append((stem, f"N;{case}({inside})", soften(stem, form)))
    return rows


def verbs(stem: str) -> list[tuple[str, str, str]]:
    """The past tenses of a verb."""
    rows = []
    for polarity, negation in {"POS": "", "NEG": "mA"}.items():
        for person, ending in PERSONS.items():
            form = add(add(add(stem, negation), "DI"), ending)
            rows.append((add(stem, "mAk"), f"V;IND;PST;{polarity};{person}", form))
    return rows


def stems(generator: random.Random, count: int) -> list[str]:
    """Different stems of one to three syllables."""
    found: dict[str, None] = {}
    while len(found) < count:
        stem = "".join(
            generator.choice("bcçdfghklmnprsştvyz") + generator.choice(VOWELS)
            for _ in range(generator.randint(1, 3))
        )
        found[stem + generator.choice("çklmnprstz" + " " * 4).strip()] = None
    return list(found)


def main(folder: Path) -> None:
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = random.Random(0)
    lemmas = stems(generator, 700)
    for name, part in {"train": lemmas[:600], "test": lemmas[600:]}.items():
        rows = []
        for number, stem in enumerate(part):
            paradigm = verbs(stem) if number % 3 == 0 else nouns(stem)
            rows += generator.sample(paradigm, 10)
        generator.shuffle(rows)
        lines = ["\t".join(row) + "\n" for row in [("lemma", "features", "form"), *rows]]
        (folder / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
        print(f"{name}.tsv: {len(part)} lemmas, {len(rows)} forms")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
