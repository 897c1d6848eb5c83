"""The recurrent cells."""

from collections.abc import Mapping

class Cell:
    """The properties of a recurrent cell; `CELLS` has all of them."""

    name: str
    gates: int
    states: int
    weights: tuple[str, ...]

    def shapes(self, D: int, H: int) -> tuple[tuple[int, ...], ...]:
        """The shape of each of the `weights` for D inputs and H hidden units."""

CELLS: Mapping[str, Cell]
"""The cells by name: "rnn", "gru", "gru_reset_after", "lstm".

``gates`` is G, in blocks of H columns; ``states`` is 1 for h, 2 for h and c; ``weights`` are the
names of the arrays of one direction, in order.
"""
