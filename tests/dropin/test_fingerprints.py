"""Fingerprints of definitions: what counts and what does not."""

import ast

import pytest

from fastseq.dropin import fingerprints, table
from fastseq.dropin.fingerprints import fingerprint

F = "def f(x):\n    return x\n"
A = (
    "@g\nclass A(B):\n    def h(self):\n        '''doc'''\n        if self:\n"
    "            return 'doc'\n        return None\n"
)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (F, "11c00fa1d7b355c6"),
        (
            "def f(x):\n    # a comment\n    '''Says what f does.'''\n\n    return   x\n",
            "11c00fa1d7b355c6",
        ),
        ("def f(x):\n    return x + 1\n", "ca4b09d0728924b0"),
        (A, "68235ff255c6f5f2"),
    ],
)
def test_known_fingerprints(source: str, expected: str) -> None:
    assert fingerprint(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    'One line,' ' in two strings.'\n    return x\n",
        'def f(x):\n    """Lines\n\n    of text.\n    """\n    return x  # and a comment\n',
        "def f( x ):\n\n\n    return x\n",
        "def f(x):\n  return x\n",
    ],
)
def test_what_does_not_count(source: str) -> None:
    indented = source.replace("\n  return", "\n    return")  # an INDENT is a word, not its spaces
    assert fingerprint(source) == fingerprint(indented) == fingerprint(F)


@pytest.mark.parametrize(
    "source",
    [
        "def f(y):\n    return y\n",
        "def f(x):\n    return (x)\n",
        "def f(x):\n    print('x')\n    return x\n",
        "def f(x):\n    return x\n    'no docstring'\n",
        "@cache\ndef f(x):\n    return x\n",
        "async def f(x):\n    return x\n",
    ],
)
def test_what_counts(source: str) -> None:
    assert fingerprint(source) != fingerprint(F)


@pytest.mark.parametrize("source", [F, A])
def test_a_definition_is_cut_out_with_its_decorators(source: str) -> None:
    lines = f"import os\n\n\n{source}\nx = 1\n".split("\n")
    definition = ast.parse("\n".join(lines)).body[1]
    assert isinstance(definition, fingerprints.Definition)
    assert fingerprints.source_of(lines, definition) == source


def test_the_table_speaks_of_served_modules() -> None:
    published = fingerprints.published()
    assert set(published) <= set(table.MODULES)
    known = {name for names in published.values() for name in names}
    served = {name for module in table.MODULES for name in table.sources(module)}
    assert known - served == {"_update_vocab"}
    digits = [each for names in published.values() for known in names.values() for each in known]
    assert {len(each) for each in digits} == {16}


def test_a_docstring_in_any_script() -> None:
    for text in ("Says what f does.", "全結合層", "это f"):
        assert fingerprint(f"def f(x):\n    '''{text}'''\n    return x\n") == fingerprint(F)
