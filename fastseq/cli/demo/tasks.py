"""The demos: what they train, on what, and how long."""

from __future__ import annotations

from typing import NamedTuple


class Recipe(NamedTuple):
    """One model to train: the stem of its file, what it is called, its class, its input's order."""

    stem: str
    label: str
    model: str
    reverse: bool


class Task(NamedTuple):
    """One demo. The last of `recipes` is the one to show; `compared` are trained on demand."""

    name: str
    noun: str
    help: str
    description: str
    examples: str
    epochs: int
    hidden_size: int
    seed: int
    recipes: tuple[Recipe, ...]
    compared: tuple[Recipe, ...] = ()


DATES = Task(
    "dates",
    "dates",
    "dates as people write them, to ISO form",
    """\
Train the attention model of the textbook to turn dates as people write them into ISO form. Writes
the data set, the model, the accuracy curve and an attention heat map into a folder. Stops when
99.5 % of the held-out tenth are answered without a wrong character, or after --epochs.
""",
    """\
examples:
  fastseq demo dates
  fastseq demo dates --compare              the plain and Peeky models too, three curves
  fastseq demo dates -n 5000 --epochs 2 --hidden-size 64 -o quick
""",
    epochs=10,
    hidden_size=256,
    seed=0,
    recipes=(Recipe("dates", "attention", "AttentionSeq2seq", reverse=True),),
    compared=(
        Recipe("dates-peeky", "Peeky", "PeekySeq2seq", reverse=True),
        Recipe("dates-plain", "plain", "Seq2seq", reverse=True),
    ),
)
ADDITION = Task(
    "addition",
    "sums",
    "sums of numbers of up to three digits",
    """\
Train the textbook's models to add numbers of up to three digits, written as text: plain, with the
question reversed, and reversed with a Peeky decoder. Writes the data set, the models and one figure
with three curves into a folder.
""",
    """\
examples:
  fastseq demo addition
  fastseq demo addition --epochs 5 --seed 1 -o sums
""",
    epochs=25,
    hidden_size=128,
    seed=4,  # accuracies differ by seed; this one is typical of the three models
    recipes=(
        Recipe("addition-plain", "plain", "Seq2seq", reverse=False),
        Recipe("addition-reversed", "reversed", "Seq2seq", reverse=True),
        Recipe("addition-peeky", "reversed + Peeky", "PeekySeq2seq", reverse=True),
    ),
)
