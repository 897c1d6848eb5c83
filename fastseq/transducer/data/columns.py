"""The columns of a file of pairs: which holds the source, its features, the target, a weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ROLES = ("source", "target", "features", "weight")
SKIP = "-"
_SYNTAX = (
    "expected the columns in their order, as source,features,target (also weight; - skips one), or "
    "source=1,features=3,target=2"
)


@dataclass(frozen=True)
class Columns:
    """Where in a line each role stands.

    Attributes
    ----------
    source, target : int or str
        The place of the column, from 0; or its name in the header.
    features : tuple of int or str
        In the order in which their tags follow the source.
    weight : int, str or None
    width : int or None
        How many columns there are, where all were listed.
    """

    source: int | str
    target: int | str
    features: tuple[int | str, ...] = ()
    weight: int | str | None = None
    width: int | None = None

    @classmethod
    def parse(cls, text: str) -> Columns:
        """Read a description: roles in the order of the columns, or each with its column.

        ``source,features,target`` lists the columns, ``-`` stands for one that is skipped.
        ``source=1,features=3,target=2`` has their numbers, from 1, and ``source=lemma`` the name
        that a header gives a column.

        Raises
        ------
        ValueError
            It is no such description, or source or target is not there exactly once.
        """
        items = [item.strip() for item in text.split(",")]
        listed = all("=" not in item for item in items)
        places: dict[str, list[int | str]] = {role: [] for role in ROLES}
        for place, item in enumerate(items):
            role, equals, column = item.partition("=")
            if listed and role == SKIP:
                continue
            if role not in places or (not listed and not (equals and column)):
                raise ValueError(f"columns: {_SYNTAX}; got {text!r}")
            places[role].append(place if listed else _place(column))
        for role in ("source", "target"):
            if len(places[role]) != 1:
                raise ValueError(
                    f"columns: {_SYNTAX}; got {text!r}, where {role} is not there once"
                )
        if len(places["weight"]) > 1:
            raise ValueError(f"columns: {_SYNTAX}; got {text!r}, with two of weight")
        taken = [place for listed_places in places.values() for place in listed_places]
        if -1 in taken or len(set(taken)) != len(taken):
            raise ValueError(f"columns: {_SYNTAX}; got {text!r}, with a column twice or below 1")
        return cls(
            source=places["source"][0],
            target=places["target"][0],
            features=tuple(places["features"]),
            weight=places["weight"][0] if places["weight"] else None,
            width=len(items) if listed else None,
        )

    @property
    def names(self) -> list[str]:
        """The columns that are named after a header's."""
        return [place for place in self._places() if isinstance(place, str)]

    @property
    def least_width(self) -> int:
        """The fewest columns that a file may have."""
        return 1 + max(place for place in self._places() if isinstance(place, int))

    def resolved(self, header: Sequence[str]) -> Columns:
        """The same with places for the names of a header.

        Raises
        ------
        ValueError
            The header has no such column.
        """
        for name in self.names:
            if name not in header:
                raise ValueError(
                    f"columns: expected one of the header's, {', '.join(header)}; got {name!r}"
                )

        def place(column: int | str) -> int:
            return column if isinstance(column, int) else header.index(column)

        return Columns(
            place(self.source),
            place(self.target),
            tuple(map(place, self.features)),
            None if self.weight is None else place(self.weight),
            self.width,
        )

    def source_of(self, fields: Sequence[str]) -> tuple[str, ...]:
        """The source and its features, of a line of the file or of one that has only them.

        Raises
        ------
        ValueError
            There are more or fewer fields.
        """
        wanted = (self.source, *self.features)
        if len(fields) == len(wanted):
            # by their order in the file; names of a header have no order but that of the roles
            order = wanted if self.names else sorted(wanted, key=_number)
            return tuple(fields[order.index(place)] for place in wanted)
        if not self.names and len(fields) > max(map(_number, wanted)):
            return tuple(fields[_number(place)] for place in wanted)
        raise ValueError(
            f"expected the columns {','.join(role for _, role in self._roles()[: len(wanted)])} "
            f"with tabs between them, got {chr(9).join(fields)[:60]!r}"
        )

    def source_of_line(self, line: str, form: str) -> Sequence[str]:
        """The source that a line holds: its columns, its symbols, or the line itself.

        Parameters
        ----------
        line : str
            With features, the source and they are separated by tabs: in the order of the columns,
            with the other columns or without them.
        form : {"char", "space", "list"}
            Of the sources without features.

        Raises
        ------
        ValueError
            There are more or fewer columns.
        """
        if self.features:
            return self.source_of(line.split("\t"))
        return line.split() if form == "list" else line

    def is_header(self, fields: Sequence[str]) -> bool:
        """Whether a first line names the columns, rather than being a pair."""
        if self.names:
            return True
        role_of: dict[int | str, str] = {self.source: "source", self.target: "target"}
        role_of |= dict.fromkeys(self.features, "features")
        known = [
            fields[place].strip().lower() in _HEADERS[role]
            for place, role in role_of.items()
            if isinstance(place, int) and place < len(fields)
        ]
        different = len(set(map(str.lower, fields))) == len(fields)  # a lemma may be its own word
        return len(known) == len(role_of) and all(known) and different

    def description(self) -> str:
        """What `parse` makes the same columns of."""
        if self.width is not None:
            roles = dict(self._roles())
            return ",".join(roles.get(place, SKIP) for place in range(self.width))
        return ",".join(
            f"{role}={place + 1 if isinstance(place, int) else place}"
            for place, role in self._roles()
        )

    def _roles(self) -> list[tuple[int | str, str]]:
        roles: list[tuple[int | str, str]] = [(self.source, "source")]
        roles += [(place, "features") for place in self.features]
        roles.append((self.target, "target"))
        return roles if self.weight is None else [*roles, (self.weight, "weight")]

    def _places(self) -> list[int | str]:
        return [place for place, _ in self._roles()]


# The words of a header by which a column is known, in lower case.
_HEADERS: Mapping[str, frozenset[str]] = {
    "source": frozenset(
        ["source", "src", "input", "lemma", "word", "text", "grapheme", "graphemes", "orthography"]
    ),
    "target": frozenset(
        ["target", "tgt", "output", "form", "inflected", "phonemes", "phones", "pronunciation",
         "ipa", "lemma", "answer"]
    ),
    "features": frozenset(["features", "feature", "feats", "tags", "tag", "msd", "pos", "morph"]),
}  # fmt: skip


def _place(column: str) -> int | str:
    return int(column) - 1 if column.isascii() and column.isdecimal() else column


def _number(place: int | str) -> int:
    assert isinstance(place, int)
    return place
