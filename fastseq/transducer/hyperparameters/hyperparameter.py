"""What one hyperparameter is: its default, its kind, the values it takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

# What an automatic hyperparameter is until `fit` chooses a value.
AUTO = "auto"


class Hyperparameter(NamedTuple):
    """One of them: its default and kind, the values it takes, and what it is for.

    Numbers lie from `least` to `most`, where `below` leaves `most` itself out. `optional` lets None
    stand for "never"; the kind of a number is then `kind`, unless the default shows it. A string is
    one of `choices`, or what `check_text` accepts. Where it is `automatic`, it may be "auto" and is
    that unless it is given: `training.automatic` then chooses a value for the pairs; the default is
    the one for many pairs.
    """

    name: str
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    least: float = 0
    most: float = math.inf
    below: bool = False
    optional: bool = False
    automatic: bool = False
    kind: type | None = None
    check_text: Callable[[str], object] | None = None

    @property
    def initial(self) -> Any:
        """Its value in a Transducer that is not given one."""
        return AUTO if self.automatic else self.default

    @property
    def value_type(self) -> type:
        """The type of its values other than None."""
        return self.kind or type(self.default)

    def check(self, value: Any) -> None:
        """TypeError or ValueError, naming the hyperparameter, unless the value is allowed."""
        if (value is None and self.optional) or (self.automatic and value == AUTO):
            return
        kind = self.value_type
        if kind is bool or kind is str:
            fits = isinstance(value, np.bool_ | bool if kind is bool else str)
        else:
            whole = int | np.integer
            fits = isinstance(value, whole if kind is int else whole | float | np.floating)
            fits = fits and not isinstance(value, bool)
        if not fits:
            raise TypeError(
                f"{self.name}: expected {_KINDS[kind]}{self._others()}, got {type(value).__name__}"
            )
        if self.check_text is not None:
            self.check_text(value)
        elif kind is str and value not in self.choices:
            raise ValueError(
                f"{self.name}: expected one of {', '.join(self.choices)}; got {value!r}"
            )
        if kind in (int, float) and not self._in_range(value):
            raise ValueError(f"{self.name}: expected {self.range_text()}, got {value}")

    def _others(self) -> str:
        return f" or {AUTO!r}" * self.automatic + " or None" * self.optional

    def range_text(self) -> str:
        """The range of a number, in words."""
        if math.isinf(self.most):
            return f"at least {self.least}"
        return f"{self.least} to {'below ' * self.below}{self.most}"

    def _in_range(self, value: float) -> bool:
        # false for NaN
        return self.least <= value < math.inf and (
            value < self.most if self.below else value <= self.most
        )


_KINDS = {int: "an integer", float: "a number", bool: "True or False", str: "a string"}
