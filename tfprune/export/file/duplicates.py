"""Copies of parsed models, made often: of every rewrite and encoding that is tried."""

from typing import Any

import numpy as np

_PLAIN = frozenset({int, float, bool, str, bytes, type(None)})


def duplicate(table: Any, done: dict[int, Any]) -> Any:
    """A copy of a table of the schema with all that it holds, as `copy.deepcopy` makes it.

    Tables hold numbers, texts, arrays, lists and further tables, and nothing else, so that there is
    less to ask at each of them.

    Args:
        table: A table, or a list or an array of one.
        done: id of what has been copied -> its copy; what is in it at first is not copied. What two
            tables hold together, their copies do.
    """
    if id(table) in done:
        return done[id(table)]
    copy: Any
    if isinstance(table, list):
        copy = done[id(table)] = []
        copy += [each if type(each) in _PLAIN else duplicate(each, done) for each in table]
        return copy
    if isinstance(table, np.ndarray | np.generic):
        copy = done[id(table)] = table.copy()
        return copy
    copy = done[id(table)] = object.__new__(type(table))
    copy.__dict__ = {
        name: each if type(each) in _PLAIN else duplicate(each, done)
        for name, each in vars(table).items()
    }
    return copy
