"""What belongs to which output, by the names and the nests of what models return."""

from collections.abc import Sequence
from typing import Any

import keras


def for_each_output(given: Any, y_pred: Any, names: Sequence[str] | None) -> list[Any]:
    """Return what is given for each output, in the order of the flat outputs.

    Args:
        given: one for all; a nest as the outputs are, up to lists for one of them; a flat list; or
            a dictionary by name. What it lacks is None.
        y_pred: the outputs, in their structure.
        names: of the outputs, where the model has some.

    Example:
        >>> for_each_output({"p": [1, 2], "q": 3}, {"q": "z", "p": ["x", "y"]}, None)
        [1, 2, 3]
    """
    if not keras.tree.is_nested(y_pred):
        if isinstance(given, dict) and names:
            return [given.get(names[0])]
        return [*given] if isinstance(given, (list, tuple)) and len(given) == 1 else [given]
    count = len(keras.tree.flatten(y_pred))
    if not isinstance(given, (dict, list, tuple)):
        return [given] * count
    by_name = isinstance(y_pred, dict)
    keys = _keys(y_pred) if by_name else [*range(len(y_pred))]
    if isinstance(given, dict):
        if names and not by_name:
            return [given.get(name) for name in names]
        parts = [given.get(key) for key in keys]
    elif by_name or len(given) != len(keys):  # flat
        return [*given, *[None] * (count - len(given))]
    else:
        parts = [*given]
    return sum((for_each_output(part, y_pred[key], None) for key, part in zip(keys, parts)), [])


def order_of(
    mine: Any, own: Any, names: Sequence[str] | None, own_names: Sequence[str] | None
) -> list[int]:
    """Return where among a teacher's flat outputs each of the student's flat outputs is.

    By name, where both have the same names; by place otherwise, in lists.

    Args:
        mine: what the student returns, tensors in their nest.
        own: the same of the teacher.
        names: of the student's flat outputs, where it has some.
        own_names: of the teacher's.

    Raises:
        ValueError: if the numbers of outputs differ, or the names of dictionaries do.

    Example:
        >>> order_of([0, 1], [2, 3], ["z", "a"], ["a", "z"])
        [1, 0]
    """
    count = len(keras.tree.flatten(own))
    alone = count == len(keras.tree.flatten(mine)) == 1
    dicts = [isinstance(side, dict) for side in (mine, own)]
    shown = [
        _keys(side) if isinstance(side, dict) else [*(known or [])]
        for side, known in ((mine, names), (own, own_names))
    ]
    matching = set(shown[0]) == set(shown[1]) and len(shown[0]) == len(set(shown[0]))
    if count != len(keras.tree.flatten(mine)) or (any(dicts) and not (matching or alone)):
        raise ValueError(
            "`teacher` must have the outputs of the student. Received: outputs "
            f"{shown[1] or count} and {shown[0] or len(keras.tree.flatten(mine))}."
        )
    if all(dicts) and not alone:
        return _order_in(mine, own, shown[0])
    if matching and len(shown[0]) == count:
        return [shown[1].index(name) for name in shown[0]]
    return [*range(count)]


def _order_in(mine: dict[str, Any], own: dict[str, Any], keys: Sequence[str]) -> list[int]:
    """Return the order of dictionaries of the same keys, which are flat in the same order."""
    order: list[int] = []
    for key in keys:
        order += [len(order) + at for at in order_of(mine[key], own[key], None, None)]
    return order


def _keys(outputs: dict[str, Any]) -> list[str]:
    """Return the keys of a dictionary in the order in which Keras takes what it has."""
    return keras.tree.flatten({key: key for key in outputs})
