"""Reads the pickle of a state dict without running any of it.

Pickle is a language for a machine with a stack. This machine knows the instructions that plain
containers are written with; a name of a function or class is looked up in a table of a few records
and never imported. What it builds is bounded by the number of instructions.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

# Each takes at most about 100 bytes, and a tensor of a state dict about 40 of them.
_MOST_INSTRUCTIONS = 500_000

# Instructions that push their argument.
_ARGUMENTS = {
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "LONG4",
    "BINFLOAT",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Name(NamedTuple):
    """The name of a function or class, which is not imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


_Call = Callable[..., Any]


class PlainUnpickler:
    """A machine that builds dicts, lists, tuples, numbers, strings, and records of tensors.

    Parameters
    ----------
    names : mapping of Name to callable or None
        What stands for the call of each name that may occur; None where it may only be an argument.
        Every other name is refused.
    persistent : callable
        Takes what the file has as the name of a persistent object.
    """

    def __init__(
        self, names: Mapping[Name, _Call | None], persistent: Callable[[Any], Any]
    ) -> None:
        self._names = names
        self._persistent = persistent
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def load(self, content: bytearray) -> Any:
        """What a pickle holds.

        Raises
        ------
        ValueError
            It is damaged, or needs what a state dict does not: the message names it.
        """
        for count, (opcode, argument, _) in enumerate(pickletools.genops(bytes(content))):
            if count > _MOST_INSTRUCTIONS:
                raise ValueError(f"expected at most {_MOST_INSTRUCTIONS} instructions of pickle")
            if opcode.name == "STOP":
                return self._pop()
            self._run(opcode.name, argument)
        raise AssertionError("genops ends with STOP or raises")

    def _run(self, name: str, argument: Any) -> None:
        if name in ("PROTO", "FRAME"):
            return
        if name in _ARGUMENTS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            items = [self._pop() for _ in range(_TUPLES[name])]
            self._stack.append(tuple(reversed(items)))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._top()
        elif name in ("BINGET", "LONG_BINGET"):
            if argument not in self._memo:
                raise ValueError("damaged: the pickle refers to what it does not have")
            self._stack.append(self._memo[argument])
        else:
            method = self._OTHERS.get(name)
            if method is None:
                raise ValueError(f"expected a state dict, which needs no {name} in its pickle")
            method(self, argument)

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise ValueError("damaged: the pickle takes more from its stack than it has")
        return self._stack.pop()

    def _top(self) -> Any:
        self._stack.append(self._pop())
        return self._stack[-1]

    def _mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def _items(self) -> list[Any]:
        """What is above the last mark."""
        if not self._marks:
            raise ValueError("damaged: the pickle has no mark where it needs one")
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _container(self, kind: type) -> Any:
        found = self._top()
        if type(found) is not kind:
            raise ValueError(f"damaged: the pickle adds to a {type(found).__name__}")
        return found

    def _tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._items()))

    def _append(self, _: Any) -> None:
        item = self._pop()
        self._container(list).append(item)

    def _appends(self, _: Any) -> None:
        items = self._items()
        self._container(list).extend(items)

    def _set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._set(key, value)

    def _set_items(self, _: Any) -> None:
        items = self._items()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._set(key, value)

    def _set(self, key: Any, value: Any) -> None:
        if not isinstance(key, str | int | float | None):  # what is nested may not be hashed
            raise ValueError(f"expected names as the keys of a dict, got a {type(key).__name__}")
        self._container(dict)[key] = value

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._top()

    def _global(self, argument: Any) -> None:
        module, _, name = argument.partition(" ")
        self._push_name(module, name)

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("damaged: a name in the pickle is no text")
        self._push_name(module, name)

    def _push_name(self, module: str, name: str) -> None:
        found = Name(module, name)
        if found not in self._names:
            raise ValueError(
                f"expected a state dict, which needs no {found}; nothing of it was run"
            )
        self._stack.append(found)

    def _persistent_id(self, _: Any) -> None:
        self._stack.append(self._persistent(self._pop()))

    def _reduce(self, _: Any) -> None:
        arguments, name = self._pop(), self._pop()
        call = self._names[name] if isinstance(name, Name) else None
        if call is None or not isinstance(arguments, tuple):
            raise ValueError("damaged: the pickle calls what is no function")
        try:
            self._stack.append(call(*arguments))
        except TypeError:
            raise ValueError(f"damaged: the arguments of {name} are not its own") from None

    def _build(self, _: Any) -> None:
        self._pop()  # of an OrderedDict: the versions of the modules
        self._container(dict)

    _OTHERS: Mapping[str, Callable[[PlainUnpickler, Any], None]] = {
        "MARK": _mark,
        "TUPLE": _tuple,
        "APPEND": _append,
        "APPENDS": _appends,
        "SETITEM": _set_item,
        "SETITEMS": _set_items,
        "MEMOIZE": _memoize,
        "GLOBAL": _global,
        "STACK_GLOBAL": _stack_global,
        "BINPERSID": _persistent_id,
        "REDUCE": _reduce,
        "BUILD": _build,
    }
